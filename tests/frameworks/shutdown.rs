//! The end of real servers under load: axum, hyper and tonic.

use crate::support::{listen, ready, soon, until};
use axum::{Router, body::Body, extract::State, routing::get};
use bytes::Bytes;
use http::{
    Request, Response, StatusCode,
    header::{CONNECTION, UPGRADE},
};
use http_body_util::{BodyExt, Empty, Full};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use std::{
    convert::Infallible,
    future::IntoFuture,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinHandle,
};
use tokio_stream::wrappers::TcpListenerStream;
use tower::{BoxError, Layer, service_fn};
use tower_readiness::{
    Phase, Readiness, ReadinessLayer,
    drain::{InFlightGuard, Shutdown, ShutdownTimeout},
};

/// Long enough for a wrong step to show. No assertion depends on the length.
const A_WHILE: Duration = Duration::from_millis(300);

/// A shutdown whose delay lasts until the test closes the process.
fn shutdown(readiness: &Readiness) -> Shutdown {
    let delay = Duration::from_secs(3_600);
    readiness.shutdown().delay(delay).build().unwrap()
}

// === load ===

/// Keeps one HTTP/2 connection busy until the server ends it. Returns how many of the
/// requests sent on it were answered.
async fn load_one_http2_connection(address: SocketAddr) -> u64 {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    let mut loops = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let mut sender = sender.clone();
        loops.spawn(async move {
            let mut answered = 0_u64;
            loop {
                if sender.ready().await.is_err() {
                    return answered;
                }
                let request = Request::get(format!("http://{address}/"));
                let request = request.body(Empty::<Bytes>::new()).unwrap();
                match sender.try_send_request(request).await {
                    Ok(response) => {
                        assert_eq!(response.status(), StatusCode::OK);
                        let body = response.into_body().collect().await.unwrap();
                        assert_eq!(body.to_bytes(), "served");
                        answered += 1;
                    }
                    // hyper returns the request if it was not sent.
                    Err(mut error) => {
                        assert!(error.take_message().is_some(), "lost: {error:?}");
                        return answered;
                    }
                }
            }
        });
    }
    drop(sender);
    let answered = loops.join_all().await.into_iter().sum();
    connection.await.unwrap().unwrap();
    answered
}

async fn serves_all_that_is_sent(
    readiness: Readiness,
    address: SocketAddr,
    handled: Arc<AtomicU64>,
    server: JoinHandle<()>,
) {
    let load = tokio::spawn(load_one_http2_connection(address));
    until(|| handled.load(Ordering::Relaxed) > 100).await;
    readiness.drain();
    // More than were in flight by then, because those are answered in any case.
    let while_draining = 100 + handled.load(Ordering::Relaxed);
    until(|| handled.load(Ordering::Relaxed) > while_draining).await;
    assert!(!load.is_finished(), "the drain serves on");
    readiness.advance(Phase::Closing);
    let answered = soon(load).await.unwrap();
    soon(server).await.unwrap();
    assert_eq!(answered, handled.load(Ordering::Relaxed));
    assert_eq!(readiness.verdict().phase(), Phase::Closed);
    assert_eq!(readiness.in_flight(), Some(0));
}

// === servers ===

/// A service that takes a moment, so that some requests are always in flight.
async fn slow(handled: Arc<AtomicU64>) -> &'static str {
    tokio::time::sleep(Duration::from_millis(2)).await;
    handled.fetch_add(1, Ordering::Relaxed);
    "served"
}

#[tokio::test]
async fn axum_loses_nothing_of_an_http_2_connection() {
    let (readiness, _storage) = ready();
    let handled = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&handled);
    let app = Router::new()
        .route("/", get(move || slow(Arc::clone(&counter))))
        .layer(ReadinessLayer::new(&readiness).count_in_flight());
    let (listener, address) = listen().await;
    let server = axum::serve(listener, app).with_graceful_shutdown(shutdown(&readiness));
    let run = readiness.clone();
    let server = tokio::spawn(async move { run.run(server).await.unwrap().unwrap() });
    serves_all_that_is_sent(readiness, address, handled, server).await;
}

