//! The admin listener, as those who probe it see it: real sockets on loopback.

mod support;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{
    io::{ErrorKind, Read, Write},
    net::SocketAddr,
    sync::mpsc,
    time::Duration,
};
use support::{ready, soon, starting, value, whole};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    runtime,
};
use tower_readiness::{
    Phase, Readiness, Subsystem,
    probe::{Detail, Probe, Probes},
    server::{Address, AddressError, AdminListener, AdminServer, ServeError},
};

const ANYWHERE: &str = "127.0.0.1:0";

/// A timeout that a test waits for.
const SHORT: Duration = Duration::from_millis(50);

const VERBOSE: &str = "/readyz?verbose";
const SECRET: &str = "postgres://admin:hunter2@db";

fn port(server: &AdminServer) -> SocketAddr {
    server.local_addr().socket_addr().unwrap()
}

// === clients ===

/// An HTTP/1 connection to write to and read from as one likes.
struct Raw<S>(BufReader<S>);

impl Raw<TcpStream> {
    async fn open(address: SocketAddr) -> Self {
        Self::on(TcpStream::connect(address).await.unwrap())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    fn on(stream: S) -> Self {
        Self(BufReader::new(stream))
    }

    async fn write(&mut self, text: &str) {
        soon(self.0.write_all(text.as_bytes())).await.unwrap();
    }

    /// Reads a response with its body.
    async fn response(&mut self) -> (u16, String) {
        let status = self.line().await;
        let mut length = 0;
        loop {
            let line = self.line().await;
            match line.split_once(": ") {
                Some(("content-length", value)) => length = value.parse().unwrap(),
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length];
        soon(self.0.read_exact(&mut body)).await.unwrap();
        let status = status.split(' ').nth(1).expect("a status line");
        (status.parse().unwrap(), String::from_utf8(body).unwrap())
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        soon(self.0.read_line(&mut line)).await.unwrap();
        line.trim_end().to_owned()
    }

    /// Asks on a connection that is kept.
    async fn get(&mut self, path: &str) -> (u16, String) {
        self.write(&head(path)).await;
        self.response().await
    }

    /// What comes until the server closes the connection.
    async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // One that it closes with something left to read is reset.
        let _ = soon(self.0.read_to_end(&mut rest)).await;
        rest
    }

    async fn is_closed_without_a_word(&mut self) {
        let rest = self.rest().await;
        assert_eq!(String::from_utf8_lossy(&rest), "");
    }
}

fn head(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")
}

async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    Raw::open(address).await.get(path).await
}

async fn status(address: SocketAddr, path: &str) -> u16 {
    get(address, path).await.0
}

