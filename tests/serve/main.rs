//! The server that retires its connections while the process drains: over pipes in
//! memory on tokio's paused clock, where times are exact, and over real sockets.

mod backlog;
mod bounds;
mod eviction;
mod others;
#[path = "../support/mod.rs"]
mod support;

use axum::{
    Extension, Router,
    body::Body,
    extract::{ConnectInfo, State},
    routing::get,
};
use bytes::Bytes;
use futures_util::{FutureExt, stream};
use http::{Request, Response, StatusCode, header::CONNECTION};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{
    future::IntoFuture,
    io,
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use support::{listen, ready, soon, until};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex},
    net::TcpStream,
    sync::{Notify, mpsc},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tower_readiness::{
    Phase, Readiness, ReadinessLayer, Reporter, SettingError,
    connections::{Connections, Retiring},
    drain::{self, Listener, ShutdownTimeout},
};

const DELAY: Duration = Duration::from_secs(5);
const CAP: Duration = Duration::from_secs(20);

/// A listener whose connections are pipes in memory, numbered by their peer.
struct Pipes(mpsc::UnboundedReceiver<io::Result<DuplexStream>>, usize);

impl Listener for Pipes {
    type Connection = (DuplexStream, usize);

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Self::Connection>> {
        match self.0.poll_recv(cx) {
            Poll::Ready(Some(accepted)) => {
                self.1 += 1;
                Poll::Ready(accepted.map(|stream| (stream, self.1)))
            }
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

/// The bytes that a pipe holds.
const PIPE: usize = 64 << 10;

#[derive(Clone)]
struct Peers(mpsc::UnboundedSender<io::Result<DuplexStream>>);

impl Peers {
    fn connect(&self) -> DuplexStream {
        let (here, there) = duplex(PIPE);
        self.0.send(Ok(there)).unwrap();
        here
    }

    /// The server receives EMFILE when it next accepts.
    fn lack_descriptors(&self) {
        self.0.send(Err(io::Error::from_raw_os_error(24))).unwrap();
    }
}

fn pipes() -> (Peers, Pipes) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Peers(sender), Pipes(receiver, 0))
}

fn app(readiness: &Readiness) -> Router {
    Router::new()
        .route("/", get(async || "served"))
        .route(
            "/endless",
            get(async || {
                Body::from_stream(stream::repeat_with(|| {
                    Ok::<_, io::Error>(Bytes::from_static(&[b'x'; 1024]))
                }))
            }),
        )
        .route("/upgrade", get(upgrade))
        .route(
            "/until_retired",
            get(until_retired).with_state(readiness.clone()),
        )
        .layer(ReadinessLayer::new(readiness).count_in_flight())
}

/// A stream that the signal of its connection ends.
async fn until_retired(State(readiness): State<Readiness>, request: Request<Body>) -> Body {
    let retired = readiness.retiring(&request).requested();
    Body::from_stream(stream::once(async {
        retired.await;
        Ok::<_, io::Error>("goodbye")
    }))
}

/// More than the kernel sends without an acknowledgement, less than it buffers.
const LARGE: usize = 200 << 10;

async fn upgrade(
    Extension(retiring): Extension<Retiring>,
    request: Request<Body>,
) -> impl axum::response::IntoResponse {
    tokio::spawn(async move {
        let mut stream = TokioIo::new(hyper::upgrade::on(request).await.unwrap());
        retiring.requested().await;
        stream.write_all(b"goodbye").await.unwrap();
    });
    (
        StatusCode::SWITCHING_PROTOCOLS,
        [("connection", "upgrade"), ("upgrade", "chat")],
    )
}

type Run = JoinHandle<Result<Result<(), SettingError>, ShutdownTimeout>>;

/// A process that serves [`app`] with a drain delay of [`DELAY`].
struct Process {
    readiness: Readiness,
    _storage: Reporter,
    connections: Connections,
    peers: Peers,
    run: Run,
}

impl Process {
    fn start() -> Self {
        Self::with(usize::MAX)
    }

    fn with(max_connections: usize) -> Self {
        let (readiness, _storage) = ready();
        let (peers, listener) = pipes();
        let connections = readiness.connections();
        let app = app(&readiness).into_make_service();
        let server = drain::serve(&readiness, listener, app)
            .connections(connections.clone())
            .max_connections(max_connections)
            .with_graceful_shutdown(shutdown(&readiness));
        let run = run(&readiness, server);
        Self {
            readiness,
            _storage,
            connections,
            peers,
            run,
        }
    }