/// As in the hyper example.
async fn serve_with_hyper<S, B>(listener: TcpListener, service: S, shutdown: Shutdown)
where
    S: tower::Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let server = auto::Builder::new(TokioExecutor::new());
    let graceful = GracefulShutdown::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let (stream, _) = tokio::select! {
            accepted = listener.accept() => accepted.unwrap(),
            () = &mut shutdown => break,
        };
        let service = TowerToHyperService::new(service.clone());
        let connection = server.serve_connection_with_upgrades(TokioIo::new(stream), service);
        let connection = graceful.watch(connection.into_owned());
        tokio::spawn(async move {
            let _ = connection.await;
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

#[tokio::test]
async fn hyper_loses_nothing_of_an_http_2_connection() {
    let (readiness, _storage) = ready();
    let handled = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&handled);
    let service = service_fn(move |_: Request<Incoming>| {
        let served = slow(Arc::clone(&counter));
        async { Ok::<_, Infallible>(Response::new(Full::from(served.await))) }
    });
    let service = ReadinessLayer::new(&readiness)
        .count_in_flight()
        .layer(service);
    let (listener, address) = listen().await;
    let shutdown = shutdown(&readiness);
    let run = readiness.clone();
    let server = tokio::spawn(async move {
        let server = serve_with_hyper(listener, service, shutdown);
        run.run(server).await.unwrap();
    });
    serves_all_that_is_sent(readiness, address, handled, server).await;
}

#[tokio::test]
async fn tonic_loses_nothing_of_an_http_2_connection() {
    let (readiness, _storage) = ready();
    let handled = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&handled);
    let routes = tonic::service::Routes::from(
        Router::new().route("/", get(move || slow(Arc::clone(&counter)))),
    );
    let (listener, address) = listen().await;
    let server = tonic::transport::Server::builder()
        .layer(ReadinessLayer::new(&readiness).count_in_flight())
        .add_routes(routes)
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), shutdown(&readiness));
    let run = readiness.clone();
    let server = tokio::spawn(async move { run.run(server).await.unwrap().unwrap() });
    serves_all_that_is_sent(readiness, address, handled, server).await;
}

// === HTTP/1 ===

#[tokio::test]
async fn keep_alive_clients_move_on_while_the_server_still_accepts() {
    let (readiness, _storage) = ready();
    let app = Router::new()
        .route("/", get(async || "served"))
        .layer(ReadinessLayer::new(&readiness));
    let (listener, address) = listen().await;
    let server = axum::serve(listener, app).with_graceful_shutdown(shutdown(&readiness));
    let server = tokio::spawn(server.into_future());

    let client = Client::builder(TokioExecutor::new())
        .retry_canceled_requests(false)
        .build_http::<Empty<Bytes>>();
    let ask = || client.get(format!("http://{address}/").parse().unwrap());
    let before = soon(ask()).await.unwrap();
    assert!(!before.headers().contains_key(CONNECTION));
    before.into_body().collect().await.unwrap();
    readiness.drain();
    for _ in 0..100 {
        let answer = soon(ask()).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()[CONNECTION], "close");
        answer.into_body().collect().await.unwrap();
    }
    readiness.advance(Phase::Closing);
    soon(server).await.unwrap().unwrap();
}

// === streams ===

