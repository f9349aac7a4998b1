//! The cost of the layer for a request, beside other layers.
//!
//! `cargo bench --bench layer`; add a name such as `-- in_place` to run a
//! part. Every benchmark passes a request to a service and drives the response
//! to its end. Making the request is part of each time, so subtract `bare` of
//! the same group and run to get the cost of a layer. Beside the times stand the
//! allocations; `benches/medians` does without, and takes several runs.

use axum::body::Body;
use bytes::Bytes;
use divan::{AllocProfiler, Bencher, black_box};
use futures_util::FutureExt;
use http::{Request, Response, Uri};
use http_body_util::Full;
use std::{
    convert::Infallible,
    future::{Ready, poll_fn, ready},
    sync::Arc,
    task::{Context, Poll},
};
use tower::{Layer, Service, limit::ConcurrencyLimitLayer, load_shed::LoadShedLayer};
use tower_http::metrics::InFlightRequestsLayer;
use tower_readiness::{Readiness, ReadinessLayer, Reporter, Subsystem, gate::ReadinessService};

#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

fn main() {
    // Fixed sizes: divan often picks a sample of one, which measures the clock more
    // than the code.
    divan::Divan::from_args()
        .sample_size(2_000)
        .sample_count(200)
        .main();
}

/// A service without work: the layer has the rest of the cost.
#[derive(Clone)]
struct Bare;

impl<B> Service<Request<B>> for Bare {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        black_box(&request);
        ready(Ok(Response::new(Full::from("ok"))))
    }
}

/// The least that a layer with shared state can cost when it is cloned.
#[derive(Clone)]
struct OneArc<S> {
    inner: S,
    _shared: Arc<u64>,
}

impl<S: Service<R>, R> Service<R> for OneArc<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> S::Future {
        self.inner.call(request)
    }
}

fn one_arc<S>(inner: S) -> OneArc<S> {
    OneArc {
        inner,
        _shared: Arc::new(0),
    }
}

fn readiness(ready: bool) -> (Readiness, Reporter) {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        .build()
        .unwrap();
    let storage = readiness.reporter("storage").unwrap();
    if ready {
        storage.ready();
    }
    (readiness, storage)
}

fn gated(ready: bool) -> (ReadinessService<Bare>, Reporter) {
    let (readiness, storage) = readiness(ready);
    (ReadinessLayer::new(&readiness).layer(Bare), storage)
}

/// Counts requests in flight.
fn counting() -> (ReadinessService<Bare>, Reporter) {
    let (readiness, storage) = readiness(true);
    let layer = ReadinessLayer::new(&readiness).count_in_flight();
    (layer.layer(Bare), storage)
}

/// Observes the outcomes of requests.
fn observing() -> (ReadinessService<Bare>, Reporter) {
    let (readiness, storage) = readiness(true);
    let layer = ReadinessLayer::new(&readiness).observe_outcomes();
    (layer.layer(Bare), storage)
}

/// Does both.
fn counting_observing() -> (ReadinessService<Bare>, Reporter) {
    let (readiness, storage) = readiness(true);
    let layer = ReadinessLayer::new(&readiness).count_in_flight();
    (layer.observe_outcomes().layer(Bare), storage)
}

/// The cheapest request there is, to hide as little as possible.
fn request(path: &Uri) -> Request<Body> {
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = path.clone();
    request
}

/// Asks for room, calls, and drives the response to its end: all of it is
/// ready at once.
fn serve<S: Service<R>, R>(service: &mut S, request: R) -> bool {
    let room = poll_fn(|cx| service.poll_ready(cx)).now_or_never();
    assert!(matches!(room, Some(Ok(()))));
    let response = service.call(request).now_or_never();
    black_box(&response);
    matches!(response, Some(Ok(_)))
}