    async fn ended(self) -> Result<(), ShutdownTimeout> {
        self.run.await.unwrap().map(|served| served.unwrap())
    }
}

fn shutdown(readiness: &Readiness) -> drain::Shutdown {
    let shutdown = readiness.shutdown().delay(DELAY).closing_cap(CAP);
    shutdown.build().unwrap()
}

fn run<S>(readiness: &Readiness, server: S) -> Run
where
    S: IntoFuture<Output = Result<(), SettingError>, IntoFuture: Send> + Send + 'static,
{
    let readiness = readiness.clone();
    tokio::spawn(async move { readiness.run(server).await })
}

fn request(uri: &str) -> Request<Empty<Bytes>> {
    let builder = Request::get(uri).header("host", "localhost");
    builder.body(Empty::new()).unwrap()
}

struct Http1 {
    sender: http1::SendRequest<Empty<Bytes>>,
    connection: JoinHandle<hyper::Result<()>>,
}

impl Http1 {
    async fn over(io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        let (sender, connection) = http1::handshake(TokioIo::new(io)).await.unwrap();
        let connection = tokio::spawn(connection);
        Self { sender, connection }
    }

    async fn get(&mut self, path: &str) -> String {
        self.sender.ready().await.unwrap();
        let response = self.sender.send_request(request(path)).await.unwrap();
        let body = response.into_body().collect().await.unwrap();
        String::from_utf8(body.to_bytes().into()).unwrap()
    }
}

struct Http2 {
    sender: http2::SendRequest<Empty<Bytes>>,
    connection: JoinHandle<hyper::Result<()>>,
}

impl Http2 {
    async fn over(io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        let executor = TokioExecutor::new();
        let (sender, connection) = http2::handshake(executor, TokioIo::new(io)).await.unwrap();
        let connection = tokio::spawn(connection);
        Self { sender, connection }
    }

