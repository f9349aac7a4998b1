//! Helpers of the tests with real servers and with layers of other crates.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary includes this module and uses a part of it"
)]

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use std::{fmt::Debug, net::SocketAddr, time::Duration};
use tokio::net::TcpListener;
use tower_readiness::{Readiness, Reporter, Subsystem};

/// A process whose storage is starting.
pub fn starting() -> (Readiness, Reporter) {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        .build()
        .unwrap();
    let storage = readiness.reporter("storage").unwrap();
    (readiness, storage)
}

/// A process whose storage is ready.
pub fn ready() -> (Readiness, Reporter) {
    let (readiness, storage) = starting();
    storage.ready();
    (readiness, storage)
}

/// Binds a free port of the loopback interface.
pub async fn listen() -> (TcpListener, SocketAddr) {
    assert_clock_runs();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Fails on tokio's paused clock, as tests over TCP call it. The kernel may deliver bytes of
/// TCP after the write has returned, also on loopback, and meanwhile the runtime would advance
/// the clock to the next timer. Pipes in memory and unix sockets deliver at once.
#[track_caller]
pub fn assert_clock_runs() {
    let begin = tokio::time::Instant::now();
    std::thread::sleep(Duration::from_nanos(1));
    assert!(
        begin.elapsed() > Duration::ZERO,
        "the clock is paused: use pipes or unix sockets in place of TCP"
    );
}

/// Returns the output of `future`. A future that never completes fails the test
/// instead of hanging it; the time that it takes does not matter.
#[track_caller]
pub fn soon<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let caller = std::panic::Location::caller();
    async move {
        tokio::time::timeout(Duration::from_secs(30), future)
            .await
            .unwrap_or_else(|_| panic!("nothing happened at {caller}"))
    }
}

/// Completes once `condition` holds.
#[track_caller]
pub fn until(mut condition: impl FnMut() -> bool) -> impl Future<Output = ()> {
    soon(async move {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
}

/// Reads the body of a response to its end.
pub async fn whole<B>(response: Response<B>) -> Response<String>
where
    B: Body<Data = Bytes>,
    B::Error: Debug,
{
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Response::from_parts(head, String::from_utf8(body.into()).unwrap())
}

/// A request for a method of gRPC's health service.
pub fn health_call<B: Default>(method: &str) -> Request<B> {
    Request::post(format!("/grpc.health.v1.Health/{method}"))
        .header("content-type", "application/grpc")
        .body(B::default())
        .unwrap()
}

/// The value of a header, or "" if there is none.
pub fn value<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers
        .get(name)
        .map(|value| value.to_str().unwrap())
        .unwrap_or_default()
}
