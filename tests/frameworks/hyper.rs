//! The layer in front of a plain hyper service, as clients see it on the wire:
//! HTTP/1 and HTTP/2 on one port.

use crate::support::{listen, ready, soon, starting, until, value, whole};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version,
    header::{CONNECTION, UPGRADE},
};
use http_body::Body;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::{
    body::{Frame, Incoming},
    client::conn::{http1, http2},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use std::{convert::Infallible, error::Error, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    sync::Notify,
};
use tower::{
    Layer, Service, service_fn,
    util::{MapFutureLayer, MapResponseLayer},
};
use tower_readiness::{
    Action, Phase, ReadinessLayer, Reason,
    probe::{Detail, Probe, Probes},
};

const REFUSED: &str = "not ready: starting\n";
const RED: &str = "not ready\n";
const GREEN: &str = "ready\n";
/// The body of a response of the application.
const SERVED: &str = "served";
const VERSIONS: [Version; 2] = [Version::HTTP_11, Version::HTTP_2];
/// 8 MiB.
const LARGE: usize = 8 << 20;

// === the server ===

/// The application: reads the body of the request to its end, and answers.
async fn application(mut request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::default());
    match request.uri().path() {
        "/own-mind" => {
            let keep_alive = HeaderValue::from_static("keep-alive");
            response.headers_mut().insert(CONNECTION, keep_alive);
        }
        "/upgrade" => {
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let mut stream = TokioIo::new(upgrade.await.unwrap());
                stream.write_all(b"upgraded").await.unwrap();
            });
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            let protocol = HeaderValue::from_static("custom");
            response.headers_mut().insert(UPGRADE, protocol);
            return Ok(response);
        }
        _ => {}
    }
    if request.into_body().collect().await.is_ok() {
        *response.body_mut() = Full::from(SERVED);
    }
    Ok(response)
}

