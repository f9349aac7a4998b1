//! The layer in a tonic server, as gRPC clients see it.

use crate::support::{listen, ready, soon, starting, until, value};
use bytes::Bytes;
use http::{StatusCode, Version, uri::PathAndQuery};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::net::TcpStream;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Code, Request, Response, Status,
    body::Body,
    client, server,
    transport::{Channel, Endpoint, Server},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_prost::ProstCodec;
use tower::{Service, service_fn};
use tower_readiness::{Phase, ReadinessLayer, Reason};

/// The only message.
#[derive(Clone, PartialEq, prost::Message)]
struct Word {
    #[prost(string, tag = "1")]
    text: String,
}

impl Word {
    fn new(text: impl Into<String>) -> Self {
        Self { text: text.into() }
    }
}

fn codec() -> ProstCodec<Word, Word> {
    ProstCodec::default()
}

/// Returns a word once, or letter by letter. `?` is not found, and `!` is an error.
#[derive(Clone)]
struct Echo;

impl server::NamedService for Echo {
    const NAME: &'static str = "test.Echo";
}

impl Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let once = async |request: Request<Word>| match &*request.get_ref().text {
            "?" => Err(Status::not_found("no such word")),
            "!" => Err(Status::unavailable("no words left")),
            _ => Ok(Response::new(request.into_inner())),
        };
        let letters = async |request: Request<Word>| {
            let letters: Vec<_> = request.into_inner().text.chars().collect();
            let letters = letters.into_iter().map(|letter| match letter {
                '?' => Err(Status::not_found("no such letter")),
                '!' => Err(Status::internal("ink spilt")),
                letter => Ok(Word::new(letter)),
            });
            Ok(Response::new(tokio_stream::iter(letters)))
        };
        Box::pin(async move {
            let mut grpc = server::Grpc::new(codec());
            Ok(match request.uri().path() {
                "/test.Echo/Once" => grpc.unary(service_fn(once), request).await,
                "/test.Echo/Letters" => grpc.server_streaming(service_fn(letters), request).await,
                other => panic!("{other}"),
            })
        })
    }
}

/// A tonic server with gRPC's own health service, all behind `layer`.
async fn serve(layer: ReadinessLayer) -> SocketAddr {
    let (listener, address) = listen().await;
    let (_, health) = tonic_health::server::health_reporter();
    let server = Server::builder()
        .accept_http1(true)
        .layer(layer)
        .add_service(Echo)
        .add_service(health);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    address
}

async fn connect(address: SocketAddr) -> Channel {
    let endpoint = Endpoint::new(format!("http://{address}")).unwrap();
    soon(endpoint.connect()).await.unwrap()
}

async fn once(channel: &Channel, text: &str) -> Result<String, Status> {
    let mut client = client::Grpc::new(channel.clone());
    soon(async {
        client.ready().await.unwrap();
        let path = PathAndQuery::from_static("/test.Echo/Once");
        let request = Request::new(Word::new(text));
        let response = client.unary(request, path, codec()).await?;
        Ok(response.into_inner().text)
    })
    .await
}

async fn letters(channel: &Channel, text: &str) -> Result<Vec<String>, Status> {
    let mut client = client::Grpc::new(channel.clone());
    soon(async {
        client.ready().await.unwrap();
        let path = PathAndQuery::from_static("/test.Echo/Letters");
        let request = Request::new(Word::new(text));
        let response = client.server_streaming(request, path, codec()).await?;
        let mut stream = response.into_inner();
        let mut letters = Vec::new();
        while let Some(letter) = stream.message().await? {
            letters.push(letter.text);
        }
        Ok(letters)
    })
    .await
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(result: Result<T, Status>, message: &str) {
    let status = result.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.message(), message);
    // This header distinguishes it from an `UNAVAILABLE` of the application.
    let reason = message.strip_prefix("not ready: ").unwrap();
    let marker = status.metadata().get("x-readiness").unwrap();
    assert_eq!(marker, reason);
    assert!(status.metadata().contains_key("retry-after"));
}

#[tokio::test]
async fn calls_are_unavailable_until_ready() {
    let (readiness, storage) = starting();
    let layer = ReadinessLayer::new(&readiness);
    let counts = layer.counts();
    let channel = connect(serve(layer).await).await;

    assert_refused(once(&channel, "word").await, "not ready: starting");
    assert_refused(letters(&channel, "word").await, "not ready: starting");
    assert_eq!(counts.refused(Reason::Starting), 2);

    storage.ready();
    assert_eq!(once(&channel, "word").await.unwrap(), "word");
    assert_eq!(letters(&channel, "abc").await.unwrap(), ["a", "b", "c"]);

    storage.failing("disk full");
    assert_refused(once(&channel, "word").await, "not ready: failing");
    assert_refused(letters(&channel, "word").await, "not ready: failing");
    assert_eq!(counts.refused(Reason::Failing), 2);
}

