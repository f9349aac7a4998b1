//! Connections that retire one after the other while the process drains: servers and
//! clients of hyper on tokio's paused clock.

mod support;

use axum::{
    Extension, Router,
    body::Body,
    routing::{get, post},
};
use bytes::Bytes;
use futures_util::{FutureExt, stream};
use http::{
    HeaderMap, Method, Request, Response, StatusCode, Version,
    header::{CONNECTION, UPGRADE},
};
use http_body::Body as _;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::{http1, http2};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use std::{convert::Infallible, time::Duration};
use support::ready;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, duplex},
    sync::mpsc,
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep, sleep_until, timeout},
};
use tower::{Service, ServiceExt, limit::ConcurrencyLimit, service_fn};
use tower_readiness::{
    Phase, Readiness, ReadinessLayer, Reporter,
    connections::{Connections, ConnectionsError, Retiring},
};

const DELAY: Duration = Duration::from_secs(5);

/// What a connection consists of.
#[derive(Clone, Copy)]
enum Link {
    /// Unix sockets. The kernel delivers their bytes before a write returns, so that
    /// the paused clock cannot advance in the meantime, as it can with TCP.
    #[cfg(unix)]
    Sockets,
    /// Pipes in memory.
    Memory,
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}
type Stream = Box<dyn Io>;

/// A server that tracks its connections, and a process that drains when it is told.
struct Server {
    readiness: Readiness,
    connections: Connections,
    link: Link,
    accepted: mpsc::UnboundedSender<Stream>,
    storage: Reporter,
    accepting: JoinHandle<()>,
}

impl Server {
    fn start(link: Link, delay: Duration) -> Self {
        let (readiness, storage) = ready();
        let mut server = Self::with(readiness.connections(), readiness, storage, delay);
        server.link = link;
        server
    }

    fn with(
        connections: Connections,
        readiness: Readiness,
        storage: Reporter,
        delay: Duration,
    ) -> Self {
        let app = Router::new()
            .route("/", get(async || "served"))
            .route("/slow", get(slow))
            .route("/stream", get(events))
            .route(
                "/own",
                get(async || ([(CONNECTION, "keep-alive")], "served")),
            )
            .route("/upload", post(async |body: Bytes| body))
            .route("/upgrade", get(upgrade))
            .layer(ReadinessLayer::new(&readiness).count_in_flight());
        let shutdown = readiness.shutdown().delay(delay).build().unwrap();
        let (accepted, mut streams) = mpsc::unbounded_channel::<Stream>();
        let tracked = connections.clone();
        let accepting = tokio::spawn(async move {
            let mut shutdown = std::pin::pin!(shutdown);
            loop {
                let stream = tokio::select! {
                    Some(stream) = streams.recv() => stream,
                    () = shutdown.as_mut() => return,
                };
                let connection = tracked.track();
                let service = connection.service(TowerToHyperService::new(app.clone()));
                tokio::spawn(async move {
                    let http = auto::Builder::new(TokioExecutor::new());
                    let http = http.serve_connection_with_upgrades(TokioIo::new(stream), service);
                    drop(connection.drive(http).await);
                });
            }
        });
        Self {
            readiness,
            connections,
            link: Link::Memory,
            accepted,
            storage,
            accepting,
        }
    }

    fn connect(&self) -> TokioIo<Stream> {
        let (here, there): (Stream, Stream) = match self.link {
            #[cfg(unix)]
            Link::Sockets => {
                let (here, there) = tokio::net::UnixStream::pair().unwrap();
                (Box::new(here), Box::new(there))
            }
            Link::Memory => {
                let (here, there) = duplex(64 << 10);
                (Box::new(here), Box::new(there))
            }
        };
        self.accepted.send(there).unwrap();
        TokioIo::new(here)
    }
}

async fn slow() -> &'static str {
    sleep(Duration::from_secs(2)).await;
    "served"
}

/// Server-sent events without an end of their own.
async fn events(Extension(retiring): Extension<Retiring>) -> Body {
    let first = stream::once(async { Ok::<_, Infallible>("data: hello\n\n") });
    let last = stream::once(async move {
        retiring.requested().await;
        Ok("data: goodbye\n\n")
    });
    use futures_util::StreamExt;
    Body::from_stream(first.chain(last))
}

