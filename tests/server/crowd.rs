use crate::{
    ANYWHERE,
    clients::{Raw, head, status},
    peers::waiting,
    port,
    support::{ready, soon, starting},
};
use std::{
    io::{Read, Write},
    time::Duration,
};
use tokio::{io::AsyncReadExt, net::TcpStream, task::yield_now};
use tower_readiness::{probe::Probes, server::AdminListener};

#[tokio::test]
async fn a_new_connection_beyond_the_limit_closes_the_longest_idle_one() {
    let (readiness, _storage) = ready();
    let listener = AdminListener::new(&readiness).max_connections(2);
    let server = listener.serve(ANYWHERE).await.unwrap();
    let mut first = Raw::open(port(&server)).await;
    assert_eq!(first.get("/livez").await.0, 200);
    let mut second = Raw::open(port(&server)).await;
    assert_eq!(second.get("/livez").await.0, 200);
    assert_eq!(first.get("/livez").await.0, 200);

    let mut third = Raw::open(port(&server)).await;
    assert_eq!(third.get("/livez").await.0, 200);
    second.is_closed_without_a_word().await;
    assert_eq!(first.get("/livez").await.0, 200);
    assert_eq!(third.get("/livez").await.0, 200);
}

#[tokio::test]
async fn many_silent_connections_cannot_keep_a_probe_out() {
    let (readiness, _storage) = ready();
    let listener = AdminListener::new(&readiness).header_timeout(Duration::from_secs(3_600));
    let server = listener.serve(ANYWHERE).await.unwrap();
    let mut crowd = Vec::new();
    for _ in 0..200 {
        crowd.push(Raw::open(port(&server)).await);
    }
    assert_eq!(status(port(&server), "/livez").await, 200);
    for peer in crowd.drain(..136) {
        let mut peer = peer;
        peer.is_closed_without_a_word().await;
    }
}

#[tokio::test]
async fn a_waiting_request_keeps_its_connection_while_another_is_idle() {
    let (readiness, storage) = starting();
    let listener = AdminListener::new(&readiness).max_connections(2);
    let server = listener.serve(ANYWHERE).await.unwrap();
    let mut patient = waiting(port(&server)).await;
    let mut idle = Raw::open(port(&server)).await;
    assert_eq!(idle.get("/livez").await.0, 200);

    assert_eq!(status(port(&server), "/livez").await, 200);
    idle.is_closed_without_a_word().await;
    storage.ready();
    assert_eq!(patient.response().await.0, 200);
}

#[tokio::test]
async fn waiting_requests_take_half_of_the_connections_at_most() {
    let (readiness, storage) = starting();
    let listener = AdminListener::new(&readiness).max_connections(4);
    let server = listener.serve(ANYWHERE).await.unwrap();
    let mut first = waiting(port(&server)).await;
    let mut second = waiting(port(&server)).await;
    let mut third = waiting(port(&server)).await;
    assert_eq!(third.response().await.0, 503, "at once");
    for _ in 0..4 {
        assert_eq!(status(port(&server), "/livez").await, 200);
    }
    storage.ready();
    for waiting in [&mut first, &mut second] {
        assert_eq!(waiting.response().await.0, 200);
    }
}

#[tokio::test]
async fn where_no_request_may_wait_each_is_answered_at_once() {
    let (readiness, _storage) = starting();
    let probes = Probes::builder(&readiness).without_wait().build().unwrap();
    for listener in [
        AdminListener::new(&readiness).without_wait(),
        AdminListener::new(probes),
        AdminListener::new(&readiness).max_connections(1),
    ] {
        let server = listener.serve(ANYWHERE).await.unwrap();
        assert_eq!(status(port(&server), "/readyz?wait=60").await, 503);
    }
}

/// What a peer gets of its answers that sends `second` at the moment in which another connection
/// takes its slot.
async fn answers_of_evicted(first: &[u8], second: &[u8]) -> String {
    let (readiness, _storage) = ready();
    let listener = AdminListener::new(&readiness)
        .max_connections(1)
        .with_http2();
    let server = listener.serve(ANYWHERE).await.unwrap();
    let mut peer = std::net::TcpStream::connect(port(&server)).unwrap();
    peer.write_all(first).unwrap();
    let mut begun = [0; 1 << 10];
    peer.set_nonblocking(true).unwrap();
    let mut answers = Vec::new();
    while !String::from_utf8_lossy(&answers).contains("ready\n") {
        yield_now().await;
        if let Ok(read) = peer.read(&mut begun) {
            assert_ne!(read, 0, "the listener has closed the connection");
            answers.extend_from_slice(&begun[..read]);
        }
    }
    // The listener sees both at once.
    let _other = std::net::TcpStream::connect(port(&server)).unwrap();
    peer.write_all(second).unwrap();
    let mut peer = TcpStream::from_std(peer).unwrap();
    soon(peer.read_to_end(&mut answers)).await.unwrap();
    String::from_utf8_lossy(&answers).into_owned()
}

#[tokio::test]
async fn a_request_that_arrives_together_with_the_eviction_is_answered() {
    let request = head("/readyz");
    let answers = answers_of_evicted(request.as_bytes(), request.as_bytes()).await;
    assert_eq!(answers.matches("ready\n").count(), 2, "{answers}");

    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let headers = |stream| {
        let block = b"\x82\x86\x04\x07/readyz\x41\x09localhost";
        let head = [0, 0, block.len() as u8, 1, 5, 0, 0, 0, stream];
        [&head[..], block].concat()
    };
    let first = [&preface[..], &headers(1)].concat();
    let answers = answers_of_evicted(&first, &headers(3)).await;
    assert_eq!(answers.matches("ready\n").count(), 2, "{answers}");
}
