//! How many of the requests that are admitted while ready fail nevertheless.

use crate::support::{health_call, ready, starting};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, StreamBody, combinators::BoxBody};
use std::{
    future::{Future, pending},
    panic::AssertUnwindSafe,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{advance, timeout};
use tokio_stream::iter;
use tokio_test::{assert_pending, assert_ready, task};
use tower::{Layer, Service, ServiceExt, limit::ConcurrencyLimitLayer, service_fn};
use tower_readiness::{
    Action, Readiness, ReadinessLayer, Scope, Subsystem,
    drain::InFlightGuard,
    gate::{Classified, ClassifyEnd, Drift},
    probe::{Detail, Probes},
};

type Body = BoxBody<Bytes, &'static str>;

fn frames<const N: usize>(frames: [Result<Frame<Bytes>, &'static str>; N]) -> Body {
    BodyExt::boxed(StreamBody::new(iter(frames)))
}

fn data() -> Result<Frame<Bytes>, &'static str> {
    Ok(Frame::data("data".into()))
}

fn grpc_status(status: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(
        http::HeaderName::from_static("grpc-status"),
        HeaderValue::from_static(status),
    )])
}

/// The application: the path names the response.
async fn application(request: Request<String>) -> Result<Response<Body>, &'static str> {
    let path = request.uri().path().trim_start_matches('/');
    let empty = || Empty::new().map_err(|never| match never {}).boxed();
    let mut response = Response::new(empty());
    match path.split_once('/').unwrap_or((path, "")) {
        ("status", code) => *response.status_mut() = code.parse().unwrap(),
        ("trailers", code) => {
            let code = if code == "14" { "14" } else { "5" };
            *response.body_mut() = frames([data(), Ok(Frame::trailers(grpc_status(code)))]);
        }
        ("trailers-only", code) => {
            let code = if code == "13" { "13" } else { "5" };
            *response.headers_mut() = grpc_status(code);
            let grpc = HeaderValue::from_static("application/grpc");
            response.headers_mut().insert(CONTENT_TYPE, grpc);
        }
        ("stream", _) => *response.body_mut() = frames([data(), data()]),
        ("broken", _) => *response.body_mut() = frames([data(), Err("disk gone")]),
        ("error", _) => return Err("no"),
        ("panic", _) => panic!("as it was asked to"),
        ("never", _) => pending().await,
        _ => {}
    }
    Ok(response)
}

fn observing(readiness: &Readiness) -> ReadinessLayer {
    ReadinessLayer::new(readiness).observe_outcomes()
}

fn get(path: &str) -> Request<String> {
    Request::get(path).body(String::new()).unwrap()
}

/// Reads a response until its body ends or fails.
async fn read<B: http_body::Body + Unpin, E>(response: Result<Response<B>, E>) {
    if let Ok(response) = response {
        let mut body = response.into_body();
        while let Some(Ok(_)) = body.frame().await {}
    }
}

async fn ask(layer: &ReadinessLayer, path: &str) {
    read(
        layer
            .layer(service_fn(application))
            .oneshot(get(path))
            .await,
    )
    .await;
}

fn counts(drift: Option<Drift>) -> (u64, u64) {
    let drift = drift.expect("it is observed");
    (drift.admitted(), drift.failed())
}

/// The outcome of one request, with the built-in classifier.
async fn outcome_of(path: &str) -> (u64, u64) {
    let (readiness, _storage) = ready();
    ask(&observing(&readiness), path).await;
    counts(readiness.drift())
}

const ANSWERED: (u64, u64) = (1, 0);
const FAILED: (u64, u64) = (1, 1);
const NOTHING: (u64, u64) = (0, 0);

// === failed requests ===

#[tokio::test]
async fn without_a_layer_that_observes_there_is_no_drift() {
    let (readiness, _storage) = ready();
    let layer = ReadinessLayer::new(&readiness);
    ask(&layer, "/status/500").await;
    assert_eq!(readiness.drift(), None);
    let layer = layer.observe_outcomes();
    let drift = readiness.drift().unwrap();
    assert_eq!((drift.admitted(), drift.failure_ratio()), (0, None));
    ask(&layer, "/status/500").await;
    ask(&layer, "/status/200").await;
    assert_eq!(readiness.drift().unwrap().failure_ratio(), Some(0.5));
}