#[tokio::test]
async fn a_handler_can_end_its_stream_when_the_process_drains() {
    let (readiness, _storage) = ready();
    async fn events(State(readiness): State<Readiness>) -> Body {
        let draining = readiness.draining();
        let ticks = futures_util::stream::repeat_with(|| "data: tick\n\n");
        let events = futures_util::stream::unfold(
            (ticks, Box::pin(draining), false),
            |(mut ticks, mut draining, over)| async move {
                use futures_util::StreamExt;
                if over {
                    return None;
                }
                let (event, over) = tokio::select! {
                    biased;
                    () = &mut draining => ("event: bye\n\n", true),
                    () = tokio::time::sleep(Duration::from_millis(1)) => {
                        (ticks.next().await?, false)
                    }
                };
                Some((Ok::<_, Infallible>(event), (ticks, draining, over)))
            },
        );
        Body::from_stream(events)
    }
    let app = Router::new()
        .route("/", get(events))
        .with_state(readiness.clone())
        .layer(ReadinessLayer::new(&readiness).count_in_flight());
    let (listener, address) = listen().await;
    let server = axum::serve(listener, app).with_graceful_shutdown(shutdown(&readiness));
    let run = readiness.clone();
    let server = tokio::spawn(async move { run.run(server).await });

    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let answer = client.get(format!("http://{address}/").parse().unwrap());
    let mut body = answer.await.unwrap().into_body();
    soon(body.frame()).await.unwrap().unwrap();
    assert_eq!(readiness.in_flight(), Some(1));
    readiness.drain();
    let rest = soon(body.collect()).await.unwrap().to_bytes();
    readiness.advance(Phase::Closing);
    assert!(rest.ends_with(b"event: bye\n\n"), "{rest:?}");
    soon(readiness.drained()).await;
    soon(server).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_stream_that_never_ends_is_cut_off_at_the_cap() {
    let (readiness, _storage) = ready();
    let endless = || async {
        let one = futures_util::stream::iter([Ok::<_, Infallible>("and on …\n")]);
        Body::from_stream(futures_util::StreamExt::chain(
            one,
            futures_util::stream::pending(),
        ))
    };
    let app = Router::new()
        .route("/", get(endless))
        .layer(ReadinessLayer::new(&readiness).count_in_flight());
    let (listener, address) = listen().await;
    let shutdown = readiness.shutdown().delay(Duration::ZERO);
    let shutdown = shutdown.closing_cap(A_WHILE).build().unwrap();
    let server = axum::serve(listener, app).with_graceful_shutdown(shutdown);
    let run = readiness.clone();
    let server = tokio::spawn(async move { run.run(server).await });

    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let mut bodies = Vec::new();
    for _ in 0..3 {
        let answer = client.get(format!("http://{address}/").parse().unwrap());
        bodies.push(answer.await.unwrap().into_body());
    }
    readiness.drain();
    let cut_off: ShutdownTimeout = soon(server).await.unwrap().unwrap_err();
    assert_eq!(cut_off.in_flight, Some(3));
    assert_eq!(readiness.verdict().phase(), Phase::Closed);
}

/// Reads a little of a large response, and the rest when the process has begun to
/// close.
async fn a_large_response_is_in_flight_until_it_is_sent(http2: bool) {
    let (readiness, _storage) = ready();
    // More than the buffers of two sockets hold.
    let body = Bytes::from(vec![b'x'; 64 << 20]);
    let length = body.len();
    let app = Router::new()
        .route("/", get(move || async { body }))
        .layer(ReadinessLayer::new(&readiness).count_in_flight());
    let (listener, address) = listen().await;
    let shutdown = readiness.shutdown().delay(Duration::ZERO);
    let shutdown = shutdown.idle_grace(Duration::ZERO).build().unwrap();
    let server = axum::serve(listener, app).with_graceful_shutdown(shutdown);
    let run = readiness.clone();
    let run = tokio::spawn(async move { run.run(server).await });

    // With half of the body as its window, the HTTP/2 client announces the last window
    // before the server sends the end. The kernel answers a frame that arrives after
    // hyper has closed the connection with a reset, which discards what is not yet
    // delivered.
    let window = u32::try_from(length / 2).unwrap();
    let client = Client::builder(TokioExecutor::new())
        .http2_only(http2)
        .http2_initial_stream_window_size(window)
        .http2_initial_connection_window_size(window)
        .build_http::<Empty<Bytes>>();
    let answer = soon(client.get(format!("http://{address}/").parse().unwrap()));
    let mut body = answer.await.unwrap().into_body();
    let first = soon(body.frame()).await.unwrap().unwrap();
    let mut received = first.into_data().unwrap().len();
    readiness.drain();
    // Longer than it takes to be closed when nothing is in flight.
    tokio::time::sleep(Duration::from_millis(1_300)).await;
    assert_eq!(readiness.in_flight(), Some(1));
    while let Some(frame) = soon(body.frame()).await {
        received += frame.unwrap().into_data().unwrap().len();
    }
    assert_eq!(received, length);
    drop(client);
    soon(run).await.unwrap().unwrap().unwrap();
    assert_eq!(readiness.in_flight(), Some(0));
}

#[tokio::test]
async fn a_large_response_over_http_1_is_in_flight_until_it_is_sent() {
    a_large_response_is_in_flight_until_it_is_sent(false).await;
}

#[tokio::test]
async fn a_large_response_over_http_2_is_in_flight_until_it_is_sent() {
    a_large_response_is_in_flight_until_it_is_sent(true).await;
}

// === upgrades ===

/// Sends back the bytes that it reads, until `stop` is notified.
async fn echo(
    mut request: Request<Incoming>,
    stop: Arc<Notify>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let in_flight = request.extensions_mut().remove::<InFlightGuard>();
    tokio::spawn(async move {
        let upgraded = hyper::upgrade::on(&mut request).await.unwrap();
        let (mut reads, mut writes) = tokio::io::split(TokioIo::new(upgraded));
        tokio::select! {
            copied = tokio::io::copy(&mut reads, &mut writes) => drop(copied),
            () = stop.notified() => {}
        }
        drop(in_flight);
    });
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(UPGRADE, http::HeaderValue::from_static("echo"));
    headers.insert(CONNECTION, http::HeaderValue::from_static("upgrade"));
    Ok(response)
}

#[tokio::test]
async fn an_upgraded_connection_is_waited_for_through_its_token() {
    let (readiness, _storage) = ready();
    let stop = Arc::new(Notify::new());
    let stop_echo = Arc::clone(&stop);
    let service = service_fn(move |request| echo(request, Arc::clone(&stop_echo)));
    let service = ReadinessLayer::new(&readiness)
        .count_in_flight()
        .layer(service);
    let (listener, address) = listen().await;
    let shutdown = shutdown(&readiness);
    let run = readiness.clone();
    let server = tokio::spawn(async move {
        let server = serve_with_hyper(listener, service, shutdown);
        run.run(server).await
    });

    // The drain has begun when it arrives: a 101 keeps its header.
    readiness.drain();
    let mut client = BufReader::new(TcpStream::connect(address).await.unwrap());
    let request = format!(
        "GET / HTTP/1.1\r\nhost: {address}\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n"
    );
    client.write_all(request.as_bytes()).await.unwrap();
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        soon(client.read_line(&mut head)).await.unwrap();
    }
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    assert!(head.contains("connection: upgrade\r\n"), "{head}");
    assert!(!head.contains("close"), "{head}");

    // The server has ended its part of the connection; the process still counts it.
    readiness.advance(Phase::Closing);
    client.write_all(b"still there?").await.unwrap();
    let mut echoed = [0; 12];
    soon(client.read_exact(&mut echoed)).await.unwrap();
    assert_eq!(&echoed, b"still there?");
    tokio::time::sleep(A_WHILE).await;
    assert!(!server.is_finished());
    assert_eq!(readiness.in_flight(), Some(1));

    stop.notify_one();
    soon(server).await.unwrap().unwrap();
    assert_eq!(readiness.verdict().phase(), Phase::Closed);
}

