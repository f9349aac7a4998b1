//! Over real connections to the servers of axum and hyper.

use crate::support::{listen, soon, starting, until};
use axum::{Router, middleware::map_response, routing::get};
use http::{Request, Response};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tower::{Layer, service_fn, util::MapRequestLayer};
use tower_readiness::{
    Phase, ReadinessLayer, Reporter,
    gate::{UnreadBody, UnreadBodyBuilder},
    probe::Probes,
};

/// No bound is met in the time of a test.
fn patient() -> UnreadBody {
    long_times().build().unwrap()
}

fn long_times() -> UnreadBodyBuilder {
    let long = Duration::from_secs(600);
    UnreadBody::builder()
        .drain_silence(long)
        .drain_time(long)
        .linger_silence(long)
        .linger_time(long)
}

/// Answers before the body has ended, and reads on for as long as it takes.
fn hasty() -> UnreadBodyBuilder {
    let bounds = long_times().drain_time(Duration::from_millis(1));
    bounds.drain_bytes(1_000)
}

/// The server behind which a layer stands.
#[derive(Clone, Copy, Debug)]
enum Server {
    Axum,
    Hyper,
    /// The probes alone, by hyper.
    Probes,
}

const GATES: [Server; 2] = [Server::Axum, Server::Hyper];
const ALL: [Server; 3] = [Server::Axum, Server::Hyper, Server::Probes];

struct Served {
    address: SocketAddr,
    /// How many requests have reached the layer.
    met: Arc<AtomicUsize>,
    _storage: Reporter,
}

/// Counts requests.
fn meets<R>(met: &Arc<AtomicUsize>) -> MapRequestLayer<impl Fn(R) -> R + Clone + use<R>> {
    let met = Arc::clone(met);
    MapRequestLayer::new(move |request| {
        met.fetch_add(1, Ordering::SeqCst);
        request
    })
}

/// Delays a response, as a layer outside may do before the server gets it.
async fn slowly(response: axum::response::Response) -> axum::response::Response {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    response
}

/// Serves a closed gate for the rest of the test.
async fn serve(server: Server, bounds: UnreadBody) -> Served {
    let (readiness, storage) = starting();
    storage.failing("gone");
    let layer = ReadinessLayer::new(&readiness).unread_body(bounds.clone());
    let probes = Probes::builder(&readiness)
        .unread_body(bounds)
        .build()
        .unwrap();
    let (listener, address) = listen().await;
    let met = Arc::new(AtomicUsize::new(0));
    let served = Served {
        address,
        met: Arc::clone(&met),
        _storage: storage,
    };
    tokio::spawn(async move {
        if let Server::Axum = server {
            let app = Router::new()
                .route("/", get(async || "served"))
                .layer(layer)
                .layer(meets(&met))
                .layer(map_response(slowly));
            return axum::serve(listener, app).await.unwrap();
        }
        let inner = service_fn(async |_: Request<hyper::body::Incoming>| {
            Ok::<_, Infallible>(Response::new(String::from("served")))
        });
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let gated = meets(&met).layer(layer.layer(inner));
            let probes = meets(&met).layer(probes.clone());
            tokio::spawn(async move {
                let builder = auto::Builder::new(TokioExecutor::new());
                let stream = TokioIo::new(stream);
                // A client may reset its connection.
                let _ = match server {
                    Server::Probes => {
                        let probes = TowerToHyperService::new(probes);
                        builder.serve_connection(stream, probes).await
                    }
                    _ => {
                        let gated = TowerToHyperService::new(gated);
                        builder.serve_connection(stream, gated).await
                    }
                };
            });
        }
    });
    served
}

impl Server {
    /// A request that is answered before its body has arrived, and the expected status.
    fn post(self) -> (&'static str, &'static str) {
        match self {
            Self::Probes => ("POST /readyz HTTP/1.1\r\nhost: a\r\n", "405"),
            _ => ("POST / HTTP/1.1\r\nhost: a\r\n", "503"),
        }
    }
}

struct Client(TcpStream);

impl Client {
    async fn connect(served: &Served) -> Self {
        let stream = TcpStream::connect(served.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        soon(self.0.write_all(bytes.as_ref())).await.unwrap();
    }

    /// The next answer, head and body.
    async fn answer(&mut self) -> String {
        let mut answer = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&answer).to_lowercase();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.split("content-length: ").nth(1);
                let length = length.and_then(|rest| rest.lines().next());
                let length: usize = length.map_or(0, |length| length.parse().unwrap());
                if body.len() >= length {
                    return text;
                }
            }
            let read = soon(self.0.read_buf(&mut answer)).await;
            assert_ne!(read.expect("no reset"), 0, "{text:?} and then the end");
        }
    }

    /// The server has closed the connection, and without a reset.
    async fn ends(&mut self) {
        let mut rest = Vec::new();
        let read = soon(self.0.read_to_end(&mut rest)).await;
        assert_eq!(read.expect("no reset"), 0, "{rest:?}");
    }
}