/// A protocol of its own, as a websocket has, that ends when its connection retires.
async fn upgrade(
    Extension(retiring): Extension<Retiring>,
    request: Request<Body>,
) -> Response<Body> {
    tokio::spawn(async move {
        let mut stream = TokioIo::new(hyper::upgrade::on(request).await.unwrap());
        retiring.requested().await;
        stream.write_all(b"goodbye").await.unwrap();
    });
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(CONNECTION, "upgrade")
        .header(UPGRADE, "chat")
        .body(Body::empty())
        .unwrap()
}

fn request(path: &str) -> Request<Empty<Bytes>> {
    let builder = Request::get(path).header("host", "localhost");
    builder.body(Empty::new()).unwrap()
}

/// A client that keeps one HTTP/1 connection.
struct Http1 {
    sender: http1::SendRequest<Empty<Bytes>>,
    connection: JoinHandle<hyper::Result<()>>,
}

impl Http1 {
    async fn connect(server: &Server) -> Self {
        let (sender, connection) = http1::handshake(server.connect()).await.unwrap();
        let connection = tokio::spawn(connection);
        Self { sender, connection }
    }

    async fn get(&mut self, path: &str) -> hyper::Result<(HeaderMap, Bytes)> {
        self.sender.ready().await?;
        let response = self.sender.send_request(request(path)).await?;
        assert_eq!(response.status(), StatusCode::OK);
        let (head, body) = response.into_parts();
        Ok((head.headers, body.collect().await?.to_bytes()))
    }
}

fn says_close(headers: &HeaderMap) -> bool {
    headers
        .get(CONNECTION)
        .is_some_and(|value| value == "close")
}

/// A client that keeps one HTTP/2 connection.
struct Http2 {
    sender: http2::SendRequest<Empty<Bytes>>,
    connection: JoinHandle<hyper::Result<()>>,
}

impl Http2 {
    async fn connect(server: &Server) -> Self {
        let io = server.connect();
        let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
        let connection = tokio::spawn(connection);
        Self { sender, connection }
    }

    async fn get(&mut self, path: &str) -> hyper::Result<Bytes> {
        self.sender.ready().await?;
        let uri = format!("http://localhost{path}");
        let response = self.sender.send_request(request(&uri)).await?;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.version(), Version::HTTP_2);
        Ok(response.into_body().collect().await?.to_bytes())
    }
}

// === when connections leave ===

/// How a client uses its connection, from its first request to its end.
#[derive(Clone, Copy, Debug)]
enum Use {
    Http1Idle,
    Http2Idle,
    Http2Stream,
    ServerSentEvents,
    Upgraded,
}

/// Uses a connection until the server ends it, and returns when that was.
async fn until_it_leaves(server: &Server, used: Use) -> JoinHandle<Instant> {
    match used {
        Use::Http1Idle => {
            let mut client = Http1::connect(server).await;
            client.get("/").await.unwrap();
            tokio::spawn(async move {
                // The client closes the connection when this is dropped.
                let _sender = client.sender;
                client.connection.await.unwrap().unwrap();
                Instant::now()
            })
        }
        Use::Http2Idle => {
            let mut client = Http2::connect(server).await;
            client.get("/").await.unwrap();
            tokio::spawn(async move {
                // The client closes the connection when this is dropped.
                let _sender = client.sender;
                client.connection.await.unwrap().unwrap();
                Instant::now()
            })
        }
        Use::Http2Stream => {
            let mut client = Http2::connect(server).await;
            tokio::spawn(async move {
                assert_eq!(
                    client.get("/stream").await.unwrap(),
                    "data: hello\n\ndata: goodbye\n\n"
                );
                client.connection.await.unwrap().unwrap();
                Instant::now()
            })
        }
        Use::ServerSentEvents => {
            let mut client = Http1::connect(server).await;
            tokio::spawn(async move {
                let (_, events) = client.get("/stream").await.unwrap();
                assert_eq!(events, "data: hello\n\ndata: goodbye\n\n");
                Instant::now()
            })
        }
        Use::Upgraded => {
            let mut stream = server.connect().into_inner();
            let upgrade = b"GET /upgrade HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: chat\r\n\r\n";
            stream.write_all(upgrade).await.unwrap();
            tokio::spawn(async move {
                let mut answer = String::new();
                stream.read_to_string(&mut answer).await.unwrap();
                assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
                assert!(answer.contains("connection: upgrade\r\n"), "{answer}");
                assert!(answer.ends_with("\r\n\r\ngoodbye"), "{answer}");
                Instant::now()
            })
        }
    }
}