/// Serves `service` to both versions.
async fn serve<S, B>(service: S) -> SocketAddr
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(async move {
                let server = auto::Builder::new(TokioExecutor::new());
                // Peers that hang up are errors here.
                let _ = server
                    .serve_connection_with_upgrades(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    address
}

/// Serves the application behind `layer`.
async fn serve_behind(layer: &ReadinessLayer) -> SocketAddr {
    serve(layer.layer(service_fn(application))).await
}

// === clients ===

/// A connection of hyper's own client, of either version.
enum Connection<B> {
    Http1(http1::SendRequest<B>),
    Http2(http2::SendRequest<B>),
}

impl<B> Connection<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    async fn open(version: Version, address: SocketAddr) -> Self {
        let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
        if version == Version::HTTP_2 {
            let executor = TokioExecutor::new();
            let (sender, connection) = http2::handshake(executor, stream).await.unwrap();
            tokio::spawn(connection);
            Self::Http2(sender)
        } else {
            let (sender, connection) = http1::handshake(stream).await.unwrap();
            tokio::spawn(connection);
            Self::Http1(sender)
        }
    }

    /// Sends a request; one for an absolute URI is sent in absolute form.
    async fn send(&mut self, request: Request<B>) -> Response<String> {
        soon(async {
            let response = match self {
                Self::Http1(sender) => {
                    sender.ready().await.unwrap();
                    sender.send_request(request).await
                }
                Self::Http2(sender) => {
                    sender.ready().await.unwrap();
                    sender.send_request(request).await
                }
            };
            whole(response.unwrap()).await
        })
        .await
    }
}

impl Connection<Empty<Bytes>> {
    async fn get(&mut self, path: &str) -> Response<String> {
        let request = Request::get(format!("http://localhost{path}"));
        self.send(request.body(Empty::new()).unwrap()).await
    }
}

/// An HTTP/1 connection on which the test writes and reads bytes.
struct Raw(BufReader<TcpStream>);

impl Raw {
    async fn open(address: SocketAddr) -> Self {
        Self(BufReader::new(TcpStream::connect(address).await.unwrap()))
    }

    async fn write(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// Reads the head of a response, and nothing after it.
    async fn head(&mut self) -> Response<()> {
        let mut response = Response::new(());
        let status = self.line().await;
        let (version, status) = status.split_once(' ').expect("a status line");
        assert!(version.starts_with("HTTP/1."), "{version}");
        *response.status_mut() = status[..3].parse().unwrap();
        loop {
            let line = self.line().await;
            let Some((name, value)) = line.split_once(':') else {
                assert_eq!(line, "");
                return response;
            };
            let name: HeaderName = name.parse().unwrap();
            let headers: &mut HeaderMap = response.headers_mut();
            headers.append(name, value.trim().parse().unwrap());
        }
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        soon(self.0.read_line(&mut line)).await.unwrap();
        line.trim_end().to_owned()
    }

    /// Reads a response and its body.
    async fn response(&mut self) -> Response<String> {
        let head = self.head().await;
        let length = value(head.headers(), "content-length").parse().unwrap();
        let mut body = vec![0; length];
        soon(self.0.read_exact(&mut body)).await.unwrap();
        head.map(|()| String::from_utf8(body).unwrap())
    }

    async fn ask(&mut self, request: &str) -> Response<String> {
        self.write(request).await;
        self.response().await
    }

    /// Reads until the server closes the connection.
    async fn rest(mut self) -> String {
        let mut rest = String::new();
        soon(self.0.read_to_string(&mut rest)).await.unwrap();
        rest
    }
}

// === probes ===

/// In origin form, in absolute form, and in the pseudo-headers of HTTP/2.
#[tokio::test]
async fn probes_are_found_in_every_form_of_uri() {
    let (readiness, _storage) = starting();
    let server = serve_behind(&ReadinessLayer::new(&readiness)).await;
    let cases = [
        ("GET", "/readyz", 503, RED),
        ("GET", "/readyz/", 503, RED),
        ("GET", "/readyz?x=1", 503, RED),
        ("GET", "/readyz/?x=1&y", 503, RED),
        ("GET", "/readyz?", 503, RED),
        ("GET", "/livez?x=/nowhere", 200, "live\n"),
        ("HEAD", "/readyz", 503, ""),
        ("HEAD", "/livez/?x", 200, ""),
        // Below `/readyz` stand names, and nothing has this one.
        ("GET", "/readyz//", 404, "not found\n"),
        // Not probes, but traffic:
        ("GET", "/livez//", 503, REFUSED),
        ("GET", "//readyz", 503, REFUSED),
        ("GET", "/%72eadyz", 503, REFUSED),
        ("GET", "/x?/readyz", 503, REFUSED),
        ("GET", "/", 503, REFUSED),
        ("HEAD", "/", 503, ""),
    ];
    for (version, origin) in [
        (Version::HTTP_11, ""),
        (Version::HTTP_11, "http://elsewhere.example"),
        (Version::HTTP_2, "http://elsewhere.example"),
    ] {
        // All on one connection.
        let mut connection = Connection::open(version, server).await;
        for (method, target, status, body) in cases {
            let request = Request::builder()
                .method(method)
                .uri(format!("{origin}{target}"))
                .body(Empty::<Bytes>::new())
                .unwrap();
            let response = connection.send(request).await;
            let found = (response.status().as_u16(), response.body().as_str());
            let case = format!("{version:?} {method} {origin}{target}");
            assert_eq!(found, (status, body), "{case}");
        }
    }
}

#[tokio::test]
async fn a_probe_takes_no_method_but_get_and_head() {
    let (readiness, _storage) = ready();
    let server = serve_behind(&ReadinessLayer::new(&readiness)).await;
    for version in VERSIONS {
        let mut connection = Connection::open(version, server).await;
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "PURGE"] {
            let request = Request::builder()
                .method(method)
                .uri("http://localhost/readyz")
                .body(Full::<Bytes>::from("ready!"))
                .unwrap();
            let response = connection.send(request).await;
            let status = response.status();
            assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
            assert_eq!(value(response.headers(), "allow"), "GET, HEAD");
        }
    }
}

#[tokio::test]
async fn a_head_of_anything_is_followed_by_no_body() {
    let (readiness, _storage) = starting();
    let probes = Probes::builder(&readiness)
        .detail(Detail::Full)
        .build()
        .unwrap();
    let layer = ReadinessLayer::new(&readiness).with_probes(probes);
    let mut raw = Raw::open(serve_behind(&layer).await).await;
    for (target, status) in [
        ("/readyz", 503),
        ("/readyz?verbose", 503),
        ("/readyz?wait=x", 400),
        ("/readyz/unknown", 404),
        ("/livez", 200),
        ("/", 503),
    ] {
        let rest = format!("{target} HTTP/1.1\r\nhost: x\r\n\r\n");
        let get = raw.ask(&format!("GET {rest}")).await;
        raw.write(&format!("HEAD {rest}")).await;
        let head = raw.head().await;
        assert_eq!(get.status(), status, "{target}");
        assert_eq!(head.status(), status, "{target}");
        // RFC 9110, section 8.6: the length of the other, or none.
        let length = value(head.headers(), "content-length");
        let lengths = ["", value(get.headers(), "content-length")];
        assert!(lengths.contains(&length), "{target}: {length}");
    }
    // Had there been one, it would stand in front of this.
    let response = raw.ask("GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(response.body(), "live\n");
}

#[tokio::test]
async fn probes_in_http_1_0_need_no_host() {
    let (readiness, _storage) = ready();
    let server = serve_behind(&ReadinessLayer::new(&readiness)).await;
    let mut raw = Raw::open(server).await;
    let response = raw.ask("GET /readyz HTTP/1.0\r\n\r\n").await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.body(), GREEN);
    assert_eq!(raw.rest().await, "");
}

#[tokio::test]
async fn targets_without_a_path_are_traffic() {
    let (readiness, _storage) = starting();
    let root = Probes::builder(&readiness)
        .path(Probe::Readiness, "/")
        .build()
        .unwrap();
    for layer in [
        ReadinessLayer::new(&readiness),
        ReadinessLayer::new(&readiness).with_probes(root),
    ] {
        let server = serve_behind(&layer).await;
        for target in ["OPTIONS *", "CONNECT elsewhere.example:443"] {
            let mut raw = Raw::open(server).await;
            let response = raw
                .ask(&format!("{target} HTTP/1.1\r\nhost: x\r\n\r\n"))
                .await;
            assert_eq!(response.body(), REFUSED, "{target}");
        }
    }
}

#[tokio::test]
async fn probes_can_be_served_on_a_port_of_their_own() {
    let (readiness, storage) = starting();
    let server = serve(
        Probes::builder(&readiness)
            .detail(Detail::Full)
            .build()
            .unwrap(),
    )
    .await;
    for version in VERSIONS {
        storage.starting("reading the log");
        let mut connection = Connection::open(version, server).await;
        let red = connection.get("/readyz").await;
        assert_eq!(red.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(red.body().contains("reading the log"), "{}", red.body());
        for (path, status) in [
            ("/livez", 200),
            ("/readyz/storage", 503),
            ("/readyz/unknown", 404),
            ("/", 404),
            ("/anything", 404),
        ] {
            assert_eq!(connection.get(path).await.status(), status, "{path}");
        }
        storage.ready();
        assert_eq!(connection.get("/readyz").await.body(), GREEN);
        assert_eq!(connection.get("/readyz/storage").await.status(), 200);
        assert_eq!(connection.get("/").await.status(), 404);
    }
}

#[tokio::test]
async fn a_probe_that_waits_answers_as_soon_as_green() {
    for version in VERSIONS {
        let (readiness, storage) = starting();
        let asked = Arc::new(Notify::new());
        let tell = Arc::clone(&asked);
        let probes = Probes::builder(&readiness)
            .detail(Detail::Names)
            .build()
            .unwrap();
        // When the service returns its future, the request already waits.
        let service = MapFutureLayer::new(move |future| {
            tell.notify_one();
            future
        })
        .layer(probes);
        let server = serve(service).await;

        let answer = tokio::spawn(async move {
            let mut connection = Connection::open(version, server).await;
            // Longer than the test would wait.
            connection.get("/readyz?wait=60").await
        });
        soon(asked.notified()).await;
        storage.ready();
        let answer = soon(answer).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{version:?}");
        assert_eq!(answer.body(), GREEN, "{version:?}");
    }
}

#[tokio::test]
async fn a_probe_that_waits_in_vain_answers_in_the_end() {
    let (readiness, _storage) = starting();
    let probes = Probes::builder(&readiness)
        .detail(Detail::Names)
        .build()
        .unwrap();
    let layer = ReadinessLayer::new(&readiness).with_probes(probes);
    let server = serve_behind(&layer).await;
    let mut connection = Connection::open(Version::HTTP_11, server).await;
    let answer = connection.get("/readyz?wait=1").await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.body().starts_with("not ready: storage"));
}

// === refusals ===

#[tokio::test]
async fn a_connection_outlives_probes_and_refusals() {
    let (readiness, storage) = starting();
    let server = serve_behind(&ReadinessLayer::new(&readiness)).await;
    let mut raw = Raw::open(server).await;
    let request = |target| format!("GET {target} HTTP/1.1\r\nhost: x\r\n\r\n");

    for (target, body) in [("/", REFUSED), ("/readyz", RED), ("/", REFUSED)] {
        let response = raw.ask(&request(target)).await;
        assert_eq!(response.body(), body);
        assert_eq!(value(response.headers(), "connection"), "");
    }
    // A refused request may come with a body, if it has all arrived.
    let refused = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nbody";
    assert_eq!(raw.ask(refused).await.body(), REFUSED);
    storage.ready();
    for (target, body) in [("/", SERVED), ("/readyz", GREEN), ("/", SERVED)] {
        assert_eq!(raw.ask(&request(target)).await.body(), body);
    }
}

/// The answer comes before the body is sent, so the server did not wait for the body.
#[tokio::test]
async fn a_refused_upload_is_not_read() {
    let (readiness, storage) = starting();
    let server = serve_behind(&ReadinessLayer::new(&readiness)).await;
    for sent in [0, 1, 1_000] {
        let mut raw = Raw::open(server).await;
        raw.write(&format!(
            "POST /upload HTTP/1.1\r\nhost: x\r\ncontent-length: {LARGE}\r\n\r\n{}",
            "x".repeat(sent)
        ))
        .await;
        let refused = raw.response().await;
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(refused.body(), REFUSED, "{sent}");
    }

    let trickle = || {
        let first = Ok::<_, Infallible>(Frame::data(Bytes::from("first")));
        let stream = futures_util::stream::iter([first]);
        StreamBody::new(futures_util::StreamExt::chain(
            stream,
            futures_util::stream::pending(),
        ))
    };
    for version in VERSIONS {
        let mut connection = Connection::open(version, server).await;
        let request = Request::post("http://localhost/upload").body(trickle());
        let refused = connection.send(request.unwrap()).await;
        assert_eq!(refused.body(), REFUSED, "{version:?}");
    }

    // The body of an admitted request is read to its end.
    storage.ready();
    let mut raw = Raw::open(server).await;
    let head = format!("POST /upload HTTP/1.1\r\nhost: x\r\ncontent-length: {LARGE}\r\n\r\n");
    raw.write(&head).await;
    raw.write(&"x".repeat(LARGE)).await;
    assert_eq!(raw.response().await.body(), SERVED);
}

#[tokio::test]
async fn a_refused_upload_is_not_asked_for() {
    let (readiness, storage) = starting();
    let server = serve_behind(&ReadinessLayer::new(&readiness)).await;
    let head = format!(
        "POST /upload HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: {LARGE}\r\n\r\n"
    );
    let mut raw = Raw::open(server).await;
    raw.write(&head).await;
    assert_eq!(raw.head().await.status(), StatusCode::SERVICE_UNAVAILABLE);

    storage.ready();
    let mut raw = Raw::open(server).await;
    raw.write(&head).await;
    assert_eq!(raw.head().await.status(), StatusCode::CONTINUE);
}

// === holding ===

/// A layer that holds for longer than any test lasts.
fn holding(readiness: &tower_readiness::Readiness) -> ReadinessLayer {
    let hold = Action::hold(Duration::from_secs(600)).unwrap();
    ReadinessLayer::new(readiness).when_starting(hold)
}

#[tokio::test]
async fn a_held_request_is_served_once_ready() {
    for version in VERSIONS {
        let (readiness, storage) = starting();
        let layer = holding(&readiness);
        let counts = layer.counts();
        let server = serve_behind(&layer).await;
        let held = tokio::spawn(async move {
            let mut connection = Connection::open(version, server).await;
            let request = Request::post("http://localhost/").body(Full::<Bytes>::from("body"));
            connection.send(request.unwrap()).await
        });
        until(|| counts.waiting(Reason::Starting) == 1).await;
        storage.ready();
        assert_eq!(soon(held).await.unwrap().body(), SERVED, "{version:?}");
        assert_eq!(counts.waiting(Reason::Starting), 0);
    }
}

#[tokio::test]
async fn a_peer_that_hangs_up_frees_its_place() {
    let (readiness, _storage) = starting();
    let layer = holding(&readiness);
    let counts = layer.counts();
    let server = serve_behind(&layer).await;

    let mut raw = Raw::open(server).await;
    raw.write("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    until(|| counts.waiting(Reason::Starting) == 1).await;
    drop(raw);
    until(|| counts.waiting(Reason::Starting) == 0).await;

    // Over HTTP/2 a request is given up without the connection.
    let mut connection = Connection::open(Version::HTTP_2, server).await;
    {
        let mut request = Box::pin(connection.get("/"));
        tokio::select! {
            _ = &mut request => panic!("it is held"),
            () = until(|| counts.waiting(Reason::Starting) == 1) => {}
        }
    }
    until(|| counts.waiting(Reason::Starting) == 0).await;
    assert_eq!(connection.get("/readyz").await.body(), RED);

    assert_eq!(counts.held(Reason::Starting), 2);
    assert_eq!(counts.refused(Reason::Starting), 0);
}

// === draining and after ===

#[tokio::test]
async fn a_draining_process_serves_and_asks_http_1_to_close() {
    for phase in [Phase::Draining, Phase::Closing] {
        let (readiness, storage) = ready();
        let server = serve_behind(&ReadinessLayer::new(&readiness)).await;
        let mut raw = Raw::open(server).await;
        let before = raw.ask("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert_eq!(value(before.headers(), "connection"), "");

        readiness.advance(phase);
        // A red probe does not end the connection of its client.
        let probe = raw.ask("GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert_eq!(probe.status(), StatusCode::SERVICE_UNAVAILABLE);
        let last = raw.ask("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert_eq!(last.status(), StatusCode::OK);
        assert_eq!(last.body(), SERVED);
        assert_eq!(value(last.headers(), "connection"), "close", "{phase}");
        assert_eq!(raw.rest().await, "");

        // A new connection is served as well.
        let mut raw = Raw::open(server).await;
        let again = raw.ask("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert_eq!(again.body(), SERVED);
        drop(storage);
    }
}

#[tokio::test]
async fn a_closed_process_refuses_and_asks_http_1_to_close() {
    let (readiness, _storage) = ready();
    let server = serve_behind(&ReadinessLayer::new(&readiness)).await;
    let mut http1 = Raw::open(server).await;
    let mut http2 = Connection::open(Version::HTTP_2, server).await;
    let before = http1.ask("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(before.body(), SERVED);
    assert_eq!(http2.get("/").await.body(), SERVED);

    readiness.advance(Phase::Closed);
    let refused = http1.ask("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(value(refused.headers(), "x-readiness"), "closed");
    assert_eq!(value(refused.headers(), "connection"), "close");
    assert_eq!(http1.rest().await, "");

    let refused = http2.get("/").await;
    assert_eq!(refused.body(), "not ready: closed\n");
    assert_eq!(http2.get("/livez").await.status(), StatusCode::OK);
}

/// Draining opens no gate that the condition keeps closed.
#[tokio::test]
async fn a_process_that_drains_before_it_started_refuses() {
    let (readiness, _storage) = starting();
    let server = serve_behind(&ReadinessLayer::new(&readiness)).await;
    readiness.drain();
    let mut raw = Raw::open(server).await;
    let refused = raw.ask("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(value(refused.headers(), "x-readiness"), "starting");
    assert_eq!(value(refused.headers(), "connection"), "close");
}

/// hyper removes the header from HTTP/2 and logs a warning for each, so the test
/// looks at the response before hyper gets it.
#[tokio::test]
async fn a_draining_process_gives_no_connection_header_to_http_2() {
    for (phase, body) in [
        (Phase::Draining, SERVED),
        (Phase::Closing, SERVED),
        (Phase::Closed, "not ready: closed\n"),
    ] {
        let (readiness, _storage) = ready();
        let service = ReadinessLayer::new(&readiness).layer(service_fn(application));
        let service = MapResponseLayer::new(|mut response: Response<_>| {
            let connection = response.headers().get(CONNECTION).cloned();
            let given = connection.unwrap_or(HeaderValue::from_static("none"));
            response.headers_mut().insert("x-given", given);
            response
        })
        .layer(service);
        let server = serve(service).await;
        readiness.advance(phase);
        for (version, given) in [(Version::HTTP_11, "close"), (Version::HTTP_2, "none")] {
            let mut connection = Connection::open(version, server).await;
            let response = connection.get("/").await;
            assert_eq!(response.body(), body);
            let header = value(response.headers(), "x-given");
            assert_eq!(header, given, "{version:?} {phase}");
        }
    }
}

#[tokio::test]
async fn a_connection_header_of_the_application_is_left_alone() {
    let (readiness, _storage) = ready();
    let server = serve_behind(&ReadinessLayer::new(&readiness)).await;
    readiness.drain();
    let mut raw = Raw::open(server).await;
    for _ in 0..2 {
        let response = raw.ask("GET /own-mind HTTP/1.1\r\nhost: x\r\n\r\n").await;
        let all = response.headers().get_all(CONNECTION);
        assert_eq!(all.iter().collect::<Vec<_>>(), ["keep-alive"]);
    }
}

#[tokio::test]
async fn an_upgrade_while_draining_is_left_alone() {
    let (readiness, _storage) = ready();
    let server = serve_behind(&ReadinessLayer::new(&readiness)).await;
    readiness.drain();
    let mut raw = Raw::open(server).await;
    raw.write("GET /upgrade HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: custom\r\n\r\n")
        .await;
    let response = raw.head().await;
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    let connection = value(response.headers(), "connection");
    assert_ne!(connection, "close");
    assert_eq!(raw.rest().await, "upgraded");
}