fn is_open(answer: &str) -> bool {
    !answer.contains("connection: close")
}

#[tokio::test]
async fn the_next_request_is_served_where_the_body_came_late() {
    for server in ALL {
        let served = serve(server, patient()).await;
        let mut client = Client::connect(&served).await;
        let (head, status) = server.post();
        for (framing, body) in [
            ("content-length: 10\r\n\r\n", "0123456789"),
            (
                "transfer-encoding: chunked\r\n\r\n",
                "a\r\n0123456789\r\n0\r\n\r\n",
            ),
        ] {
            let met = served.met.load(Ordering::SeqCst);
            client.write(format!("{head}{framing}")).await;
            until(|| served.met.load(Ordering::SeqCst) > met).await;
            let (first, second) = body.split_at(4);
            client.write(first).await;
            tokio::task::yield_now().await;
            client.write(second).await;
            let answer = client.answer().await;
            assert!(answer.contains(status), "{server:?} {framing}: {answer}");
            assert!(is_open(&answer), "{server:?} {framing}: {answer}");
        }
        client.write("GET /livez HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert!(client.answer().await.contains("200 ok"), "{server:?}");
    }
}

#[tokio::test]
async fn an_answer_that_does_not_wait_for_the_body_is_read_whole_and_announces_the_end() {
    for server in ALL {
        let served = serve(server, hasty().build().unwrap()).await;
        let (head, status) = server.post();
        let mut client = Client::connect(&served).await;
        client
            .write(format!("{head}content-length: 10\r\n\r\n0123"))
            .await;
        let answer = client.answer().await;
        assert!(answer.contains(status), "{server:?}: {answer}");
        assert!(!is_open(&answer), "{server:?}: {answer}");
        client.write("456789").await;
        client.ends().await;
    }
}

#[tokio::test]
async fn a_client_that_sends_everything_before_it_reads_gets_the_answer() {
    const LENGTH: usize = 5_000_000;
    for server in ALL {
        for chunked in [false, true] {
            let served = serve(server, hasty().build().unwrap()).await;
            let (head, status) = server.post();
            let mut client = Client::connect(&served).await;
            if chunked {
                let framing = format!("transfer-encoding: chunked\r\n\r\n{LENGTH:x}\r\n");
                client.write(format!("{head}{framing}")).await;
            } else {
                let framing = format!("content-length: {LENGTH}\r\n\r\n");
                client.write(format!("{head}{framing}")).await;
            }
            client.write(vec![b'x'; LENGTH]).await;
            if chunked {
                client.write("\r\n0\r\n\r\n").await;
            }
            let answer = client.answer().await;
            assert!(answer.contains(status), "{server:?} {chunked}: {answer}");
            assert!(!is_open(&answer), "{server:?} {chunked}: {answer}");
            client.ends().await;
        }
    }
}

#[tokio::test]
async fn a_client_that_waits_for_100_gets_the_answer_instead() {
    for server in ALL {
        let served = serve(server, patient()).await;
        let (head, status) = server.post();
        let mut client = Client::connect(&served).await;
        let expect = "expect: 100-continue\r\ncontent-length: 10\r\n\r\n";
        client.write(format!("{head}{expect}")).await;
        let answer = client.answer().await;
        assert!(
            answer.starts_with(&format!("http/1.1 {status}")),
            "{answer}"
        );
        assert!(!is_open(&answer), "{server:?}: {answer}");
        // The client may send the body all the same (RFC 9110, section 10.1.1).
        client.write("0123456789").await;
        client.ends().await;
    }
}

#[tokio::test]
async fn without_a_body_and_on_probes_the_connection_stays() {
    for server in GATES {
        let served = serve(server, patient()).await;
        let mut client = Client::connect(&served).await;
        for (request, status) in [
            ("GET / HTTP/1.1\r\nhost: a\r\n\r\n", "503"),
            (
                "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n",
                "503",
            ),
            (
                "POST /livez HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi",
                "405",
            ),
            (
                "GET /livez HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi",
                "200",
            ),
        ] {
            client.write(request).await;
            let answer = client.answer().await;
            assert!(answer.contains(status), "{server:?} {request}: {answer}");
            assert!(is_open(&answer), "{server:?} {request}: {answer}");
        }
    }
}

#[tokio::test]
async fn a_client_that_hangs_up_ends_the_connection() {
    for (server, bounds) in [
        (Server::Axum, patient()),
        (Server::Axum, hasty().max_lingering(1).build().unwrap()),
    ] {
        let served = serve(server, bounds.clone()).await;
        for _ in 0..3 {
            let mut client = Client::connect(&served).await;
            let (head, _) = server.post();
            client
                .write(format!("{head}content-length: 10\r\n\r\n0123"))
                .await;
            client.0.shutdown().await.unwrap();
            // hyper answers no request whose client has hung up, or says that
            // it closes.
            let mut rest = String::new();
            let read = soon(client.0.read_to_string(&mut rest)).await;
            assert!(read.is_ok(), "{bounds:?}");
            assert!(rest.is_empty() || rest.contains("connection: close"));
        }
    }
}

#[tokio::test]
async fn http2_clients_keep_their_connection() {
    use http_body_util::{BodyExt, StreamBody};
    use hyper::body::{Bytes, Frame};

    for server in GATES {
        let served = serve(server, patient()).await;
        let stream = TokioIo::new(TcpStream::connect(served.address).await.unwrap());
        let (mut client, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), stream)
                .await
                .unwrap();
        tokio::spawn(connection);
        for _ in 0..3 {
            let never_ends = futures_util::stream::pending::<Result<Frame<Bytes>, Infallible>>();
            let request = Request::post("http://a/").body(StreamBody::new(never_ends));
            let response = soon(client.send_request(request.unwrap())).await.unwrap();
            assert_eq!(response.status(), 503, "{server:?}");
            let body = soon(response.into_body().collect()).await.unwrap();
            assert_eq!(body.to_bytes(), "not ready: starting\n", "{server:?}");
        }
    }
}

