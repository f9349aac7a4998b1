//! Bytes that a peer sends after its answer do not destroy the answer.

use crate::{
    ANYWHERE,
    clients::{Raw, head, status},
    port,
    support::{ready, soon},
};
use std::{io::ErrorKind, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tower_readiness::server::{AdminListener, AdminServer};

/// Sends `first`, and `rest` once the answer must have been sent and the
/// connection closed if it ever is; then reads everything.
async fn answer_to(server: &AdminServer, first: &str, rest: &[u8]) -> String {
    let mut peer = TcpStream::connect(port(server)).await.unwrap();
    peer.write_all(first.as_bytes()).await.unwrap();
    // Peek, and leave the bytes in the kernel, where a reset would discard them.
    let mut begun = [0; 1];
    assert_eq!(soon(peer.peek(&mut begun)).await.unwrap(), 1);
    // After this answer, hyper has finished the turn in which it sent the first one.
    assert_eq!(status(port(server), "/livez").await, 200);
    for part in rest.chunks(16 << 10) {
        peer.write_all(part).await.unwrap();
        assert_eq!(status(port(server), "/livez").await, 200);
    }
    let mut answer = Vec::new();
    soon(peer.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_peer_gets_its_answer_and_an_end_whatever_it_still_sends() {
    let (readiness, _storage) = ready();
    let server = readiness.serve_on_thread(ANYWHERE).unwrap();
    let body = vec![b'x'; 256 << 10];
    let post = |more| format!("POST /readyz HTTP/1.1\r\nhost: localhost\r\n{more}\r\n\r\n");
    let chunked = "transfer-encoding: chunked";
    for (first, rest, expected) in [
        (post("content-length: 262144"), &body[..], 405),
        (post("content-length: 10"), b"0123456789", 405),
        (post(chunked), b"a\r\n0123456789\r\n0\r\n\r\n", 405),
        (
            post("content-length: 10\r\nexpect: 100-continue"),
            b"0123456789",
            405,
        ),
        (
            head("/livez").replace("\r\n\r\n", "\r\ncontent-length: 10\r\n\r\n"),
            b"0123456789",
            200,
        ),
        ("GET\r\n\r\n".to_owned(), &body, 400),
        (
            format!("GET /livez HTTP/1.1\r\nx: {}", "x".repeat(17 << 10)),
            &body,
            431,
        ),
    ] {
        let answer = answer_to(&server, &first, rest).await;
        let shown = &first[..first.len().min(80)];
        let status = format!("HTTP/1.1 {expected} ");
        assert!(answer.starts_with(&status), "{shown}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{shown}: {answer}");
        // Where the body is not read to its end, the answer announces `close`.
        let announced = answer.contains("\r\nconnection: close\r\n");
        assert!(announced, "{shown}: {answer}");
    }
}

#[tokio::test]
async fn a_body_that_is_there_with_its_head_does_not_end_the_connection_unannounced() {
    let (readiness, _storage) = ready();
    let server = readiness.serve(ANYWHERE).await.unwrap();
    let mut peer = Raw::open(port(&server)).await;
    peer.write("POST /readyz HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n")
        .await;
    assert_eq!(peer.response().await.0, 405);
    assert_eq!(peer.get("/livez").await.0, 200, "there was no body");

    peer.write("POST /readyz HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\nxx")
        .await;
    let rest = String::from_utf8(peer.rest().await).unwrap();
    assert!(rest.contains("connection: close"), "{rest}");
}

#[tokio::test]
async fn a_peer_that_closes_ends_the_linger() {
    let (readiness, _storage) = ready();
    let server = readiness.serve(ANYWHERE).await.unwrap();
    let mut peer = TcpStream::connect(port(&server)).await.unwrap();
    peer.write_all(b"GET\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    soon(peer.read_to_end(&mut answer)).await.unwrap();
    peer.shutdown().await.unwrap();
    // The peer reads the end, so the listener has closed its own side.
    server.stop();
    soon(server.stopped()).await;
}

#[tokio::test]
async fn peers_that_go_on_sending_are_closed_first() {
    let (readiness, _storage) = ready();
    let listener = AdminListener::new(&readiness).max_connections(2);
    let server = listener.serve_on_thread(ANYWHERE).unwrap();
    // It sent the most recent request, so its connection is not the oldest idle one.
    let mut quiet = Raw::open(port(&server)).await;
    assert_eq!(quiet.get("/livez").await.0, 200);
    let mut peer = TcpStream::connect(port(&server)).await.unwrap();
    peer.write_all(b"POST /readyz HTTP/1.1\r\ncontent-length: 10000000\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    soon(peer.read_to_end(&mut answer)).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 405 "));
    peer.write_all(b"x").await.unwrap();

    assert_eq!(status(port(&server), "/livez").await, 200);
    let error = soon(async {
        loop {
            if let Err(error) = peer.write_all(b"x").await {
                return error;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    let is_closed = matches!(
        error.kind(),
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
    );
    assert!(is_closed, "{error}");
    assert_eq!(quiet.get("/livez").await.0, 200);
}