/// Drains while 200 connections are used, and returns the moments at which they left,
/// as shares of the delay.
async fn drain_with(link: Link, used: Use, delay: Duration) -> Vec<f64> {
    let server = Server::start(link, delay);
    let mut left = Vec::new();
    for _ in 0..200 {
        left.push(until_it_leaves(&server, used).await);
    }
    // Longer than a connection has to be idle before it is closed.
    sleep(Duration::from_secs(2)).await;
    assert_eq!(server.connections.open(), 200);
    // A paused clock moves to the next timer even if bytes have just arrived at a socket.
    let ticks = tokio::spawn(async {
        loop {
            sleep(Duration::from_millis(1)).await;
        }
    });
    let begin = Instant::now();
    server.readiness.drain();
    let mut shares = Vec::new();
    for left in left {
        let left = timeout(2 * delay, left).await.expect("it leaves").unwrap();
        shares.push((left - begin).as_secs_f64() / delay.as_secs_f64());
    }
    ticks.abort();
    assert_eq!(server.readiness.verdict().phase(), Phase::Draining);
    server.accepting.await.unwrap();
    assert_eq!(server.connections.open(), 0);
    shares
}

#[cfg(unix)]
#[tokio::test(start_paused = true)]
async fn connections_of_each_kind_leave_evenly_over_the_window() {
    for delay in [DELAY, Duration::from_millis(500)] {
        for used in [
            Use::Http1Idle,
            Use::Http2Idle,
            Use::Http2Stream,
            Use::ServerSentEvents,
            Use::Upgraded,
        ] {
            let shares = drain_with(Link::Sockets, used, delay).await;
            let mut tenths = [0; 10];
            for share in shares {
                // The clock has a resolution of a millisecond.
                assert!((0.3..=0.91).contains(&share), "{used:?} {delay:?}: {share}");
                tenths[(share * 10.0) as usize] += 1;
            }
            let most = tenths.iter().max().unwrap();
            assert!(*most <= 40, "{used:?} {delay:?}: {tenths:?} of 200");
        }
    }
}

// === what a connection does at its moment ===

/// A server whose connections retire when half of the delay is over.
fn retiring_at_half() -> Server {
    let (readiness, storage) = ready();
    let connections = Connections::builder(&readiness).window(0.5, 0.501);
    Server::with(connections.build().unwrap(), readiness, storage, DELAY)
}

/// A share of the delay after this moment.
async fn share_after(begin: Instant, share: f64) {
    sleep_until(begin + DELAY.mul_f64(share)).await;
}

#[tokio::test]
async fn the_service_of_a_connection_is_as_ready_and_its_bodies_are_as_long_as_within() {
    let (readiness, _storage) = ready();
    let tracked = readiness.connections().track();
    let echo = service_fn(async |request: Request<String>| {
        Ok::<_, Infallible>(Response::new(request.into_body()))
    });
    let mut service = tracked.service(ConcurrencyLimit::new(echo, 1));
    for text in ["served", ""] {
        let request = Request::new(text.to_owned());
        let body = service.ready().await.unwrap().call(request).await.unwrap();
        assert_eq!(body.body().size_hint().exact(), Some(text.len() as u64));
        assert_eq!(body.body().is_end_stream(), text.is_empty());
    }
    let _waits = service.ready().await.unwrap().call(Request::default());
    assert!(service.ready().now_or_never().is_none());
}

#[tokio::test(start_paused = true)]
async fn an_http_1_answer_announces_the_end_from_the_moment_on() {
    let server = retiring_at_half();
    let mut client = Http1::connect(&server).await;
    let begin = Instant::now();
    server.readiness.drain();
    for share in [0.0, 0.2, 0.49] {
        share_after(begin, share).await;
        let (headers, _) = client.get("/").await.unwrap();
        assert!(!headers.contains_key(CONNECTION), "{share}: {headers:?}");
    }
    share_after(begin, 0.51).await;
    let (headers, body) = client.get("/").await.unwrap();
    assert!(says_close(&headers));
    assert_eq!(body, "served");
    client.connection.await.unwrap().unwrap();
    assert_eq!(begin.elapsed().as_millis(), 2_550);
}

#[tokio::test(start_paused = true)]
async fn a_connection_header_of_the_handler_stays() {
    let server = retiring_at_half();
    let mut client = Http1::connect(&server).await;
    let begin = Instant::now();
    server.readiness.drain();
    share_after(begin, 0.45).await;
    client.get("/").await.unwrap();
    share_after(begin, 0.51).await;
    let (headers, _) = client.get("/own").await.unwrap();
    assert_eq!(headers[CONNECTION], "keep-alive");
}