/// DATA would be an error of the protocol, and hyper leaves it out on HTTP/1 alone.
#[tokio::test]
async fn on_http2_an_answer_to_head_has_no_body() {
    use http_body_util::{BodyExt, Empty};
    use hyper::body::Bytes;

    for server in ALL {
        let served = serve(server, patient()).await;
        let stream = TokioIo::new(TcpStream::connect(served.address).await.unwrap());
        let (mut client, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), stream)
                .await
                .unwrap();
        tokio::spawn(connection);
        for path in ["/", "/readyz", "/nothing"] {
            let request = Request::head(format!("http://a{path}")).body(Empty::<Bytes>::new());
            let response = soon(client.send_request(request.unwrap())).await.unwrap();
            assert!(response.status().as_u16() >= 400, "{server:?} {path}");
            assert!(response.headers().contains_key("content-length"));
            let body = soon(response.into_body().collect()).await.unwrap();
            assert_eq!(body.to_bytes(), "", "{server:?} {path}");
        }
    }
}

/// curl 7.88 discards an answer whose stream is reset.
#[tokio::test]
async fn a_small_upload_over_http2_is_answered_without_a_reset() {
    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    const RST_STREAM: u8 = 3;
    const PING: u8 = 6;
    fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        let head = [0, 0, payload.len() as u8, kind, flags, 0, 0, 0, stream];
        [&head, payload].concat()
    }

    for server in ALL {
        let served = serve(server, patient()).await;
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        // POST, http, `/livez`, `content-length: 5`.
        let head = frame(HEADERS, 4, 1, b"\x83\x86\x04\x06/livez\x0f\x0d\x015");
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        let bytes = [preface, frame(4, 0, 0, &[]), head].concat();
        stream.write_all(&bytes).await.unwrap();
        until(|| served.met.load(Ordering::SeqCst) == 1).await;
        let end = [frame(DATA, 1, 1, b"12345"), frame(PING, 0, 0, &[0; 8])].concat();
        stream.write_all(&end).await.unwrap();
        let (mut kinds, mut is_over) = (Vec::new(), [false; 2]);
        while is_over.contains(&false) {
            let mut head = [0; 9];
            soon(stream.read_exact(&mut head)).await.unwrap();
            let mut payload = vec![0; usize::from(u16::from_be_bytes([head[1], head[2]]))];
            soon(stream.read_exact(&mut payload)).await.unwrap();
            kinds.push(head[3]);
            is_over[0] |= head[8] == 1 && head[4] & 1 == 1;
            is_over[1] |= head[3] == PING;
        }
        assert!(!kinds.contains(&RST_STREAM), "{server:?}: {kinds:?}");
    }
}

/// The cap is an hour away, so that `run` is over before it because nothing is
/// in flight.
#[tokio::test]
async fn a_body_that_lingers_does_not_hold_up_the_end_of_the_process() {
    let (readiness, storage) = starting();
    storage.ready();
    storage.failing("gone");
    let layer = ReadinessLayer::new(&readiness).count_in_flight();
    let app = Router::new().layer(layer.unread_body(hasty().build().unwrap()));
    let (listener, address) = listen().await;
    let shutdown = readiness.shutdown().delay(Duration::ZERO);
    let shutdown = shutdown.closing_cap(Duration::from_secs(3_600));
    let shutdown = shutdown.idle_grace(Duration::from_millis(1)).build();
    let server = axum::serve(listener, app).with_graceful_shutdown(shutdown.unwrap());
    let run = readiness.clone();
    let run = tokio::spawn(async move { run.run(server).await });

    let mut client = Client(TcpStream::connect(address).await.unwrap());
    client
        .write("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n0123")
        .await;
    assert!(!is_open(&client.answer().await));
    readiness.drain();
    soon(run).await.unwrap().unwrap().unwrap();
    assert_eq!(readiness.verdict().phase(), Phase::Closed);
    drop(client);
}