#[tokio::test]
async fn statuses_are_told_apart() {
    for (path, expected) in [
        ("/status/200", ANSWERED),
        ("/status/304", ANSWERED),
        ("/status/404", ANSWERED),
        ("/status/429", ANSWERED),
        ("/status/500", FAILED),
        ("/status/503", FAILED),
        ("/stream", ANSWERED),
        ("/trailers/5", ANSWERED),
        ("/trailers/14", FAILED),
        ("/trailers-only/5", ANSWERED),
        ("/trailers-only/13", FAILED),
    ] {
        assert_eq!(outcome_of(path).await, expected, "{path}");
    }
}

#[tokio::test]
async fn bodies_and_services_that_fail_have_failed() {
    assert_eq!(outcome_of("/broken").await, FAILED);
    assert_eq!(outcome_of("/error").await, FAILED);
}

#[tokio::test]
async fn a_panic_has_failed_wherever_it_is_caught() {
    let (readiness, _storage) = ready();
    let service = observing(&readiness).layer(service_fn(application));
    let caught = AssertUnwindSafe(service.oneshot(get("/panic")));
    assert!(caught.catch_unwind().await.is_err());
    assert_eq!(counts(readiness.drift()), FAILED);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_refused_while_it_waits_for_room_does_not_count() {
    let (readiness, storage) = ready();
    let full = ConcurrencyLimitLayer::new(1).layer(service_fn(application));
    let mut service = observing(&readiness).layer(full);
    let first = service.call(get("/status/200"));
    let mut second = task::spawn(service.call(get("/status/200")));
    assert_pending!(second.poll());
    storage.failing("gone");
    let response = assert_ready!(second.poll()).unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    drop(response);
    assert_eq!(counts(readiness.drift()), NOTHING);
    read(first.await).await;
    assert_eq!(counts(readiness.drift()), ANSWERED);
}

/// A service that panics before there is a future to poll.
#[derive(Clone, Copy, Debug)]
enum Panics {
    InPollReady,
    InCall,
}

impl Service<Request<String>> for Panics {
    type Response = Response<Body>;
    type Error = &'static str;
    type Future = std::future::Pending<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        match self {
            Self::InPollReady => panic!("in `poll_ready`"),
            Self::InCall => Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, _: Request<String>) -> Self::Future {
        panic!("in `call`")
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_outside_of_the_future_has_failed_too() {
    for panics in [Panics::InPollReady, Panics::InCall] {
        for counts_in_flight in [false, true] {
            let (readiness, storage) = ready();
            let hold = Action::hold(Duration::from_secs(1)).unwrap();
            let mut layer = observing(&readiness).when_failing(hold);
            if counts_in_flight {
                layer = layer.count_in_flight();
            }
            let mut service = layer.layer(panics);
            let what = format!("{panics:?} {counts_in_flight}");
            let call = AssertUnwindSafe(|| drop(service.call(get("/"))));
            assert!(std::panic::catch_unwind(call).is_err(), "{what}");
            assert_eq!(counts(readiness.drift()), FAILED, "{what}");

            // And where the request had to wait first.
            storage.failing("gone");
            let mut call = task::spawn(service.call(get("/")));
            assert_pending!(call.poll(), "{what}");
            storage.ready();
            let polled = std::panic::catch_unwind(AssertUnwindSafe(|| call.poll().is_ready()));
            assert!(polled.is_err(), "{what}");
            assert_eq!(counts(readiness.drift()), (2, 2), "{what}");
            drop(call);
            assert!(readiness.in_flight().is_none_or(|count| count == 0));
        }
    }
}

#[tokio::test]
async fn an_error_of_a_service_without_room_has_failed() {
    for pending in [false, true] {
        let (readiness, _storage) = ready();
        let mut service = observing(&readiness).layer(BrokenRoom { pending });
        let mut call = task::spawn(service.call(get("/")));
        assert!(assert_ready!(call.poll()).is_err());
        assert_eq!(counts(readiness.drift()), FAILED, "{pending}");
    }
}

/// A service whose `poll_ready` fails, at once or after a wait.
#[derive(Clone)]
struct BrokenRoom {
    pending: bool,
}

impl Service<Request<String>> for BrokenRoom {
    type Response = Response<Body>;
    type Error = &'static str;
    type Future = std::future::Pending<Result<Response<Body>, &'static str>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        if std::mem::take(&mut self.pending) {
            return Poll::Pending;
        }
        Poll::Ready(Err("worker gone"))
    }

    fn call(&mut self, _: Request<String>) -> Self::Future {
        unreachable!("it has no room")
    }
}

// === requests that do not count ===

#[tokio::test]
async fn a_client_that_hangs_up_before_the_answer_is_neither() {
    let (readiness, _storage) = ready();
    let mut service = observing(&readiness).layer(service_fn(application));
    let mut never = task::spawn(service.call(get("/never")));
    assert_pending!(never.poll());
    drop(never);
    drop(service.call(get("/status/500")));
    assert_eq!(counts(readiness.drift()), NOTHING);
}

#[tokio::test]
async fn a_client_that_hangs_up_after_the_head_goes_by_the_head() {
    for (path, expected) in [
        ("/stream", ANSWERED),
        ("/broken", ANSWERED),
        ("/trailers/14", ANSWERED),
        ("/status/500", FAILED),
    ] {
        let (readiness, _storage) = ready();
        let service = observing(&readiness).layer(service_fn(application));
        let response = service.oneshot(get(path)).await.unwrap();
        let mut body = response.into_body();
        if expected == ANSWERED {
            assert_eq!(counts(readiness.drift()), NOTHING, "{path}: not yet");
            assert!(body.frame().await.unwrap().is_ok());
        }
        drop(body);
        assert_eq!(counts(readiness.drift()), expected, "{path}");
    }
}

#[tokio::test]
async fn probes_refusals_and_grpc_health_do_not_count() {
    let (readiness, storage) = ready();
    let layer = observing(&readiness);
    ask(&layer, "/readyz").await;
    let health = layer.layer(service_fn(application));
    read(health.oneshot(health_call("Check")).await).await;
    storage.failing("gone");
    ask(&layer, "/livez").await;
    ask(&layer, "/readyz").await;
    ask(&layer, "/status/200").await;
    assert_eq!(counts(readiness.drift()), NOTHING);
}

#[tokio::test]
async fn requests_admitted_while_not_ready_do_not_count() {
    let (readiness, storage) = ready();
    storage.failing("gone");
    let open = || ReadinessLayer::new(&readiness).when_failing(Action::Admit);
    for layer in [
        open().observe_outcomes(),
        open().observe_outcomes().count_in_flight(),
        observing(&readiness).dry_run(),
        observing(&readiness).exempt(|_| true),
    ] {
        ask(&layer, "/status/500").await;
        ask(&layer, "/status/200").await;
    }
    readiness.drain();
    storage.ready();
    ask(&observing(&readiness), "/status/500").await;
    assert_eq!(counts(readiness.drift()), NOTHING);
}

#[tokio::test]
async fn a_request_counts_though_its_path_resembles_a_probe() {
    assert_eq!(outcome_of("/readyz-not").await, ANSWERED);
}

#[tokio::test(start_paused = true)]
async fn requests_held_until_ready_count() {
    let (readiness, storage) = starting();
    let hold = Action::hold(Duration::from_secs(5)).unwrap();
    let layer = observing(&readiness).when_starting(hold);
    let mut service = layer.layer(service_fn(application));
    let mut held = task::spawn(service.call(get("/status/500")));
    let mut too_late = task::spawn(service.call(get("/status/500")));
    assert_pending!(held.poll());
    storage.ready();
    read(assert_ready!(held.poll())).await;
    assert_eq!(counts(readiness.drift()), FAILED);

    storage.failing("gone");
    let response = assert_ready!(too_late.poll()).unwrap();
    assert_eq!(response.headers()["x-readiness"], "failing");
    assert_eq!(counts(readiness.drift()), FAILED, "a refusal");
}

#[tokio::test(start_paused = true)]
async fn requests_that_waited_for_room_count_if_they_got_it() {
    let (readiness, _storage) = ready();
    let hold = Action::hold(Duration::from_secs(2)).unwrap();
    let layer = observing(&readiness).when_saturated(hold);
    let limited = ConcurrencyLimitLayer::new(1).layer(service_fn(application));
    let mut service = layer.layer(limited);
    let mut first = task::spawn(service.call(get("/never")));
    assert_pending!(first.poll());
    let mut turned_away = task::spawn(service.call(get("/status/500")));
    assert_pending!(turned_away.poll());
    advance(Duration::from_millis(2_001)).await;
    read(assert_ready!(turned_away.poll())).await;
    assert_eq!(counts(readiness.drift()), NOTHING, "a refusal");

    let mut served = task::spawn(service.call(get("/status/500")));
    assert_pending!(served.poll());
    drop(first);
    read(assert_ready!(served.poll())).await;
    assert_eq!(counts(readiness.drift()), FAILED);
}

// === scopes and layers ===

fn search() -> (Readiness, Scope, [tower_readiness::Reporter; 2]) {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        .subsystem(Subsystem::new("index").optional())
        .scope("search", ["index"])
        .build()
        .unwrap();
    let reporters = ["storage", "index"].map(|name| readiness.reporter(name).unwrap());
    reporters.iter().for_each(tower_readiness::Reporter::ready);
    let scope = readiness.scope("search").unwrap();
    (readiness, scope, reporters)
}

#[tokio::test]
async fn scopes_are_observed_apart() {
    let (readiness, scope, _reporters) = search();
    let layer = ReadinessLayer::gate(&scope).observe_outcomes();
    ask(&layer, "/status/500").await;
    assert_eq!(counts(scope.drift()), FAILED);
    assert_eq!(Scope::from(&readiness).drift(), None);
    ask(&observing(&readiness), "/status/200").await;
    assert_eq!(counts(readiness.drift()), ANSWERED);
    assert_eq!(counts(scope.drift()), FAILED);
}

#[tokio::test]
async fn a_request_through_two_layers_counts_in_both() {
    let (readiness, scope, [_storage, index]) = search();
    let inner = ReadinessLayer::gate(&scope).observe_outcomes();
    let outer = observing(&readiness).count_in_flight();
    let service = outer.layer(inner.layer(service_fn(application)));
    for path in ["/broken", "/status/200"] {
        read(service.clone().oneshot(get(path)).await).await;
    }
    assert_eq!(counts(readiness.drift()), (2, 1));
    assert_eq!(counts(scope.drift()), (2, 1));

    // The verdict of the scope was not ready, so no layer counts drift.
    index.failing("gone");
    read(service.clone().oneshot(get("/status/200")).await).await;
    let call = Request::get("/").header(CONTENT_TYPE, "application/grpc");
    read(service.oneshot(call.body(String::new()).unwrap()).await).await;
    assert_eq!(counts(readiness.drift()), (2, 1));
    assert_eq!(counts(scope.drift()), (2, 1));
}

#[tokio::test]
async fn a_refusal_further_inside_is_nothing_whatever_a_classifier_says() {
    let as_it_is = |scope: &Scope| ReadinessLayer::gate(scope);
    let as_404 = |scope: &Scope| {
        ReadinessLayer::gate(scope).respond_with(|_, _, mut response| {
            *response.status_mut() = StatusCode::NOT_FOUND;
            response
        })
    };
    for inner in [as_it_is, as_404] {
        for classifier in [
            |_: &Response<()>| Classified::Success,
            |_: &Response<()>| Classified::Failure,
            |_: &Response<()>| Classified::AtEnd(Box::new(Trailers)),
        ] {
            let (readiness, scope, [_storage, index]) = search();
            let outer = ReadinessLayer::new(&readiness).observe_outcomes_with(classifier);
            let outer = outer.count_in_flight();
            let service = outer.layer(inner(&scope).layer(service_fn(application)));
            index.failing("gone");
            let response = service.clone().oneshot(get("/")).await.unwrap();
            assert_eq!(readiness.in_flight(), Some(1));
            read(Ok::<_, ()>(response)).await;
            assert_eq!(counts(readiness.drift()), NOTHING);
            assert_eq!(readiness.in_flight(), Some(0));
            index.ready();
            read(service.oneshot(get("/")).await).await;
            assert_eq!(readiness.drift().unwrap().admitted(), 1, "no refusal");
        }
    }
}

#[tokio::test]
async fn a_red_probe_that_is_answered_further_inside_is_nothing() {
    let (readiness, _scope, [_storage, index]) = search();
    let detailed = Probes::builder(&readiness)
        .detail(Detail::Names)
        .build()
        .unwrap();
    let inner = ReadinessLayer::probes(&readiness).with_probes(detailed);
    let outer = ReadinessLayer::gate(&readiness);
    index.failing("gone");
    for outer in [
        outer.clone().observe_outcomes(),
        outer.observe_outcomes_with(|_: &Response<()>| Classified::Failure),
    ] {
        let service = outer.layer(inner.layer(service_fn(application)));
        let response = service.oneshot(get("/readyz/search")).await.unwrap();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        read(Ok::<_, ()>(response)).await;
        assert_eq!(counts(readiness.drift()), NOTHING);
    }
}

#[tokio::test]
async fn layers_of_one_scope_add_up() {
    let (readiness, _storage) = ready();
    let counting = observing(&readiness).count_in_flight();
    for layer in [
        &observing(&readiness),
        &counting,
        &counting.clone().dry_run(),
    ] {
        ask(layer, "/status/500").await;
    }
    assert_eq!(counts(readiness.drift()), (3, 3));
}

#[tokio::test]
async fn observed_requests_are_in_flight_only_if_that_is_counted() {
    let (readiness, _storage) = ready();
    let mut observed = observing(&readiness).layer(service_fn(application));
    let first = observed.call(get("/"));
    assert_eq!(readiness.in_flight(), None);
    let both = observing(&readiness).count_in_flight();
    let mut both = both.layer(service_fn(application));
    assert_eq!(readiness.in_flight(), Some(0));
    let second = both.call(get("/stream")).await.unwrap();
    let failed = both.call(get("/status/500")).await.unwrap();
    assert_eq!(readiness.in_flight(), Some(2));
    assert_eq!(counts(readiness.drift()), FAILED, "the other has not ended");
    read(Ok::<_, ()>(second)).await;
    assert_eq!(counts(readiness.drift()), (2, 1));
    drop((first, failed));
    assert_eq!(readiness.in_flight(), Some(0));
}

#[tokio::test]
async fn upgrades_are_answered_and_stay_in_flight_only_if_that_is_counted() {
    for (counts_in_flight, held) in [(false, false), (false, true), (true, false), (true, true)] {
        let (readiness, storage) = if held { starting() } else { ready() };
        let hold = Action::hold(Duration::from_secs(5)).unwrap();
        let mut layer = observing(&readiness).when_starting(hold);
        if counts_in_flight {
            layer = layer.count_in_flight();
        }
        let upgrade = service_fn(async |request: Request<String>| {
            let token = request.extensions().get::<InFlightGuard>().cloned();
            let mut response = application(get("/status/101")).await?;
            response.extensions_mut().insert(token);
            Ok::<_, &'static str>(response)
        });
        let request = Request::get("/").header("upgrade", "websocket");
        let call = layer
            .layer(upgrade)
            .oneshot(request.body(String::new()).unwrap());
        let mut call = task::spawn(call);
        if held {
            assert_pending!(call.poll());
            storage.ready();
        }
        let mut response = assert_ready!(call.poll()).unwrap();
        let token = response.extensions_mut().remove::<Option<InFlightGuard>>();
        drop(response);
        assert_eq!(counts(readiness.drift()), ANSWERED);
        assert_eq!(token.flatten().is_some(), counts_in_flight, "{held}");
    }
}

#[tokio::test]
async fn head_requests_count_although_no_server_reads_their_body() {
    let (readiness, _storage) = ready();
    let service = observing(&readiness).layer(service_fn(application));
    for path in ["/stream", "/status/500"] {
        let mut request = get(path);
        *request.method_mut() = Method::HEAD;
        drop(service.clone().oneshot(request).await);
    }
    assert_eq!(counts(readiness.drift()), (2, 1));
}

// === the window ===

#[tokio::test(start_paused = true)]
async fn the_window_slides_without_a_reader() {
    let (readiness, _storage) = ready();
    let layer = ReadinessLayer::new(&readiness).observe_outcomes();
    assert!(readiness.drift().is_some());
    drop(layer);
    tokio::time::sleep(Duration::from_secs(1_000)).await;
    let window = readiness.drift().unwrap().window();
    assert!(window >= Duration::from_secs(300) && window <= Duration::from_secs(305));
}

#[tokio::test(start_paused = true)]
async fn the_window_slides() {
    let (readiness, _storage) = ready();
    let layer = observing(&readiness);
    ask(&layer, "/status/500").await;
    for _ in 0..60 {
        advance(Duration::from_secs(5)).await;
        ask(&layer, "/status/200").await;
        let drift = readiness.drift().unwrap();
        if drift.window() < Duration::from_secs(300) {
            assert_eq!(drift.failed(), 1, "after {:?}", drift.window());
        }
    }
    advance(Duration::from_secs(5)).await;
    let drift = readiness.drift().unwrap();
    // The requests of the first sample are as old as the failure by now.
    assert_eq!(counts(Some(drift)), (59, 0));
    assert_eq!(drift.window(), Duration::from_secs(300));
    assert_eq!(drift.failure_ratio(), Some(0.0));

    advance(Duration::from_secs(300)).await;
    let drift = readiness.drift().unwrap();
    assert_eq!((drift.admitted(), drift.failure_ratio()), (0, None));
    assert_eq!(drift.refusing(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn status_tells_operators_about_the_drift() {
    let (readiness, scope, _reporters) = search();
    let probes = Probes::builder(&readiness)
        .detail(Detail::Names)
        .build()
        .unwrap();
    let layer = ReadinessLayer::new(&readiness).with_probes(probes);
    let status = async |layer: &ReadinessLayer, accept: &str| {
        let service = layer.layer(service_fn(application));
        let request = Request::get("/statusz").header("accept", accept);
        let response = service
            .oneshot(request.body(String::new()).unwrap())
            .await
            .unwrap();
        crate::support::whole(response).await.into_body()
    };
    let silent = status(&layer, "application/json").await;
    assert!(!silent.contains("drift"), "{silent}");

    let layer = layer.observe_outcomes();
    ask(&layer, "/status/500").await;
    for _ in 0..3 {
        ask(&layer, "/status/200").await;
    }
    ask(
        &ReadinessLayer::gate(&scope).observe_outcomes(),
        "/status/200",
    )
    .await;
    advance(Duration::from_secs(65)).await;

    let json = status(&layer, "application/json").await;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let drift = |admitted: u64, failed: u64, ratio: f64| {
        serde_json::json!({
            "window_ms": 65_000,
            "admitted": admitted,
            "failed": failed,
            "failure_ratio": ratio,
            "refusing_ms": 0,
        })
    };
    assert_eq!(json["traffic"]["drift"], drift(4, 1, 0.25));
    assert_eq!(json["scopes"][0]["drift"], drift(1, 0, 0.0));
    let text = status(&layer, "text/plain").await;
    let is_history = |line: &&str| line.starts_with("[>]");
    let now: Vec<_> = text.lines().filter(|line| !is_history(line)).collect();
    assert_eq!(
        now.join("\n"),
        "[+]storage ready (required)\n\
         [+]index ready (optional)\n\
         [+]search ready (scope): 0 of 1 failed while ready, in 1m\n\
         drift: 1 of 4 failed while ready, in 1m\n\
         ready"
    );
    // Probes omit the drift, because they are sent often.
    let response = layer.layer(service_fn(application));
    let response = response.oneshot(get("/readyz?verbose")).await.unwrap();
    assert!(
        !crate::support::whole(response)
            .await
            .body()
            .contains("drift")
    );
}

// === classifiers ===

#[tokio::test]
async fn a_classifier_has_the_last_word_on_responses_and_none_on_errors() {
    let only_404 = |response: &Response<()>| match response.status() {
        StatusCode::NOT_FOUND => Classified::Failure,
        _ => Classified::Success,
    };
    for (path, expected) in [
        ("/status/404", FAILED),
        ("/status/500", ANSWERED),
        ("/trailers/14", ANSWERED),
        ("/trailers-only/13", ANSWERED),
        ("/stream", ANSWERED),
        ("/broken", FAILED),
        ("/error", FAILED),
    ] {
        let (readiness, _storage) = ready();
        let layer = ReadinessLayer::new(&readiness).observe_outcomes_with(only_404);
        ask(&layer, path).await;
        assert_eq!(counts(readiness.drift()), expected, "{path}");
    }
}

#[tokio::test]
async fn a_request_whose_classifier_panics_has_failed() {
    struct Panics;

    impl ClassifyEnd for Panics {
        fn has_failed(self: Box<Self>, _: Option<&HeaderMap>) -> bool {
            panic!("at the end");
        }
    }

    let at_the_head = |_: &Response<()>| panic!("at the head");
    let at_the_end = |_: &Response<()>| Classified::AtEnd(Box::new(Panics));
    let layer = |readiness: &Readiness| ReadinessLayer::new(readiness).count_in_flight();
    for at_end in [false, true] {
        let (readiness, _storage) = ready();
        let layer = if at_end {
            layer(&readiness).observe_outcomes_with(at_the_end)
        } else {
            layer(&readiness).observe_outcomes_with(at_the_head)
        };
        let asked = AssertUnwindSafe(ask(&layer, "/stream"));
        assert!(asked.catch_unwind().await.is_err(), "{at_end}");
        assert_eq!(counts(readiness.drift()), FAILED, "{at_end}");
        assert_eq!(readiness.in_flight(), Some(0), "{at_end}");
    }
}

/// A layer whose classifier holds `held`.
fn classifying<T: Send + Sync + 'static>(readiness: &Readiness, held: T) -> ReadinessLayer {
    ReadinessLayer::new(readiness).observe_outcomes_with(move |_: &Response<()>| {
        let _ = &held;
        Classified::Success
    })
}

#[tokio::test(start_paused = true)]
async fn a_classifier_is_freed_with_the_last_of_its_layer_and_its_requests() {
    let (readiness, _storage) = ready();
    let held = Arc::new(());
    let layer = classifying(&readiness, Arc::clone(&held)).count_in_flight();
    let service = layer.layer(service_fn(application));
    drop(layer);
    assert_eq!(Arc::strong_count(&held), 2, "a service uses it");
    drop(service);
    assert_eq!(Arc::strong_count(&held), 1);

    let service = classifying(&readiness, Arc::clone(&held)).layer(service_fn(application));
    let response = service.oneshot(get("/stream")).await.unwrap();
    assert_eq!(Arc::strong_count(&held), 2, "a request uses it");
    drop(response);
    // The timer frees it.
    advance(Duration::from_secs(60)).await;
    tokio::task::yield_now().await;
    assert_eq!(Arc::strong_count(&held), 1);
    assert_eq!(counts(readiness.drift()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_classifier_with_a_handle_does_not_keep_the_registry_open() {
    for in_flight in [false, true] {
        let (readiness, storage) = ready();
        let mut subscription = readiness.subscribe();
        let service = classifying(&readiness, readiness.clone()).layer(service_fn(application));
        if in_flight {
            let response = service.oneshot(get("/stream")).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            drop(response);
        } else {
            drop(service);
        }
        drop((readiness, storage));
        let closed = async { while subscription.changed().await.is_ok() {} };
        let minute = Duration::from_secs(60);
        assert!(timeout(minute, closed).await.is_ok(), "{in_flight}");
    }
}

/// The timer drops them, and has more to do.
#[tokio::test(start_paused = true)]
async fn classifiers_that_panic_when_they_are_dropped_hold_up_no_change() {
    struct Panics;

    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("as it was asked to");
        }
    }

    let ttl = Duration::from_secs(5);
    let storage = Subsystem::new("storage").ttl(ttl);
    let readiness = Readiness::builder().subsystem(storage).build().unwrap();
    let storage = readiness.reporter("storage").unwrap();
    storage.ready();
    let mut subscription = readiness.subscribe();
    assert!(subscription.changed().await.is_ok(), "the present");
    let mut changed = task::spawn(subscription.changed());
    assert_pending!(changed.poll());
    for _ in 0..2 {
        let service = classifying(&readiness, Panics).layer(service_fn(application));
        drop(service.oneshot(get("/stream")).await.unwrap());
    }
    // The next sample is due together with the ttl.
    advance(ttl).await;
    tokio::task::yield_now().await;
    assert!(changed.is_woken());
    assert!(assert_ready!(changed.poll()).is_ok());
}

/// A classifier that reads trailers.
struct Trailers;

impl ClassifyEnd for Trailers {
    fn has_failed(self: Box<Self>, trailers: Option<&HeaderMap>) -> bool {
        trailers.is_none()
    }
}

#[tokio::test]
async fn a_classifier_may_wait_for_the_end() {
    let classifier = |_: &Response<()>| Classified::AtEnd(Box::new(Trailers));
    for (path, expected) in [
        ("/trailers/5", ANSWERED),
        ("/stream", FAILED),
        ("/broken", FAILED),
    ] {
        let (readiness, _storage) = ready();
        let layer = ReadinessLayer::new(&readiness)
            .observe_outcomes_with(classifier)
            .count_in_flight();
        ask(&layer, path).await;
        assert_eq!(counts(readiness.drift()), expected, "{path}");
        assert_eq!(readiness.in_flight(), Some(0), "{path}");
    }
    // A body dropped before its end, or never read.
    let (readiness, _storage) = ready();
    let layer = ReadinessLayer::new(&readiness).observe_outcomes_with(classifier);
    let service = layer.layer(service_fn(application));
    drop(service.oneshot(get("/stream")).await);
    assert_eq!(counts(readiness.drift()), ANSWERED);
}

/// Servers stop polling a body when `is_end_stream` returns true.
#[tokio::test]
async fn an_end_that_a_body_only_says_is_one_too() {
    let (readiness, _storage) = ready();
    let layer = ReadinessLayer::new(&readiness)
        .observe_outcomes_with(|_: &Response<()>| Classified::AtEnd(Box::new(Trailers)));
    let full = service_fn(async |_: Request<String>| {
        Ok::<_, &'static str>(Response::new(http_body_util::Full::new(Bytes::from("all"))))
    });
    let response = layer.layer(full).oneshot(get("/")).await.unwrap();
    let mut body = response.into_body();
    assert!(body.frame().await.unwrap().is_ok());
    assert!(http_body::Body::is_end_stream(&body));
    assert_eq!(counts(readiness.drift()), FAILED);
}

#[cfg(feature = "tower-http")]
mod tower_http_classifiers {
    use super::*;
    use tower_http::classify::{
        GrpcCode, GrpcErrorsAsFailures, ServerErrorsAsFailures, StatusInRangeAsFailures,
    };
    use tower_readiness::gate::{ClassifyOutcome, TowerHttpClassifier};

    async fn check(
        classifier: impl ClassifyOutcome + Clone,
        expected: &[(&'static str, (u64, u64))],
    ) {
        for (path, expected) in expected {
            let (readiness, _storage) = ready();
            let layer = ReadinessLayer::new(&readiness).observe_outcomes_with(classifier.clone());
            ask(&layer, path).await;
            assert_eq!(counts(readiness.drift()), *expected, "{path}");
        }
    }

    #[tokio::test]
    async fn classifiers_of_tower_http_decide_as_they_do_there() {
        let grpc = GrpcErrorsAsFailures::new().with_success(GrpcCode::Unavailable);
        check(
            TowerHttpClassifier::new(grpc),
            &[
                ("/trailers/5", FAILED),
                ("/trailers/14", ANSWERED),
                ("/trailers-only/13", FAILED),
                ("/status/500", ANSWERED),
                ("/stream", ANSWERED),
                ("/broken", FAILED),
                ("/error", FAILED),
            ],
        )
        .await;
        check(
            TowerHttpClassifier::from(ServerErrorsAsFailures::make_classifier()),
            &[
                ("/status/500", FAILED),
                ("/status/404", ANSWERED),
                ("/trailers/14", ANSWERED),
                ("/broken", FAILED),
            ],
        )
        .await;
        check(
            TowerHttpClassifier::from(
                StatusInRangeAsFailures::new_for_client_and_server_errors().into_make_classifier(),
            ),
            &[("/status/404", FAILED), ("/status/200", ANSWERED)],
        )
        .await;
    }
}

/// A classifier reads the head of a response and does not change it.
#[tokio::test]
async fn a_classifier_sees_the_head_and_leaves_it_as_it_is() {
    let (readiness, _storage) = ready();
    let layer = ReadinessLayer::new(&readiness).observe_outcomes_with(|head: &Response<()>| {
        assert_eq!(head.status(), StatusCode::IM_A_TEAPOT);
        assert_eq!(head.headers()["kind"], "green");
        assert_eq!(head.extensions().get(), Some(&5_u8));
        Classified::Success
    });
    let teapot = service_fn(async |_: Request<String>| {
        let response = Response::builder()
            .status(StatusCode::IM_A_TEAPOT)
            .version(http::Version::HTTP_2)
            .header("kind", "green")
            .extension(5_u8);
        Ok::<_, &'static str>(response.body(frames([data()])).unwrap())
    });
    let response = layer.layer(teapot).oneshot(get("/")).await.unwrap();
    assert_eq!(response.status(), StatusCode::IM_A_TEAPOT);
    assert_eq!(response.version(), http::Version::HTTP_2);
    assert_eq!(response.headers()["kind"], "green");
    assert_eq!(response.extensions().get(), Some(&5_u8));
    assert_eq!(
        response.into_body().collect().await.unwrap().to_bytes(),
        "data"
    );
}

fn _futures_can_be_sent(readiness: &Readiness) -> impl Future + Send + 'static {
    let service = observing(readiness).layer(service_fn(application));
    service.oneshot(get("/"))
}
