use crate::{
    ANYWHERE, SHORT,
    clients::{Raw, head, http2, request, send, status},
    port,
    support::{ready, soon, starting},
};
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tower_readiness::{Readiness, Subsystem, server::AdminListener};

#[tokio::test]
async fn a_connection_without_a_request_is_closed() {
    let (readiness, _storage) = ready();
    let listener = AdminListener::new(&readiness).header_timeout(SHORT);
    let server = listener.with_http2().serve(ANYWHERE).await.unwrap();
    for sent in [
        "",
        "GET /livez HTTP/1.1\r\nhost: localhost\r\n",
        "GET /li",
        // A part of the HTTP/2 preface.
        "PRI * HTTP",
        "\r\n\r\n\r\n",
    ] {
        let mut peer = Raw::open(port(&server)).await;
        peer.write(sent).await;
        peer.is_closed_without_a_word().await;
    }
    let (_sender, connection) = http2(port(&server)).await;
    let _ = soon(connection).await.unwrap();
    assert_eq!(status(port(&server), "/livez").await, 200);
}

#[tokio::test]
async fn a_request_sent_byte_by_byte_does_not_extend_the_timeout() {
    let (readiness, _storage) = ready();
    let listener = AdminListener::new(&readiness).header_timeout(SHORT);
    let server = listener.serve(ANYWHERE).await.unwrap();
    let mut peer = TcpStream::connect(port(&server)).await.unwrap();
    peer.write_all(b"GET /livez HTTP/1.1\r\nx: ").await.unwrap();
    soon(async {
        while peer.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let (readiness, _storage) = ready();
    let listener = AdminListener::new(&readiness).idle_timeout(SHORT);
    let server = listener.with_http2().serve(ANYWHERE).await.unwrap();
    let mut http1 = Raw::open(port(&server)).await;
    assert_eq!(http1.get("/livez").await.0, 200);
    http1.is_closed_without_a_word().await;

    let mut half = Raw::open(port(&server)).await;
    assert_eq!(half.get("/livez").await.0, 200);
    half.write("GET /livez HTTP/1.1\r\n").await;
    half.is_closed_without_a_word().await;

    let (mut sender, connection) = http2(port(&server)).await;
    assert_eq!(send(&mut sender, request("/livez")).await.status(), 200);
    soon(connection).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_kept_connection_outlives_the_header_timeout() {
    let (readiness, _storage) = ready();
    let listener = AdminListener::new(&readiness).header_timeout(SHORT);
    let server = listener.serve(ANYWHERE).await.unwrap();
    let mut kept = Raw::open(port(&server)).await;
    assert_eq!(kept.get("/livez").await.0, 200);
    // When this one is closed, the timeout is over for the first one too.
    let mut silent = Raw::open(port(&server)).await;
    silent.is_closed_without_a_word().await;
    assert_eq!(kept.get("/livez").await.0, 200);
}

#[tokio::test]
async fn a_wait_outlives_all_timeouts() {
    let (readiness, storage) = starting();
    let listener = AdminListener::new(&readiness)
        .header_timeout(SHORT)
        .idle_timeout(SHORT);
    let server = listener.serve(ANYWHERE).await.unwrap();
    let mut waiting = waiting(port(&server)).await;
    for _ in 0..3 {
        let mut silent = Raw::open(port(&server)).await;
        silent.is_closed_without_a_word().await;
    }
    storage.ready();
    assert_eq!(waiting.response().await.0, 200);
}

/// Returns a connection with a request that waits: hyper begins with it in the
/// turn in which it answers the request before.
pub(crate) async fn waiting(address: SocketAddr) -> Raw<TcpStream> {
    let mut waiting = Raw::open(address).await;
    let both = head("/livez") + &head("/readyz?wait=60");
    waiting.write(&both).await;
    assert_eq!(waiting.response().await.0, 200);
    waiting
}

#[tokio::test]
async fn a_client_that_does_not_read_the_answer_is_closed() {
    let readiness = talkative();
    let listener = AdminListener::new(&readiness).idle_timeout(SHORT);
    let server = listener.serve_on_thread(ANYWHERE).unwrap();
    let mut peer = TcpStream::connect(port(&server)).await.unwrap();
    peer.write_all(head("/statusz").as_bytes()).await.unwrap();
    soon(async {
        while peer.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// A process whose answer is larger than the 16 MiB that the kernel buffers for a
/// connection.
fn talkative() -> Readiness {
    let name = |n: usize| format!("subsystem-{n}");
    let subsystems = (0..512).map(|n| Subsystem::new(name(n)));
    let readiness = subsystems
        .fold(Readiness::builder(), tower_readiness::Builder::subsystem)
        .build()
        .unwrap();
    for n in 0..512 {
        let reporter = readiness.reporter(&name(n)).unwrap();
        for attribute in 0..32 {
            let key = format!("key-{attribute}");
            reporter.attribute(&key, "x".repeat(1 << 10)).unwrap();
        }
        reporter.leave_ready();
    }
    readiness
}

#[tokio::test]
async fn garbage_is_the_end_of_a_connection_and_of_nothing_else() {
    let (readiness, _storage) = ready();
    let listener = AdminListener::new(&readiness).with_http2();
    let server = listener.serve(ANYWHERE).await.unwrap();
    // The second begins as TLS does; the last as HTTP/2.
    for garbage in [
        "\0\0\0\0\r\n\r\n",
        "\x16\x03\x01\x02\0\x01\0\x01\u{fc}\r\n\r\n",
        "GET\r\n\r\n",
        "GET /livez HTTP/3.0\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\ngarbage, garbage, garbage, garbage",
    ] {
        let mut peer = Raw::open(port(&server)).await;
        peer.write(garbage).await;
        let rest = peer.rest().await;
        let rest = String::from_utf8_lossy(&rest);
        assert!(!rest.contains("live"), "{rest}");
    }
    assert_eq!(status(port(&server), "/livez").await, 200);
}

#[tokio::test]
async fn a_head_of_more_than_16_kib_is_refused() {
    let (readiness, _storage) = ready();
    let listener = AdminListener::new(&readiness).with_http2();
    let server = listener.serve(ANYWHERE).await.unwrap();
    let large = |size| format!("GET /livez HTTP/1.1\r\nx: {}", "x".repeat(size));

    let mut peer = Raw::open(port(&server)).await;
    peer.write(&large(15 << 10)).await;
    peer.write("\r\n\r\n").await;
    assert_eq!(peer.response().await.0, 200);

    let mut peer = Raw::open(port(&server)).await;
    peer.write(&large(16 << 10)[..16 << 10]).await;
    assert_eq!(peer.response().await.0, 431);
    peer.is_closed_without_a_word().await;

    let (mut sender, _connection) = http2(port(&server)).await;
    for (size, expected) in [(15 << 10, 200), (17 << 10, 431)] {
        let request = request("/livez").header("x", "x".repeat(size));
        assert_eq!(send(&mut sender, request).await.status(), expected);
    }
}

#[tokio::test]
async fn http2_peers_are_told_how_many_requests_they_may_send_at_a_time() {
    const SETTINGS: u8 = 4;
    const MAX_CONCURRENT_STREAMS: u16 = 3;

    let (readiness, _storage) = ready();
    let listener = AdminListener::new(&readiness).with_http2();
    let server = listener.serve(ANYWHERE).await.unwrap();
    let mut peer = TcpStream::connect(port(&server)).await.unwrap();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    peer.write_all(preface).await.unwrap();
    let mut head = [0; 9];
    soon(peer.read_exact(&mut head)).await.unwrap();
    assert_eq!(head[3], SETTINGS);
    let mut settings = vec![0; usize::from(u16::from_be_bytes([head[1], head[2]]))];
    soon(peer.read_exact(&mut settings)).await.unwrap();
    let at_a_time = settings
        .chunks(6)
        .find(|setting| setting[..2] == MAX_CONCURRENT_STREAMS.to_be_bytes())
        .unwrap();
    assert_eq!(at_a_time[2..], 8_u32.to_be_bytes());
}