// === connections that do nothing ===

/// Connections that no server closes by itself, each open until it is dropped:
/// one on which nothing was ever sent, one with half the head of a request, and
/// one of an HTTP/2 client that was answered and then vanished without a word.
/// (It acknowledges nothing, so a server that sends GOAWAY waits for it.)
async fn idle_connections(address: SocketAddr) -> [TcpStream; 3] {
    let silent = TcpStream::connect(address).await.unwrap();
    let mut half = TcpStream::connect(address).await.unwrap();
    half.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n")
        .await
        .unwrap();

    let mut vanished = TcpStream::connect(address).await.unwrap();
    let mut request = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    // An empty SETTINGS frame; HEADERS of stream 1, END_STREAM and END_HEADERS,
    // with `:method: GET`, `:scheme: http`, `:path: /` and `:authority: x`.
    request.extend(b"\0\0\0\x04\0\0\0\0\0");
    request.extend(b"\0\0\x06\x01\x05\0\0\0\x01\x82\x86\x84\x41\x01x");
    vanished.write_all(&request).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"served") {
        let mut part = [0; 1024];
        let length = soon(vanished.read(&mut part)).await.unwrap();
        assert_ne!(length, 0, "{}", answer.escape_ascii());
        answer.extend(&part[..length]);
    }
    [silent, half, vanished]
}

/// The cap is an hour away, so that `run` is over before it because nothing is
/// in flight.
async fn idle_connections_hold_up_nothing<S>(serve: impl FnOnce(TcpListener, Router, Shutdown) -> S)
where
    S: Future<Output: Send> + Send + 'static,
    S::Output: tower_readiness::drain::ServerOutput + std::fmt::Debug,
{
    let (readiness, _storage) = ready();
    let app = Router::new()
        .route("/", get(async || "served"))
        .layer(ReadinessLayer::new(&readiness).count_in_flight());
    let (listener, address) = listen().await;
    let hour = Duration::from_secs(3_600);
    let shutdown = readiness.shutdown().delay(Duration::ZERO).closing_cap(hour);
    let shutdown = shutdown.idle_grace(A_WHILE).build().unwrap();
    let server = serve(listener, app, shutdown);
    let run = readiness.clone();
    let run = tokio::spawn(async move { run.run(server).await });

    let connections = idle_connections(address).await;
    readiness.drain();
    soon(run).await.unwrap().unwrap();
    assert_eq!(readiness.verdict().phase(), Phase::Closed);
    drop(connections);
}

#[tokio::test]
async fn idle_connections_do_not_hold_up_axum() {
    idle_connections_hold_up_nothing(async |listener, app, shutdown| {
        let server = axum::serve(listener, app).with_graceful_shutdown(shutdown);
        server.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn idle_connections_do_not_hold_up_hyper() {
    idle_connections_hold_up_nothing(async |listener, app, shutdown| {
        serve_with_hyper(listener, app, shutdown).await;
    })
    .await;
}

#[tokio::test]
async fn idle_connections_do_not_hold_up_tonic() {
    idle_connections_hold_up_nothing(async |listener, app: Router, shutdown| {
        let server = tonic::transport::Server::builder()
            .add_routes(tonic::service::Routes::from(app))
            .serve_with_incoming_shutdown(TcpListenerStream::new(listener), shutdown);
        server.await.unwrap();
    })
    .await;
}