    async fn get(&mut self, path: &str) -> String {
        self.sender.ready().await.unwrap();
        let request = request(&format!("http://localhost{path}"));
        let response = self.sender.send_request(request).await.unwrap();
        let body = response.into_body().collect().await.unwrap();
        String::from_utf8(body.to_bytes().into()).unwrap()
    }
}

// === what it serves ===

#[tokio::test]
async fn it_serves_both_versions_over_sockets_and_handlers_see_the_address_of_the_peer() {
    let (readiness, _storage) = ready();
    let (listener, address) = listen().await;
    let peer = async |ConnectInfo(peer): ConnectInfo<SocketAddr>| peer.to_string();
    let app = Router::new().route("/", get(peer));
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let server = tokio::spawn(drain::serve(&readiness, listener, app).into_future());
    let stream = TcpStream::connect(address).await.unwrap();
    let local = stream.local_addr().unwrap().to_string();
    assert_eq!(Http1::over(stream).await.get("/").await, local);
    let stream = TcpStream::connect(address).await.unwrap();
    let local = stream.local_addr().unwrap().to_string();
    assert_eq!(Http2::over(stream).await.get("/").await, local);
    readiness.advance(Phase::Closing);
    server.await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[cfg(unix)]
#[tokio::test]
async fn it_serves_a_unix_socket() {
    let (readiness, _storage) = ready();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let app = app(&readiness).into_make_service();
    let server = tokio::spawn(drain::serve(&readiness, listener, app).into_future());
    let stream = tokio::net::UnixStream::connect(&path).await.unwrap();
    assert_eq!(Http1::over(stream).await.get("/").await, "served");
    readiness.advance(Phase::Closing);
    server.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_handshake_replaces_the_stream_and_names_the_peer() {
    let (readiness, _storage) = ready();
    let (peers, listener) = pipes();
    let name = async |ConnectInfo(name): ConnectInfo<Name>| name.0;
    let app = Router::new().route("/", get(name));
    let app = app.into_make_service_with_connect_info::<Name>();
    let server = drain::serve(&readiness, listener, app).handshake(
        async |(mut stream, number): (DuplexStream, usize)| {
            // A line with the name comes before HTTP.
            let mut name = Vec::new();
            while name.last() != Some(&b'\n') {
                name.push(stream.read_u8().await?);
            }
            let name = String::from_utf8_lossy(&name).trim().to_owned();
            Ok((stream, Name(format!("{name} {number}"))))
        },
    );
    let _server = tokio::spawn(server.into_future());
    let mut stream = peers.connect();
    stream.write_all(b"alice\n").await.unwrap();
    assert_eq!(Http1::over(stream).await.get("/").await, "alice 1");
}

#[derive(Clone)]
struct Name(String);

impl axum::extract::connect_info::Connected<Name> for Name {
    fn connect_info(name: Name) -> Self {
        name
    }
}

// === the drain ===

#[tokio::test(start_paused = true)]
async fn its_connections_leave_evenly_over_the_window() {
    let process = Process::start();
    let mut left = Vec::new();
    for _ in 0..100 {
        let mut client = Http1::over(process.peers.connect()).await;
        client.get("/").await;
        left.push(tokio::spawn(async move {
            let _sender = client.sender;
            client.connection.await.unwrap().unwrap();
            Instant::now()
        }));
        let mut client = Http2::over(process.peers.connect()).await;
        client.get("/").await;
        left.push(tokio::spawn(async move {
            let _sender = client.sender;
            client.connection.await.unwrap().unwrap();
            Instant::now()
        }));
        let mut stream = process.peers.connect();
        let upgrade =
            b"GET /upgrade HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: chat\r\n\r\n";
        stream.write_all(upgrade).await.unwrap();
        left.push(tokio::spawn(async move {
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.ends_with("goodbye"), "{answer}");
            Instant::now()
        }));
    }
    sleep(Duration::from_secs(2)).await;
    assert_eq!(process.connections.open(), 300);
    let begin = Instant::now();
    process.readiness.drain();
    let mut tenths = [0; 10];
    for left in left {
        let share = (left.await.unwrap() - begin).as_secs_f64() / DELAY.as_secs_f64();
        assert!((0.3..=0.91).contains(&share), "{share}");
        tenths[(share * 10.0) as usize] += 1;
    }
    assert!(tenths.iter().all(|share| *share <= 75), "{tenths:?} of 300");
    assert_eq!(process.readiness.verdict().phase(), Phase::Draining);
    process.ended().await.unwrap();
    assert!(begin.elapsed() < DELAY + Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn a_drain_before_the_first_connection_ends_with_the_delay() {
    let process = Process::start();
    let begin = Instant::now();
    process.readiness.drain();
    process.ended().await.unwrap();
    assert_eq!(begin.elapsed().as_secs(), DELAY.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_is_cut_off_at_the_cap() {
    let process = Process::start();
    let mut stream = process.peers.connect();
    let endless = b"GET /endless HTTP/1.1\r\nhost: localhost\r\n\r\n";
    stream.write_all(endless).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    let begin = Instant::now();
    process.readiness.drain();
    let cut_off = process.ended().await.unwrap_err();
    assert_eq!(cut_off.in_flight, Some(1));
    assert_eq!(begin.elapsed().as_secs(), (DELAY + CAP).as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_slowly_receives_all_of_a_stream_of_one_piece() {
    const LENGTH: usize = 300 << 10;
    let (readiness, _storage) = ready();
    let (peers, listener) = pipes();
    let piece = || stream::iter([Ok::<_, io::Error>(Bytes::from_static(&[b'x'; LENGTH]))]);
    let app = Router::new()
        .route("/", get(async move || Body::from_stream(piece())))
        .layer(ReadinessLayer::new(&readiness).count_in_flight());
    let server = drain::serve(&readiness, listener, app.into_make_service())
        .with_graceful_shutdown(shutdown(&readiness));
    let run = run(&readiness, server);
    let mut client = peers.connect();
    let request = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
    client.write_all(request).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    readiness.drain();
    // Longer than the grace of an idle connection.
    sleep(DELAY + CAP / 2).await;
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    let received = answer.iter().filter(|byte| **byte == b'x').count();
    assert_eq!(received, LENGTH);
    run.await.unwrap().unwrap().unwrap();
}

/// One frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The preface, and settings with the largest window for each stream.
fn preface() -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(4, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]));
    bytes.extend(frame(8, 0, 0, &(1_u32 << 30).to_be_bytes()));
    bytes
}

/// The frame of a request without a body.
fn headers(stream: u32, path: &str) -> Vec<u8> {
    let mut block = vec![0x82, 0x86, 0x04, path.len() as u8];
    block.extend(path.as_bytes());
    block.extend(b"\x41\x09localhost");
    frame(1, 5, stream, &block)
}

/// Reads one frame, and acknowledges a PING, as every library does. Returns its kind and
/// its payload, or `None` at the end.
async fn next_frame(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.ok()?;
    let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
    stream.read_exact(&mut payload).await.ok()?;
    if (head[3], head[4]) == (PING, 0) {
        let _ = stream.write_all(&frame(PING, 1, 0, &payload)).await;
    }
    Some((head[3], payload))
}

const PING: u8 = 6;
const GOAWAY: u8 = 7;

#[tokio::test(start_paused = true)]
async fn a_client_that_ignores_goaway_and_opens_streams_is_closed_all_the_same() {
    let process = Process::start();
    let mut stream = process.peers.connect();
    stream.write_all(&preface()).await.unwrap();
    let begin = Instant::now();
    let client = tokio::spawn(async move {
        for id in (1..).step_by(2) {
            if stream.write_all(&headers(id, "/")).await.is_err() {
                break;
            }
            // The answers to this stream and to those before.
            while let Ok(frame) = timeout(Duration::from_millis(50), next_frame(&mut stream)).await
            {
                if frame.is_none() {
                    return Instant::now();
                }
            }
        }
        Instant::now()
    });
    process.readiness.drain();
    let share = (client.await.unwrap() - begin).as_secs_f64() / DELAY.as_secs_f64();
    assert!((0.3..=0.92).contains(&share), "{share}");
    process.ended().await.unwrap();
    assert_eq!(begin.elapsed().as_secs(), DELAY.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_acknowledges_nothing_and_opens_streams_is_cut_off_at_the_cap() {
    let process = Process::start();
    let (mut read, mut write) = tokio::io::split(process.peers.connect());
    write.write_all(&preface()).await.unwrap();
    let client = tokio::spawn(async move {
        for id in (1..).step_by(2) {
            if write.write_all(&headers(id, "/")).await.is_err() {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    });
    let reads = tokio::spawn(async move { read.read_to_end(&mut Vec::new()).await });
    sleep(Duration::from_secs(1)).await;
    let begin = Instant::now();
    process.readiness.drain();
    // Without a request in flight at that moment, it is a success.
    let _ = process.run.await.unwrap();
    assert!(begin.elapsed() <= DELAY + CAP + Duration::from_millis(100));
    client.await.unwrap();
    reads.await.unwrap().unwrap();
}

// === the end of a connection ===

#[tokio::test]
async fn a_slow_client_of_http_2_receives_the_whole_answer_of_a_connection_that_closed() {
    let (readiness, _storage) = ready();
    let (listener, address) = listen().await;
    let connections = readiness.connections();
    let answer = Arc::new(Notify::new());
    let handler = {
        let answer = Arc::clone(&answer);
        async move || {
            answer.notified().await;
            vec![b'x'; LARGE]
        }
    };
    let app = Router::new().route("/", get(handler));
    let server = drain::serve(&readiness, listener, app.into_make_service())
        .connections(connections.clone());
    let server = tokio::spawn(server.into_future());
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&preface()).await.unwrap();
    stream.write_all(&headers(1, "/")).await.unwrap();
    until(|| connections.open() == 1).await;
    readiness.advance(Phase::Closing);
    // The first GOAWAY lets requests on their way arrive, and the second is the last.
    let mut goaways = 0;
    while goaways < 2 {
        let (kind, _) = next_frame(&mut stream).await.unwrap();
        goaways += usize::from(kind == GOAWAY);
    }
    answer.notify_one();
    // hyper has written the answer to the kernel, and has ended the connection.
    until(|| connections.open() == 0).await;
    let mut received = Vec::new();
    let mut buffer = vec![0; 8 << 10];
    loop {
        let read = stream.read(&mut buffer).await.unwrap();
        if read == 0 {
            break;
        }
        received.extend_from_slice(&buffer[..read]);
        let window_update = frame(8, 0, 0, &(read as u32).to_be_bytes());
        let _ = stream.write_all(&window_update).await;
    }
    let body = received.iter().filter(|byte| **byte == b'x').count();
    assert!(body >= LARGE, "{body}");
    drop(stream);
    server.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_answer_at_the_end_of_the_drain_says_close() {
    let process = Process::start();
    process.readiness.drain();
    sleep(DELAY.mul_f64(0.95)).await;
    let mut client = Http1::over(process.peers.connect()).await;
    let response = client.sender.send_request(request("/")).await.unwrap();
    assert_eq!(response.headers()[CONNECTION], "close");
}