/// Asks without any runtime.
fn blocking_get(address: SocketAddr, path: &str) -> String {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

type Sender = http2::SendRequest<Empty<Bytes>>;

/// An HTTP/2 connection without upgrade, and what it comes to.
async fn http2(address: SocketAddr) -> (Sender, tokio::task::JoinHandle<hyper::Result<()>>) {
    let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (sender, connection) = http2::handshake(TokioExecutor::new(), stream)
        .await
        .unwrap();
    (sender, tokio::spawn(connection))
}

fn request(path: &str) -> http::request::Builder {
    Request::get(format!("http://localhost{path}"))
}

async fn send(sender: &mut Sender, request: http::request::Builder) -> Response<String> {
    soon(sender.ready()).await.unwrap();
    let request = request.body(Empty::new()).unwrap();
    whole(soon(sender.send_request(request)).await.unwrap()).await
}

// === answering ===

#[tokio::test]
async fn both_versions_of_http_are_answered_on_one_port() {
    let (readiness, _storage) = ready();
    let server = readiness.serve(ANYWHERE).await.unwrap();
    let address = port(&server);
    assert_ne!(address.port(), 0);

    let mut http1 = Raw::open(address).await;
    let (mut http2, _connection) = http2(address).await;
    for (path, status, body) in [
        ("/livez", 200, "live\n"),
        ("/readyz", 200, "ready\n"),
        ("/startupz", 200, "started\n"),
        ("/readyz/storage", 200, "ready: storage ready\n"),
        ("/nothing", 404, "not found\n"),
        ("/", 404, "not found\n"),
    ] {
        let (own, text) = http1.get(path).await;
        let response = send(&mut http2, request(path)).await;
        assert_eq!(own, status, "{path}");
        assert_eq!(response.status(), status, "{path}");
        assert_eq!(text, *response.body(), "{path}");
        if path != "/readyz/storage" {
            assert_eq!(text, body);
        }
    }
}

#[tokio::test]
async fn probes_of_ones_own_are_served() {
    let (readiness, _storage) = ready();
    readiness.drain();
    let probes = Probes::new(&readiness)
        .path(Probe::Readiness, "/ready")
        .unwrap()
        .envoy_headers();
    let server = AdminListener::new(probes).serve(ANYWHERE).await.unwrap();
    assert_eq!(status(port(&server), "/readyz").await, 404);
    let (mut sender, _connection) = http2(port(&server)).await;
    let response = send(&mut sender, request("/ready")).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    let flag = value(response.headers(), "x-envoy-immediate-health-check-fail");
    assert_eq!(flag, "true");
}

#[tokio::test]
async fn it_answers_in_every_phase() {
    let (readiness, storage) = starting();
    let server = readiness.serve(ANYWHERE).await.unwrap();
    let on_thread = readiness.serve_on_thread(ANYWHERE).unwrap();
    let expect = async |started: u16, ready: u16| {
        for address in [port(&server), port(&on_thread)] {
            assert_eq!(status(address, "/livez").await, 200);
            assert_eq!(status(address, "/startupz").await, started);
            assert_eq!(status(address, "/readyz").await, ready);
        }
    };
    expect(503, 503).await;
    storage.ready();
    expect(200, 200).await;
    for phase in [Phase::Draining, Phase::Closing, Phase::Closed] {
        readiness.advance(phase);
        expect(200, 503).await;
    }
}

#[tokio::test]
async fn a_wait_is_answered_when_it_is_over() {
    let (readiness, storage) = starting();
    let server = readiness.serve_on_thread(ANYWHERE).unwrap();
    let mut waiting = Raw::open(port(&server)).await;
    waiting.write(&head("/readyz?wait=60")).await;
    storage.ready();
    assert_eq!(waiting.response().await.0, 200);
}

#[tokio::test]
async fn it_keeps_the_registry_alive() {
    let (readiness, storage) = ready();
    let server = readiness.serve(ANYWHERE).await.unwrap();
    drop((readiness, storage));
    assert_eq!(status(port(&server), "/livez").await, 200);
    assert_eq!(status(port(&server), "/readyz").await, 503);
}

// === how much it tells ===

#[tokio::test]
async fn how_much_it_tells_depends_on_who_can_reach_it() {
    let (readiness, storage) = ready();
    storage.failing(SECRET);
    for (address, detail) in [
        (ANYWHERE, Detail::Full),
        ("[::ffff:127.0.0.1]:0", Detail::Full),
        ("0.0.0.0:0", Detail::Names),
    ] {
        let server = readiness.serve(address).await.unwrap();
        assert_eq!(told(port(&server)).await, detail, "{address}");
        let server = readiness.serve_on_thread(address).unwrap();
        assert_eq!(told(port(&server)).await, detail, "{address}");
    }
}

#[tokio::test]
async fn who_chooses_how_much_it_tells_has_the_say() {
    let (readiness, storage) = ready();
    storage.failing(SECRET);
    for address in [ANYWHERE, "0.0.0.0:0"] {
        for detail in [Detail::None, Detail::Names, Detail::Full] {
            let probes = Probes::new(&readiness).detail(detail);
            let server = AdminListener::new(probes).serve(address).await.unwrap();
            assert_eq!(told(port(&server)).await, detail, "by the probes");

            let listener = AdminListener::new(&readiness).detail(detail);
            let server = listener.serve(address).await.unwrap();
            assert_eq!(told(port(&server)).await, detail, "by the listener");
        }
    }
}

/// How much is told at this port, on this machine.
async fn told(address: SocketAddr) -> Detail {
    let (status, text) = get(([127, 0, 0, 1], address.port()).into(), VERBOSE).await;
    assert_eq!(status, 503);
    detail_of(&text)
}

fn detail_of(text: &str) -> Detail {
    match (text.contains("storage"), text.contains(SECRET)) {
        (true, true) => Detail::Full,
        (true, false) => Detail::Names,
        _ => {
            assert_eq!(text, "not ready\n");
            Detail::None
        }
    }
}

// === a runtime that is blocked ===

/// Blocks the runtime until a probe was answered.
fn answers_while_blocked(runtime: &runtime::Runtime) {
    let (readiness, _storage) = ready();
    let server = readiness.serve_on_thread(ANYWHERE).unwrap();
    let address = port(&server);
    let (block, blocked) = mpsc::channel();
    let (answer, answered) = mpsc::channel();
    let client = std::thread::spawn(move || {
        blocked.recv().unwrap();
        answer.send(blocking_get(address, "/livez")).unwrap();
    });
    let answer = runtime.block_on(async move {
        let blocking = tokio::spawn(async move {
            block.send(()).unwrap();
            answered.recv_timeout(Duration::from_secs(30))
        });
        blocking.await.unwrap()
    });
    assert!(answer.unwrap().starts_with("HTTP/1.1 200 "));
    client.join().unwrap();
}

#[test]
fn its_thread_answers_while_a_runtime_of_one_thread_is_blocked() {
    let mut builder = runtime::Builder::new_current_thread();
    answers_while_blocked(&builder.enable_all().build().unwrap());
}

#[test]
fn its_thread_answers_while_the_only_worker_is_blocked() {
    let mut builder = runtime::Builder::new_multi_thread();
    let builder = builder.worker_threads(1).enable_all();
    answers_while_blocked(&builder.build().unwrap());
}

#[test]
fn its_thread_needs_no_runtime() {
    let (readiness, _storage) = ready();
    let server = readiness.serve_on_thread(ANYWHERE).unwrap();
    let answer = blocking_get(port(&server), "/readyz");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[test]
fn to_be_served_in_a_runtime_where_there_is_none_is_an_error() {
    let (readiness, _storage) = ready();
    let mut serve = tokio_test::task::spawn(readiness.serve(ANYWHERE));
    let outcome = tokio_test::assert_ready!(serve.poll());
    assert!(matches!(outcome, Err(ServeError::NoRuntime)), "{outcome:?}");
}

// === addresses ===

/// Why it is not served at `address`, in either way.
async fn errors<A>(readiness: &Readiness, address: A) -> [ServeError; 2]
where
    A: TryInto<Address, Error: Into<ServeError>> + Clone,
{
    [
        readiness.serve(address.clone()).await.unwrap_err(),
        readiness.serve_on_thread(address).unwrap_err(),
    ]
}

#[tokio::test]
async fn where_it_cannot_listen_is_an_error_that_says_where_and_why() {
    let (readiness, _storage) = ready();
    let taken = TcpListener::bind(ANYWHERE).await.unwrap();
    let taken = taken.local_addr().map(|address| (taken, address)).unwrap();
    // Set aside for documentation (RFC 5737).
    let elsewhere = SocketAddr::from(([192, 0, 2, 1], 0));
    for (wanted, kind) in [
        (taken.1, ErrorKind::AddrInUse),
        (elsewhere, ErrorKind::AddrNotAvailable),
    ] {
        for error in errors(&readiness, wanted).await {
            assert!(error.to_string().contains(&wanted.to_string()), "{error}");
            let ServeError::Bind { address, source } = error else {
                panic!("{error}");
            };
            assert_eq!(address, Address::from(wanted));
            assert_eq!(source.kind(), kind);
        }
    }
}

#[tokio::test]
async fn a_text_that_is_no_address_is_an_error() {
    let (readiness, _storage) = ready();
    for text in ["", "localhost:28080", "28080", "unix:"] {
        for error in errors(&readiness, text).await {
            assert!(
                matches!(&error, ServeError::Address(AddressError::Malformed { address }) if address == text),
                "{error:?}"
            );
        }
        for error in errors(&readiness, text.to_owned()).await {
            assert!(matches!(error, ServeError::Address(_)), "{error:?}");
        }
    }
}

#[tokio::test]
async fn absurd_limits_are_errors() {
    let (readiness, _storage) = ready();
    let listener = || AdminListener::new(&readiness);
    let too_long = Duration::from_secs(24 * 60 * 60 + 1);
    for (listener, expected) in [
        (listener().header_timeout(Duration::ZERO), "header timeout"),
        (listener().header_timeout(Duration::MAX), "header timeout"),
        (listener().idle_timeout(Duration::ZERO), "idle timeout"),
        (listener().idle_timeout(too_long), "idle timeout"),
        (listener().max_connections(0), "at least one connection"),
    ] {
        let error = listener.clone().serve(ANYWHERE).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        let error = listener.serve_on_thread(ANYWHERE).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    let most = listener()
        .header_timeout(Duration::from_secs(24 * 60 * 60))
        .max_connections(usize::MAX);
    let server = most.serve(ANYWHERE).await.unwrap();
    assert_eq!(status(port(&server), "/livez").await, 200);
}

// === its end ===

#[tokio::test]
async fn dropping_the_handle_does_not_stop_it() {
    let (readiness, _storage) = ready();
    for server in [
        readiness.serve(ANYWHERE).await.unwrap(),
        readiness.serve_on_thread(ANYWHERE).unwrap(),
    ] {
        let address = port(&server);
        let mut connection = Raw::open(address).await;
        assert_eq!(connection.get("/livez").await.0, 200);
        drop(server);
        assert_eq!(connection.get("/livez").await.0, 200);
        assert_eq!(status(address, "/livez").await, 200);
    }
}

#[tokio::test]
async fn stopped_it_frees_the_port_and_ends_its_connections() {
    let (readiness, _storage) = starting();
    for server in [
        readiness.serve(ANYWHERE).await.unwrap(),
        readiness.serve_on_thread(ANYWHERE).unwrap(),
    ] {
        let address = port(&server);
        let mut silent = Raw::open(address).await;
        let mut half = Raw::open(address).await;
        half.write("GET /livez HTTP/1.1\r\n").await;
        let mut kept = Raw::open(address).await;
        assert_eq!(kept.get("/livez").await.0, 200);
        let mut waiting = Raw::open(address).await;
        waiting.write(&head("/readyz?wait=60")).await;
        let (mut sender, connection) = http2(address).await;
        assert_eq!(send(&mut sender, request("/livez")).await.status(), 200);

        server.stop();
        soon(server.stopped()).await;
        soon(connection).await.unwrap().unwrap();
        for connection in [&mut silent, &mut half, &mut kept, &mut waiting] {
            connection.is_closed_without_a_word().await;
        }
        let again = readiness.serve(address).await.unwrap();
        assert_eq!(status(port(&again), "/livez").await, 200);
        // Told again, or asked again, nothing happens.
        server.stop();
        soon(server.stopped()).await;
        assert_eq!(status(port(&again), "/livez").await, 200);
    }
}

#[test]
fn it_ends_with_the_runtime_it_runs_in() {
    let (readiness, _storage) = ready();
    let runtime = || {
        let mut builder = runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap()
    };
    let its_own = runtime();
    let server = its_own.block_on(readiness.serve(ANYWHERE)).unwrap();
    drop(its_own);
    runtime().block_on(async {
        soon(server.stopped()).await;
        let error = TcpStream::connect(port(&server)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    });
}

// === peers that do not behave ===

#[tokio::test]
async fn who_does_not_ask_is_let_go() {
    let (readiness, _storage) = ready();
    let listener = AdminListener::new(&readiness).header_timeout(SHORT);
    let server = listener.serve(ANYWHERE).await.unwrap();
    for sent in [
        "",
        "GET /livez HTTP/1.1\r\nhost: localhost\r\n",
        "GET /li",
        // What HTTP/2 begins with, in part.
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
async fn who_drips_does_not_stay_longer() {
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
async fn who_keeps_a_connection_and_asks_no_more_is_let_go() {
    let (readiness, _storage) = ready();
    let listener = AdminListener::new(&readiness).idle_timeout(SHORT);
    let server = listener.serve(ANYWHERE).await.unwrap();
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

/// A request that waits, once it surely does: hyper goes on to it in the same
/// turn in which it answers the one before.
async fn waiting(address: SocketAddr) -> Raw<TcpStream> {
    let mut waiting = Raw::open(address).await;
    let both = head("/livez") + &head("/readyz?wait=60");
    waiting.write(&both).await;
    assert_eq!(waiting.response().await.0, 200);
    waiting
}

#[tokio::test]
async fn who_does_not_read_the_answer_is_let_go() {
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

/// Has more to say than the system keeps for a connection: 16 MiB.
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
    let server = readiness.serve(ANYWHERE).await.unwrap();
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
    let server = readiness.serve(ANYWHERE).await.unwrap();
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
async fn a_body_is_not_read() {
    let (readiness, _storage) = ready();
    let server = readiness.serve(ANYWHERE).await.unwrap();
    let mut peer = Raw::open(port(&server)).await;
    peer.write("POST /readyz HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10000000\r\n\r\n")
        .await;
    assert_eq!(peer.response().await.0, 405);
    // It does not wait for what it will not read.
    peer.is_closed_without_a_word().await;

    // Nor does it take it from one that sends nevertheless.
    let mut peer = TcpStream::connect(port(&server)).await.unwrap();
    peer.write_all(b"POST /readyz HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n")
        .await
        .unwrap();
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    soon(async { while peer.write_all(chunk.as_bytes()).await.is_ok() {} }).await;
    assert_eq!(status(port(&server), "/livez").await, 200);
}

#[tokio::test]
async fn http2_peers_are_told_how_many_requests_they_may_send_at_a_time() {
    const SETTINGS: u8 = 4;
    const MAX_CONCURRENT_STREAMS: u16 = 3;

    let (readiness, _storage) = ready();
    let server = readiness.serve(ANYWHERE).await.unwrap();
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
    assert_eq!(at_a_time[2..], 32_u32.to_be_bytes());
}

// === too many connections ===

#[tokio::test]
async fn one_too_many_takes_the_place_of_who_has_not_asked_for_the_longest_time() {
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
async fn a_crowd_that_sends_nothing_cannot_keep_a_probe_out() {
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
async fn who_waits_keeps_the_place_as_long_as_another_does_not() {
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
async fn those_who_wait_cannot_keep_a_probe_out() {
    let (readiness, _storage) = starting();
    let listener = AdminListener::new(&readiness).max_connections(2);
    let server = listener.serve(ANYWHERE).await.unwrap();
    let mut first = waiting(port(&server)).await;
    let _second = waiting(port(&server)).await;
    assert_eq!(status(port(&server), "/livez").await, 200);
    first.is_closed_without_a_word().await;
}

// === unix sockets ===

#[cfg(unix)]
mod unix {
    use super::*;
    use std::{
        fs,
        os::unix::{fs::symlink, net},
        path::{Path, PathBuf},
    };
    use tokio::net::UnixStream;

    /// A folder of its own, gone with it.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("readiness-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn socket(&self) -> PathBuf {
            self.0.join("admin.sock")
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    async fn get(path: &Path, uri: &str) -> (u16, String) {
        let stream = UnixStream::connect(path).await.unwrap();
        Raw::on(stream).get(uri).await
    }

    #[tokio::test]
    async fn it_tells_all_and_is_gone_when_it_is_stopped() {
        let folder = Folder::new("stop");
        let path = folder.socket();
        let (readiness, storage) = ready();
        storage.failing(SECRET);
        let text = format!("unix:{}", path.display());
        for on_thread in [false, true] {
            let server = if on_thread {
                readiness.serve_on_thread(&text).unwrap()
            } else {
                readiness.serve(&text).await.unwrap()
            };
            assert_eq!(server.local_addr().to_string(), text);
            let (status, body) = get(&path, VERBOSE).await;
            assert_eq!(status, 503);
            assert_eq!(detail_of(&body), Detail::Full);
            server.stop();
            soon(server.stopped()).await;
            assert!(!path.exists());
        }
    }

    #[tokio::test]
    async fn what_a_dead_process_left_behind_is_replaced() {
        let folder = Folder::new("stale");
        let path = folder.socket();
        let (readiness, _storage) = ready();
        drop(net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let server = readiness.serve(path.as_path()).await.unwrap();
        assert_eq!(get(&path, "/livez").await.0, 200);
        drop(server);
    }

    #[tokio::test]
    async fn one_that_somebody_listens_on_is_in_use() {
        let folder = Folder::new("live");
        let path = folder.socket();
        let (readiness, _storage) = ready();
        let _first = readiness.serve(path.as_path()).await.unwrap();
        for error in errors(&readiness, path.as_path()).await {
            let ServeError::Bind { address, source } = error else {
                panic!("{error}");
            };
            assert_eq!(address, Address::Unix(path.clone()));
            assert_eq!(source.kind(), ErrorKind::AddrInUse);
        }
        assert_eq!(get(&path, "/livez").await.0, 200);
    }

    #[tokio::test]
    async fn one_of_another_kind_is_in_use() {
        let folder = Folder::new("datagram");
        let path = folder.socket();
        let (readiness, _storage) = ready();
        let datagrams = net::UnixDatagram::bind(&path).unwrap();
        for error in errors(&readiness, path.as_path()).await {
            assert!(
                matches!(&error, ServeError::Bind { source, .. } if source.kind() == ErrorKind::AddrInUse),
                "{error:?}"
            );
        }
        assert!(path.exists());
        drop(datagrams);
    }

    #[tokio::test]
    async fn what_is_no_socket_is_left_alone() {
        let folder = Folder::new("file");
        let (readiness, _storage) = ready();
        let file = folder.0.join("file");
        fs::write(&file, "precious").unwrap();
        let stale = folder.0.join("stale");
        drop(net::UnixListener::bind(&stale).unwrap());
        let link = folder.0.join("link");
        symlink(&stale, &link).unwrap();
        let directory = folder.0.join("directory");
        fs::create_dir(&directory).unwrap();
        for path in [&file, &link, &directory] {
            for error in errors(&readiness, path.as_path()).await {
                assert!(
                    matches!(&error, ServeError::NotASocket { address } if *address == Address::Unix(path.clone())),
                    "{error:?}"
                );
            }
        }
        assert_eq!(fs::read_to_string(file).unwrap(), "precious");
        assert!(stale.exists() && link.is_symlink() && directory.is_dir());

        let nowhere = folder.0.join("nowhere/admin.sock");
        for error in errors(&readiness, nowhere).await {
            assert!(
                matches!(&error, ServeError::Bind { source, .. } if source.kind() == ErrorKind::NotFound),
                "{error:?}"
            );
        }
    }

    #[tokio::test]
    async fn the_file_of_a_successor_is_left_alone() {
        let folder = Folder::new("successor");
        let path = folder.socket();
        let (readiness, _storage) = ready();
        let first = readiness.serve(path.as_path()).await.unwrap();
        fs::remove_file(&path).unwrap();
        let _second = readiness.serve(path.as_path()).await.unwrap();
        first.stop();
        soon(first.stopped()).await;
        assert_eq!(get(&path, "/livez").await.0, 200);
    }

    #[test]
    fn the_file_goes_with_the_runtime() {
        let folder = Folder::new("runtime");
        let (readiness, _storage) = ready();
        let mut builder = runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().build().unwrap();
        let path = folder.socket();
        let _server = runtime.block_on(readiness.serve(path.as_path())).unwrap();
        assert!(path.exists());
        drop(runtime);
        assert!(!path.exists());
    }
}

// === too many open files ===

#[cfg(all(unix, feature = "tracing"))]
mod too_many_files {
    use super::*;
    use rustix::process::{Resource, getrlimit, setrlimit};

    const CHILD: &str = "TOWER_READINESS_TEST_CHILD";

    /// Sends on what is logged.
    struct Lines(mpsc::Sender<String>);

    impl Write for Lines {
        fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
            let _ = self.0.send(String::from_utf8_lossy(line).into_owned());
            Ok(line.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn who_came_while_there_were_too_many_open_files_is_answered() {
        // A process of its own, for none of its threads can open anything.
        if std::env::var_os(CHILD).is_some() {
            let mut builder = runtime::Builder::new_current_thread();
            let runtime = builder.enable_all().build().unwrap();
            return runtime.block_on(while_there_are_too_many_open_files());
        }
        let test = "too_many_files::who_came_while_there_were_too_many_open_files_is_answered";
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(CHILD, "1")
            .status()
            .unwrap();
        assert!(status.success(), "{status}");
    }

    async fn while_there_are_too_many_open_files() {
        let (logged, log) = mpsc::channel();
        tracing_subscriber::fmt()
            .with_writer(move || Lines(logged.clone()))
            .init();
        let (readiness, _storage) = ready();
        let server = readiness.serve_on_thread(ANYWHERE).unwrap();
        let socket = tokio::net::TcpSocket::new_v4().unwrap();

        let plenty = getrlimit(Resource::Nofile);
        let mut none = plenty;
        none.current = Some(0);
        setrlimit(Resource::Nofile, none).unwrap();
        let mut peer = Raw::on(socket.connect(port(&server)).await.unwrap());
        peer.write(&head("/livez")).await;
        let wait = Duration::from_secs(30);
        while !log.recv_timeout(wait).unwrap().contains("cannot accept") {}
        setrlimit(Resource::Nofile, plenty).unwrap();
        assert_eq!(peer.response().await.0, 200);
    }
}