#[tokio::test]
async fn calls_are_served_while_draining_and_refused_once_closed() {
    let (readiness, _storage) = ready();
    let channel = connect(serve(ReadinessLayer::new(&readiness)).await).await;
    for phase in [Phase::Draining, Phase::Closing] {
        readiness.advance(phase);
        assert_eq!(once(&channel, "word").await.unwrap(), "word");
        assert_eq!(letters(&channel, "ab").await.unwrap(), ["a", "b"]);
    }
    readiness.advance(Phase::Closed);
    assert_refused(once(&channel, "word").await, "not ready: closed");
    assert_refused(letters(&channel, "word").await, "not ready: closed");
}

#[tokio::test]
async fn the_health_service_of_grpc_is_never_refused() {
    let (readiness, storage) = starting();
    let channel = connect(serve(ReadinessLayer::new(&readiness)).await).await;
    let mut health = HealthClient::new(channel.clone());
    let mut check = async || {
        let request = HealthCheckRequest {
            service: String::new(),
        };
        let response = soon(health.check(request)).await;
        // The status that it reports does not matter here.
        response.map(|response| response.into_inner().status).ok()
    };
    let said = check().await;
    assert!(said.is_some());
    assert_refused(once(&channel, "word").await, "not ready: starting");

    storage.failing("disk full");
    assert_eq!(check().await, said);
    storage.ready();
    assert_eq!(check().await, said);
    readiness.advance(Phase::Closed);
    assert_eq!(check().await, said);

    let mut health = HealthClient::new(channel);
    let request = HealthCheckRequest {
        service: String::new(),
    };
    let mut watch = soon(health.watch(request)).await.unwrap().into_inner();
    assert!(soon(watch.message()).await.unwrap().is_some());
}

#[tokio::test]
async fn calls_that_fail_while_ready_are_drift() {
    let (readiness, _storage) = ready();
    let layer = ReadinessLayer::new(&readiness).observe_outcomes();
    let channel = connect(serve(layer).await).await;
    let counts = || {
        let drift = readiness.drift().unwrap();
        (drift.admitted(), drift.failed())
    };
    for (text, expected) in [("word", (2, 0)), ("?", (4, 0)), ("!", (6, 2))] {
        // One call has its status in trailers-only, the other in trailers.
        let results = (once(&channel, text).await, letters(&channel, text).await);
        assert_eq!(results.0.is_ok(), text == "word", "{results:?}");
        assert_eq!(results.1.is_ok(), text == "word", "{results:?}");
        until(|| counts() == expected).await;
    }
    // In the midst of a stream.
    assert!(letters(&channel, "ab!").await.is_err());
    until(|| counts() == (7, 3)).await;

    let mut health = HealthClient::new(channel);
    let request = HealthCheckRequest {
        service: String::new(),
    };
    assert!(soon(health.check(request)).await.is_ok());
    assert_eq!(counts(), (7, 3));
}

/// On the wire: HTTP 200 and one header block, for every content type of gRPC.
#[tokio::test]
async fn a_refusal_is_trailers_only_and_of_the_kind_of_the_call() {
    let (readiness, _storage) = starting();
    let address = serve(ReadinessLayer::new(&readiness)).await;
    let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream)
            .await
            .unwrap();
    tokio::spawn(connection);

    for kind in [
        "application/grpc",
        "application/grpc+proto",
        "application/grpc+json",
        "application/grpc-web+proto",
    ] {
        let request = http::Request::post(format!("http://{address}/test.Echo/Once"))
            .header("content-type", kind)
            .header("te", "trailers")
            .body(Full::<Bytes>::default())
            .unwrap();
        let response = soon(sender.send_request(request)).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{kind}");
        let headers = response.headers();
        for (name, expected) in [
            ("content-type", kind),
            ("grpc-status", "14"),
            ("grpc-message", "not ready: starting"),
            ("x-readiness", "starting"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(value(headers, name), expected, "{kind}: {name}");
        }
        let seconds = value(headers, "retry-after");
        let millis = value(headers, "grpc-retry-pushback-ms");
        assert_eq!(format!("{seconds}000"), millis, "{kind}");
        let body = soon(response.into_body().collect()).await.unwrap();
        assert!(body.trailers().is_none(), "{kind}");
        assert!(body.to_bytes().is_empty(), "{kind}");
    }
}

/// A probe request may be HTTP/1 or HTTP/2, without gRPC.
#[tokio::test]
async fn probes_are_answered_on_the_port_of_the_calls() {
    let (readiness, storage) = starting();
    let address = serve(ReadinessLayer::new(&readiness)).await;
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let client = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
            .http2_only(version == Version::HTTP_2)
            .build_http::<Full<Bytes>>();
        let ask = async || {
            let uri = format!("http://{address}/readyz").parse().unwrap();
            let response = soon(client.get(uri)).await.unwrap();
            let response = crate::support::whole(response).await;
            (response.status().as_u16(), response.into_body())
        };
        storage.ready();
        assert_eq!(ask().await, (200, "ready\n".into()), "{version:?}");
        storage.failing("disk full");
        assert_eq!(ask().await, (503, "not ready\n".into()), "{version:?}");
    }
}