fn in_place<S>(bencher: Bencher<'_, '_>, path: &'static str, mut service: S)
where
    S: Service<Request<Body>>,
{
    let path = Uri::from_static(path);
    bencher.bench_local(|| assert!(serve(&mut service, request(&path))));
}

fn cloned<S>(bencher: Bencher<'_, '_>, path: &'static str, service: S)
where
    S: Service<Request<Body>> + Clone + Sync,
{
    let path = Uri::from_static(path);
    bencher.bench(|| assert!(serve(&mut service.clone(), request(&path))));
}

/// The service is called where it is.
mod a_in_place {
    use super::*;

    #[divan::bench]
    fn bare(bencher: Bencher<'_, '_>) {
        in_place(bencher, "/", Bare);
    }

    #[divan::bench]
    fn load_shed(bencher: Bencher<'_, '_>) {
        in_place(bencher, "/", LoadShedLayer::new().layer(Bare));
    }

    #[divan::bench]
    fn concurrency_limit(bencher: Bencher<'_, '_>) {
        in_place(bencher, "/", ConcurrencyLimitLayer::new(1_024).layer(Bare));
    }

    #[divan::bench]
    fn readiness_admit(bencher: Bencher<'_, '_>) {
        let (service, _storage) = gated(true);
        in_place(bencher, "/", service);
    }

    #[divan::bench]
    fn http_in_flight(bencher: Bencher<'_, '_>) {
        let (layer, _counter) = InFlightRequestsLayer::pair();
        in_place(bencher, "/", layer.layer(Bare));
    }

    #[divan::bench]
    fn readiness_counting(bencher: Bencher<'_, '_>) {
        let (service, _storage) = counting();
        in_place(bencher, "/", service);
    }

    #[divan::bench]
    fn readiness_observing(bencher: Bencher<'_, '_>) {
        let (service, _storage) = observing();
        in_place(bencher, "/", service);
    }

    #[divan::bench]
    fn readiness_counting_observing(bencher: Bencher<'_, '_>) {
        let (service, _storage) = counting_observing();
        in_place(bencher, "/", service);
    }

    #[divan::bench]
    fn readiness_refuse(bencher: Bencher<'_, '_>) {
        let (service, _storage) = gated(false);
        in_place(bencher, "/", service);
    }

    #[divan::bench]
    fn readiness_probe(bencher: Bencher<'_, '_>) {
        let (service, _storage) = gated(true);
        in_place(bencher, "/readyz", service);
    }
}

/// The service is cloned for each request, as axum and hyper-util do.
mod b_cloned {
    use super::*;

    #[divan::bench(threads = [1, 2])]
    fn bare(bencher: Bencher<'_, '_>) {
        cloned(bencher, "/", Bare);
    }

    #[divan::bench(threads = [1, 2])]
    fn one_arc(bencher: Bencher<'_, '_>) {
        cloned(bencher, "/", super::one_arc(Bare));
    }

    #[divan::bench(threads = [1, 2])]
    fn load_shed(bencher: Bencher<'_, '_>) {
        cloned(bencher, "/", LoadShedLayer::new().layer(Bare));
    }

    #[divan::bench(threads = [1, 2])]
    fn concurrency_limit(bencher: Bencher<'_, '_>) {
        cloned(bencher, "/", ConcurrencyLimitLayer::new(1_024).layer(Bare));
    }

    #[divan::bench(threads = [1, 2])]
    fn readiness_admit(bencher: Bencher<'_, '_>) {
        let (service, _storage) = gated(true);
        cloned(bencher, "/", service);
    }

    #[divan::bench(threads = [1, 2])]
    fn http_in_flight(bencher: Bencher<'_, '_>) {
        let (layer, _counter) = InFlightRequestsLayer::pair();
        cloned(bencher, "/", layer.layer(Bare));
    }

    #[divan::bench(threads = [1, 2])]
    fn readiness_counting(bencher: Bencher<'_, '_>) {
        let (service, _storage) = counting();
        cloned(bencher, "/", service);
    }

    #[divan::bench(threads = [1, 2])]
    fn readiness_observing(bencher: Bencher<'_, '_>) {
        let (service, _storage) = observing();
        cloned(bencher, "/", service);
    }

    #[divan::bench(threads = [1, 2])]
    fn readiness_counting_observing(bencher: Bencher<'_, '_>) {
        let (service, _storage) = counting_observing();
        cloned(bencher, "/", service);
    }

    #[divan::bench(threads = [1, 2])]
    fn readiness_refuse(bencher: Bencher<'_, '_>) {
        let (service, _storage) = gated(false);
        cloned(bencher, "/", service);
    }

    #[divan::bench(threads = [1, 2])]
    fn readiness_probe(bencher: Bencher<'_, '_>) {
        let (service, _storage) = gated(true);
        cloned(bencher, "/readyz", service);
    }
}