#[tokio::test(start_paused = true)]
async fn a_response_that_begins_a_tunnel_announces_no_end() {
    let (readiness, _storage) = ready();
    let connections = Connections::builder(&readiness).max_age(Duration::from_secs(60));
    let connection = connections.build().unwrap().track();
    let service = connection.service(service_fn(async |request: Request<StatusCode>| {
        let response = Response::builder().status(request.into_body());
        Ok::<_, Infallible>(response.body(Empty::<Bytes>::new()).unwrap())
    }));
    sleep(Duration::from_secs(120)).await;
    for (method, status, closes) in [
        (Method::GET, StatusCode::OK, true),
        (Method::CONNECT, StatusCode::OK, false),
        (Method::CONNECT, StatusCode::BAD_GATEWAY, true),
    ] {
        let mut request = Request::new(status);
        *request.method_mut() = method.clone();
        let response = service.clone().oneshot(request).await.unwrap();
        assert_eq!(says_close(response.headers()), closes, "{method} {status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_announces_the_end_from_the_moment_on_too() {
    let (readiness, storage) = ready();
    let connections = Connections::builder(&readiness).window(0.5, 0.501);
    let server = Server::with(connections.build().unwrap(), readiness, storage, DELAY);
    let mut client = Http1::connect(&server).await;
    let begin = Instant::now();
    server.readiness.drain();
    server.storage.failing("disk");
    for (share, closes) in [(0.2, false), (0.39, false), (0.51, true)] {
        share_after(begin, share).await;
        client.sender.ready().await.unwrap();
        let response = client.sender.send_request(request("/")).await.unwrap();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(says_close(response.headers()), closes, "{share}");
        response.into_body().collect().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_http_1_connection_in_use_is_closed_after_a_second_without_a_request() {
    let server = retiring_at_half();
    let mut client = Http1::connect(&server).await;
    let begin = Instant::now();
    server.readiness.drain();
    // The answer begins before the moment, and its body ends after it.
    let (headers, body) = client.get("/stream").await.unwrap();
    assert!(!headers.contains_key(CONNECTION));
    assert_eq!(body, "data: hello\n\ndata: goodbye\n\n");
    assert_eq!(begin.elapsed().as_millis() / 10, 250);
    sleep(Duration::from_millis(900)).await;
    assert!(!client.connection.is_finished());
    client.connection.await.unwrap().unwrap();
    assert_eq!(begin.elapsed().as_millis() / 10, 350);
}

#[tokio::test(start_paused = true)]
async fn the_request_after_an_answer_that_spans_the_moment_is_served() {
    let server = retiring_at_half();
    let mut client = Http1::connect(&server).await;
    server.readiness.drain();
    client.get("/stream").await.unwrap();
    sleep(Duration::from_millis(900)).await;
    let (headers, _) = client.get("/").await.unwrap();
    assert!(says_close(&headers));
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_works_through_the_moment_answers_with_the_header() {
    let server = retiring_at_half();
    let mut client = Http1::connect(&server).await;
    let begin = Instant::now();
    server.readiness.drain();
    share_after(begin, 0.4).await;
    let (headers, _) = client.get("/slow").await.unwrap();
    assert!(says_close(&headers));
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_http_2_that_spans_the_moment_ends_in_its_own_time() {
    let server = retiring_at_half();
    let mut client = Http2::connect(&server).await;
    client.get("/").await.unwrap();
    let begin = Instant::now();
    server.readiness.drain();
    share_after(begin, 0.4).await;
    assert_eq!(client.get("/slow").await.unwrap(), "served");
    assert_eq!(begin.elapsed(), DELAY.mul_f64(0.8));
    client.connection.await.unwrap().unwrap();
    // The client knew in time: no request was sent in vain.
    assert!(client.sender.ready().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_receives_the_whole_answer() {
    let (readiness, _storage) = ready();
    let connections = Connections::builder(&readiness).window(0.5, 0.501);
    let connections = connections.build().unwrap();
    let (here, there) = duplex(16 << 10);
    let connection = connections.track();
    let large = || async { vec![b'x'; 1 << 20] };
    let app = Router::new().route("/", get(large));
    let service = connection.service(TowerToHyperService::new(app));
    let served = tokio::spawn(async move {
        let http = hyper::server::conn::http1::Builder::new();
        connection
            .drive(http.serve_connection(TokioIo::new(here), service))
            .await
    });
    let mut there = there;
    there
        .write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await
        .unwrap();
    let begin = Instant::now();
    let _shutdown = readiness.shutdown().delay(DELAY).build().unwrap();
    readiness.drain();
    share_after(begin, 0.95).await;
    let mut answer = Vec::new();
    there.read_to_end(&mut answer).await.unwrap();
    let head = answer
        .windows(4)
        .position(|end| end == b"\r\n\r\n")
        .unwrap();
    assert_eq!(answer.len() - head - 4, 1 << 20);
    served.await.unwrap().unwrap();
}

// === HTTP/1 clients that pause ===

/// A client that has made this pause and a short one; the drain begins with its last
/// request.
async fn paused_by(server: &Server, pause: Duration) -> Http1 {
    let mut client = Http1::connect(server).await;
    client.get("/").await.unwrap();
    for pause in [pause, Duration::from_millis(10)] {
        sleep(pause).await;
        client.get("/").await.unwrap();
    }
    server.readiness.drain();
    client
}

#[tokio::test(start_paused = true)]
async fn the_connection_of_a_client_that_pauses_waits_for_its_next_request() {
    let server = retiring_at_half();
    let pause = Duration::from_millis(1_800);
    let mut client = paused_by(&server, pause).await;
    for announces in [false, true] {
        // The second pause begins 0.7 s before the moment, and ends 1.1 s after it.
        sleep(pause).await;
        let (headers, _) = client.get("/").await.unwrap();
        assert_eq!(says_close(&headers), announces);
    }
    client.connection.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_connection_of_a_client_that_stops_is_closed_after_twice_its_longest_pause() {
    let server = retiring_at_half();
    let client = paused_by(&server, Duration::from_millis(1_800)).await;
    let begin = Instant::now();
    client.connection.await.unwrap().unwrap();
    assert_eq!(begin.elapsed().as_millis() / 10, 360);
    assert_eq!(server.readiness.verdict().phase(), Phase::Draining);
}

#[tokio::test(start_paused = true)]
async fn the_connection_of_a_client_that_pauses_for_longer_than_the_delay_is_closed_as_idle() {
    let server = retiring_at_half();
    let client = paused_by(&server, DELAY + Duration::from_millis(1)).await;
    let begin = Instant::now();
    client.connection.await.unwrap().unwrap();
    assert_eq!(begin.elapsed().as_millis() / 10, 250);
}

#[tokio::test(start_paused = true)]
async fn the_time_before_the_first_request_is_no_pause_of_the_client() {
    let server = retiring_at_half();
    let mut client = Http1::connect(&server).await;
    sleep(DELAY / 2).await;
    client.get("/").await.unwrap();
    server.readiness.drain();
    let begin = Instant::now();
    client.connection.await.unwrap().unwrap();
    assert_eq!(begin.elapsed().as_millis() / 10, 250);
}

/// How many of 40 clients are told by an answer as the window begins. Each has paused for
/// four fifths of the delay: between two requests, or before its first.
async fn told_as_the_window_begins(after_a_request: bool) -> usize {
    let server = Server::start(Link::Memory, DELAY);
    let mut clients = Vec::new();
    for _ in 0..40 {
        let mut client = Http1::connect(&server).await;
        if after_a_request {
            client.get("/").await.unwrap();
        }
        clients.push(client);
    }
    sleep(DELAY.mul_f64(0.8)).await;
    let begin = Instant::now();
    server.readiness.drain();
    for client in &mut clients {
        let (headers, _) = client.get("/").await.unwrap();
        assert!(!says_close(&headers));
    }
    share_after(begin, 0.3).await;
    let mut told = 0;
    for client in &mut clients {
        let (headers, _) = client.get("/").await.unwrap();
        told += usize::from(says_close(&headers));
    }
    told
}

#[tokio::test(start_paused = true)]
async fn a_client_whose_next_request_may_come_after_the_delay_is_told_as_the_window_begins() {
    assert_eq!(told_as_the_window_begins(true).await, 40);
}

#[tokio::test(start_paused = true)]
async fn a_pause_before_the_first_request_tells_nothing_of_the_next() {
    // The moment of the first one may be as early.
    let told = told_as_the_window_begins(false).await;
    assert!(told <= 1, "{told}");
}

/// When an answer says `connection: close` to a client that makes this pause after each.
async fn told(mut client: Http1, pause: Duration) -> hyper::Result<Instant> {
    loop {
        let (headers, _) = client.get("/").await?;
        if says_close(&headers) {
            return Ok(Instant::now());
        }
        sleep(pause).await;
    }
}

/// The announcement of a late moment would miss the requests of a client that pauses for so
/// long.
#[tokio::test(start_paused = true)]
async fn a_delay_of_one_and_a_half_times_the_pauses_tells_each_client() {
    let server = Server::start(Link::Memory, DELAY);
    let mut clients = JoinSet::new();
    for number in 0..100 {
        let client = Http1::connect(&server).await;
        clients.spawn(async move {
            // Those with the latest moments send at 1.8 s of the delay, and after its end.
            sleep(Duration::from_millis((100 - number) * 29)).await;
            told(client, DELAY.mul_f64(0.66)).await
        });
    }
    sleep(Duration::from_millis(8_100)).await;
    server.readiness.drain();
    assert!(clients.join_all().await.iter().all(Result::is_ok));
}

#[tokio::test(start_paused = true)]
async fn an_old_connection_waits_for_a_client_whose_pauses_are_within_a_tenth_of_its_age() {
    let (readiness, storage) = ready();
    let connections = Connections::builder(&readiness).max_age(Duration::from_secs(60));
    let server = Server::with(connections.build().unwrap(), readiness, storage, DELAY);
    for (pause, all_are_told) in [(4, true), (7, false)] {
        let mut clients = JoinSet::new();
        for _ in 0..20 {
            let client = Http1::connect(&server).await;
            clients.spawn(told(client, Duration::from_secs(pause)));
        }
        let told = clients.join_all().await;
        let are_told = told.iter().all(Result::is_ok);
        assert_eq!(are_told, all_are_told, "pauses of {pause} s: {told:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn busy_http_1_connections_are_told_evenly_in_the_first_three_quarters_of_the_window() {
    let server = Server::start(Link::Memory, DELAY);
    let mut clients = JoinSet::new();
    for _ in 0..200 {
        let client = Http1::connect(&server).await;
        clients.spawn(told(client, Duration::from_millis(40)));
    }
    sleep(Duration::from_millis(100)).await;
    let begin = Instant::now();
    server.readiness.drain();
    let mut tenths = [0; 10];
    for told in clients.join_all().await {
        let share = (told.unwrap() - begin).as_secs_f64() / DELAY.as_secs_f64();
        assert!((0.3..=0.76).contains(&share), "{share}");
        tenths[(share * 10.0) as usize] += 1;
    }
    assert!(tenths.iter().all(|left| *left <= 48), "{tenths:?} of 200");
}

// === connections accepted during the drain ===

#[tokio::test(start_paused = true)]
async fn a_new_client_is_told_a_fifth_of_the_delay_later_however_long_it_pauses() {
    let server = Server::start(Link::Memory, DELAY);
    let begin = Instant::now();
    server.readiness.drain();
    share_after(begin, 0.65).await;
    let mut client = Http1::connect(&server).await;
    // From 0.82 on, the next request may come after the delay.
    for (share, is_told) in [(0.66, false), (0.84, false), (0.86, true)] {
        share_after(begin, share).await;
        let (headers, _) = client.get("/").await.unwrap();
        assert_eq!(says_close(&headers), is_told, "{share}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_accepted_in_the_drain_stays_for_a_fifth_of_the_delay() {
    for accepted in [0.05, 0.2, 0.5, 0.65, 0.75] {
        let server = Server::start(Link::Memory, DELAY);
        let begin = Instant::now();
        server.readiness.drain();
        share_after(begin, accepted).await;
        let mut client = Http1::connect(&server).await;
        loop {
            let (headers, _) = client.get("/").await.unwrap();
            if says_close(&headers) {
                break;
            }
            sleep(DELAY / 100).await;
        }
        let share = begin.elapsed().as_secs_f64() / DELAY.as_secs_f64();
        let earliest = f64::max(accepted + 0.2, 0.3);
        let latest = f64::max(accepted + 0.2, 0.9) + 0.01;
        assert!((earliest..=latest).contains(&share), "{accepted}: {share}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_accepted_after_the_window_closes_after_its_first_answer() {
    let server = Server::start(Link::Memory, DELAY);
    let begin = Instant::now();
    server.readiness.drain();
    share_after(begin, 0.95).await;
    let mut client = Http1::connect(&server).await;
    let (headers, _) = client.get("/").await.unwrap();
    assert!(says_close(&headers));
    let mut client = Http2::connect(&server).await;
    // The client has not asked yet, so the connection waits for its request.
    sleep(Duration::from_millis(100)).await;
    assert_eq!(client.get("/").await.unwrap(), "served");
    client.connection.await.unwrap().unwrap();
    assert_eq!(server.readiness.verdict().phase(), Phase::Draining);
}

// === settings ===

#[tokio::test(start_paused = true)]
async fn without_a_window_connections_stay_until_the_delay_is_over() {
    let (readiness, storage) = ready();
    let connections = Connections::builder(&readiness).window(1.0, 1.0);
    let server = Server::with(connections.build().unwrap(), readiness, storage, DELAY);
    let mut kept = Http2::connect(&server).await;
    kept.get("/").await.unwrap();
    let mut client = Http1::connect(&server).await;
    client.get("/").await.unwrap();
    let begin = Instant::now();
    server.readiness.drain();
    let (headers, _) = client.get("/").await.unwrap();
    assert!(says_close(&headers), "the gate acts on the drain itself");
    share_after(begin, 0.99).await;
    assert_eq!(kept.get("/").await.unwrap(), "served");
    kept.connection.await.unwrap().unwrap();
    assert_eq!(begin.elapsed().as_millis(), 5_000);
}

/// A stream without an end of its own, whose connection is told about both.
#[tokio::test(start_paused = true)]
async fn without_a_window_streams_are_told_at_the_drain_or_at_the_maximum_age() {
    let age = Duration::from_secs(60);
    for drains in [true, false] {
        let (readiness, storage) = ready();
        let connections = Connections::builder(&readiness).window(1.0, 1.0);
        let connections = connections.max_age(age).build().unwrap();
        let server = Server::with(connections, readiness, storage, DELAY);
        let mut client = Http2::connect(&server).await;
        let begin = Instant::now();
        if drains {
            server.readiness.drain();
        }
        let body = client.get("/stream").await.unwrap();
        assert_eq!(body, "data: hello\n\ndata: goodbye\n\n");
        let within = if drains { 0..1 } else { 54..67 };
        assert!(within.contains(&begin.elapsed().as_secs()), "{drains}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_retires_at_its_maximum_age() {
    let (readiness, storage) = ready();
    let age = Duration::from_secs(60);
    let connections = Connections::builder(&readiness).max_age(age);
    let server = Server::with(connections.build().unwrap(), readiness, storage, DELAY);
    let begin = Instant::now();
    let mut ends = JoinSet::new();
    for _ in 0..20 {
        let mut kept = Http2::connect(&server).await;
        kept.get("/").await.unwrap();
        ends.spawn(async move {
            let _sender = kept.sender;
            kept.connection.await.unwrap().unwrap();
            begin.elapsed().as_secs_f64()
        });
    }
    let mut client = Http1::connect(&server).await;
    client.get("/").await.unwrap();
    let ends = ends.join_all().await;
    assert!(
        ends.iter().all(|end| (54.0..=66.1).contains(end)),
        "{ends:?}"
    );
    let spread =
        ends.iter().copied().fold(0.0, f64::max) - ends.iter().copied().fold(99.0, f64::min);
    assert!(spread > 3.0, "not all at once: {ends:?}");
    client.connection.await.unwrap().unwrap();
    assert_eq!(server.readiness.verdict().phase(), Phase::Started);
}

#[test]
fn settings_that_are_not_valid_are_errors_that_name_them() {
    let (readiness, _storage) = ready();
    for (from, to) in [
        (-0.1, 0.9),
        (0.3, 1.1),
        (0.9, 0.3),
        (f64::NAN, 0.9),
        (0.1, f64::NAN),
    ] {
        let error = Connections::builder(&readiness)
            .window(from, to)
            .build()
            .unwrap_err();
        assert!(matches!(error, ConnectionsError::Window { .. }));
        let message = error.to_string();
        assert!(
            message.contains(&format!("from {from} to {to}")),
            "{message}"
        );
    }
    for age in [Duration::ZERO, Duration::from_millis(999), Duration::MAX] {
        let error = Connections::builder(&readiness)
            .max_age(age)
            .build()
            .unwrap_err();
        let message = error.to_string();
        assert!(message.contains("maximum age of connections"), "{message}");
        assert!(message.contains(&format!("{age:?}")), "{message}");
    }
    Connections::builder(&readiness)
        .window(0.0, 1.0)
        .build()
        .unwrap();
}

// === the end of the delay ===

#[tokio::test(start_paused = true)]
async fn a_delay_that_ends_early_tells_every_connection_at_once() {
    let server = Server::start(Link::Memory, DELAY);
    let mut left = Vec::new();
    for used in [
        Use::Http1Idle,
        Use::Http2Idle,
        Use::Http2Stream,
        Use::Upgraded,
    ] {
        left.push(until_it_leaves(&server, used).await);
    }
    sleep(Duration::from_secs(2)).await;
    server.readiness.drain();
    sleep(DELAY / 10).await;
    let begin = Instant::now();
    server.readiness.advance(Phase::Closing);
    for left in left {
        assert!(left.await.unwrap() - begin < Duration::from_millis(10));
    }
}

#[tokio::test(start_paused = true)]
async fn the_answer_to_a_request_that_arrives_with_an_early_end_announces_it() {
    let server = retiring_at_half();
    let mut client = server.connect().into_inner();
    let send = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut kept = vec![0; 1 << 10];
    client.write_all(send).await.unwrap();
    let length = client.read(&mut kept).await.unwrap();
    assert!(kept[..length].ends_with(b"served"));
    server.readiness.drain();
    sleep(DELAY / 10).await;
    client.write_all(send).await.unwrap();
    server.readiness.advance(Phase::Closing);
    let mut last = String::new();
    client.read_to_string(&mut last).await.unwrap();
    assert!(last.contains("\r\nconnection: close\r\n"), "{last}");
    assert!(last.ends_with("served"));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_delay_does_not_wait_for_a_connection_to_be_idle() {
    let (readiness, storage) = ready();
    let connections = Connections::builder(&readiness).window(0.9, 0.91);
    let server = Server::with(connections.build().unwrap(), readiness, storage, DELAY);
    let mut client = Http1::connect(&server).await;
    let begin = Instant::now();
    server.readiness.drain();
    share_after(begin, 0.89).await;
    client.get("/").await.unwrap();
    client.connection.await.unwrap().unwrap();
    assert_eq!(
        begin.elapsed(),
        DELAY,
        "less than a second after the answer"
    );
}

#[tokio::test(start_paused = true)]
async fn the_signal_of_a_request_knows_the_maximum_age_without_a_window_too() {
    for window in [(0.3, 0.9), (1.0, 1.0)] {
        let (readiness, _storage) = ready();
        let connections = Connections::builder(&readiness).window(window.0, window.1);
        let connections = connections.max_age(Duration::from_secs(60)).build();
        let connection = connections.unwrap().track();
        let service = tower::service_fn(move |request: Request<Body>| {
            let told = readiness.retiring(&request).requested();
            async {
                told.await;
                Ok::<_, Infallible>(Response::new(Body::empty()))
            }
        });
        let told = connection
            .service(service)
            .oneshot(request("/").map(Body::new));
        let hour = Duration::from_secs(3_600);
        assert!(timeout(hour, told).await.is_ok(), "{window:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_signal_is_that_of_the_drain_where_the_connection_is_not_known() {
    let (readiness, _storage) = ready();
    let retiring = readiness.retiring(&request("/"));
    assert!(timeout(DELAY, retiring.requested()).await.is_err());
    readiness.drain();
    timeout(Duration::ZERO, retiring.requested()).await.unwrap();
}

// === clients that keep their connections busy ===

/// Sends requests on kept connections, with pauses that are shorter than a second, from
/// before the drain until the end. Returns how many were answered; none may fail.
#[tokio::test(start_paused = true)]
async fn kept_connections_in_use_lose_no_request() {
    let server = std::sync::Arc::new(Server::start(Link::Memory, DELAY));
    let until = Instant::now() + DELAY.mul_f64(1.3);
    let mut clients = JoinSet::new();
    for index in 0..40_u64 {
        let server = std::sync::Arc::clone(&server);
        let pauses = (0..).map(move |turn: u64| 200 + (index * 7919 + turn * 104_729) % 700);
        clients.spawn(async move {
            let mut answered = 0;
            let mut client = Http1::connect(&server).await;
            let mut client2 = Http2::connect(&server).await;
            for pause in pauses {
                sleep(Duration::from_millis(pause)).await;
                if Instant::now() > until || server.accepting.is_finished() {
                    return answered;
                }
                let (headers, _) = client
                    .get("/")
                    .await
                    .expect("the server announces its close");
                if says_close(&headers) {
                    client = Http1::connect(&server).await;
                }
                if client2.sender.ready().await.is_err() {
                    client2 = Http2::connect(&server).await;
                }
                client2
                    .get("/")
                    .await
                    .expect("streams end in their own time");
                answered += 1;
            }
            answered
        });
    }
    sleep(Duration::from_secs(1)).await;
    server.readiness.drain();
    let answered: u64 = clients.join_all().await.into_iter().sum();
    assert!(answered > 400, "{answered}");
}
