//! The cost of the layer for a request in an axum router with one route, beside other
//! layers.
//!
//! `cargo bench --bench axum`. A request in a router allocates, so its time
//! drifts with the allocator and the machine more than the layers differ. The
//! routers therefore take turns in short rounds, and the medians over all
//! rounds are printed: in nanoseconds, with the difference to the router without a
//! layer.

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    middleware::{self, Next},
    response::Response,
    routing::get,
};
use futures_util::FutureExt;
use http::{StatusCode, Uri};
use std::{
    collections::HashMap,
    hint::black_box,
    sync::{Arc, RwLock},
    task::{Context, Poll},
    time::Instant,
};
use tower::{Service, ServiceBuilder, layer::layer_fn};
use tower_http::map_response_body::MapResponseBodyLayer;
use tower_readiness::{Readiness, ReadinessLayer, Subsystem, gate::ReadinessBody};

const ROUNDS: usize = 100;
const REQUESTS: u32 = 5_000;

fn main() {
    // `cargo test --benches` only wants to see that it runs.
    let rounds = if std::env::args().any(|argument| argument == "--bench") {
        ROUNDS
    } else {
        1
    };
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        .build()
        .expect("one required subsystem is enough");
    let storage = readiness.reporter("storage").expect("it is declared");
    storage.ready();

    let health = Health::default();
    let entries = ["authenticate", "authorize", "storage", "proxy"].map(|name| (name, true));
    health.write().expect("not poisoned").extend(entries);

    let mut routers = [
        ("no layer", app()),
        ("one Arc", app().layer(layer_fn(OneArc::new))),
        ("empty from_fn", app().layer(middleware::from_fn(empty))),
        (
            "from_fn gate",
            app().layer(middleware::from_fn_with_state(health, gate)),
        ),
        ("readiness", app().layer(ReadinessLayer::new(&readiness))),
        (
            "unboxed",
            app().layer(
                ServiceBuilder::new()
                    .layer(MapResponseBodyLayer::new(unboxed))
                    .layer(ReadinessLayer::new(&readiness)),
            ),
        ),
    ];
    let mut times = routers.each_ref().map(|_| Vec::with_capacity(rounds));
    for _ in 0..rounds {
        for ((_, router), times) in routers.iter_mut().zip(&mut times) {
            times.push(round(router));
        }
    }
    let medians = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    });
    println!("{:14} {:>6} {:>6}", "router", "ns", "adds");
    for ((name, _), median) in routers.iter().zip(medians) {
        println!("{name:14} {median:6.0} {:+6.0}", median - medians[0]);
    }
}

/// The time that a request takes, over a few thousand of them.
fn round(router: &mut Router) -> f64 {
    let path = Uri::from_static("/");
    let start = Instant::now();
    for _ in 0..REQUESTS {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = path.clone();
        let Some(Ok(response)) = router.call(request).now_or_never() else {
            panic!("everything is ready at once");
        };
        assert_eq!(response.status(), StatusCode::OK);
        black_box(&response);
    }
    start.elapsed().as_nanos() as f64 / f64::from(REQUESTS)
}

fn app() -> Router {
    Router::new().route("/", get(async || "ok"))
}

/// The least that a layer with shared state can cost.
#[derive(Clone)]
struct OneArc<S> {
    inner: S,
    _shared: Arc<u64>,
}

impl<S> OneArc<S> {
    fn new(inner: S) -> Self {
        Self {
            inner,
            _shared: Arc::new(0),
        }
    }
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

/// axum does not box its own body again.
fn unboxed(body: ReadinessBody<Body>) -> Body {
    body.into_inner_or_else(Body::new)
}

async fn empty(request: Request, next: Next) -> Response {
    next.run(request).await
}

type Health = Arc<RwLock<HashMap<&'static str, bool>>>;

/// A gate written by hand.
async fn gate(
    State(health): State<Health>,
    request: Request,
    next: Next,
) -> Result<Response, StatusCode> {
    let ready = health
        .read()
        .expect("not poisoned")
        .values()
        .all(|ready| *ready);
    if ready {
        Ok(next.run(request).await)
    } else {
        Err(StatusCode::SERVICE_UNAVAILABLE)
    }
}
