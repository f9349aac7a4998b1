//! Every path through the gate, with the inner service and the clock stepped
//! by hand.

use crate::support::{health_call, starting as storage};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{Method, Request, Response, StatusCode, Version, header};
use http_body_util::{BodyExt, Empty, Full};
use std::{
    convert::Infallible,
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok, task};
use tower::{Layer, Service, ServiceExt, limit::ConcurrencyLimitLayer, service_fn};
use tower_readiness::{
    Action, Phase, Readiness, ReadinessLayer, Reason, Reporter, Subsystem,
    gate::{Hold, HoldBuilder, ReadinessService, Refusal, RetryAfter},
    probe::Probes,
};
use tower_test::mock;

type Req = Request<Empty<Bytes>>;
type Res = Response<Full<Bytes>>;
type Gated = ReadinessService<mock::Mock<Req, Res>>;

fn get(path: &str) -> Req {
    Request::get(path).body(Empty::new()).unwrap()
}

fn ok() -> Res {
    Response::new(Full::from("ok"))
}

/// A service that answers at once.
fn echo() -> impl Service<Req, Response = Res, Error = Infallible, Future: Send> + Clone {
    service_fn(|_| async { Ok(ok()) })
}

fn refused_for<B>(response: &Response<B>) -> Option<Reason> {
    response.extensions().get::<Refusal>().map(Refusal::reason)
}

/// Why the layer refuses a plain request at this moment, if it does.
fn refusal(layer: &ReadinessLayer) -> Option<Reason> {
    let response = layer.layer(echo()).oneshot(get("/")).now_or_never();
    refused_for(&response.unwrap().unwrap())
}

// === the response of a refusal ===

#[tokio::test]
async fn a_refusal_has_headers_for_clients_proxies_and_outer_layers() {
    let (readiness, _storage) = storage();
    let service = ReadinessLayer::new(&readiness).layer(echo());
    let response = service.oneshot(get("/")).await.unwrap();

    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    let headers = response.headers();
    assert_eq!(headers["x-readiness"], "starting");
    assert_eq!(headers[header::CACHE_CONTROL], "no-store");
    assert!(!headers.contains_key(header::CONNECTION));
    let seconds = headers[header::RETRY_AFTER].to_str().unwrap();
    let seconds: u64 = seconds.parse().unwrap();
    assert!((1..=5).contains(&seconds));

    let refusal = response.extensions().get::<Refusal>().unwrap();
    assert_eq!(refusal.reason(), Reason::Starting);
    assert_eq!(refusal.retry_after(), Some(Duration::from_secs(seconds)));
    assert_eq!(refusal.version(), readiness.snapshot().version());
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "not ready: starting\n");
}

#[tokio::test]
async fn a_refused_head_has_no_body() {
    let (readiness, _storage) = storage();
    let service = ReadinessLayer::new(&readiness).layer(echo());
    let request = Request::head("/").body(Empty::new()).unwrap();
    let response = service.oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    // The length of the response to a GET (RFC 9110, section 8.6).
    assert_eq!(response.headers()[header::CONTENT_LENGTH], "20");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert!(body.is_empty());
}

#[tokio::test]
async fn a_refused_grpc_call_is_trailers_only_and_unavailable() {
    let (readiness, _storage) = storage();
    let service = ReadinessLayer::new(&readiness).layer(echo());
    for content_type in [
        "application/grpc",
        "application/grpc+proto",
        "application/grpc-web",
    ] {
        let request = Request::post("/pkg.Service/Method")
            .header(header::CONTENT_TYPE, content_type)
            .body(Empty::new())
            .unwrap();
        let response = service.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["grpc-status"], "14");
        assert_eq!(response.headers()["grpc-message"], "not ready: starting");
        assert_eq!(response.headers()[header::CONTENT_TYPE], content_type);
        assert!(http_body::Body::is_end_stream(response.body()));
    }
}

#[tokio::test]
async fn a_refused_grpc_call_is_pushed_back_for_as_long_as_retry_after_says() {
    let (readiness, _storage) = storage();
    let layer = ReadinessLayer::new(&readiness);
    let pushback = async |layer: &ReadinessLayer| {
        let request = Request::post("/pkg.Service/Method")
            .header(header::CONTENT_TYPE, "application/grpc")
            .body(Empty::new())
            .unwrap();
        let response = layer.layer(echo()).oneshot(request).await.unwrap();
        let pushback = response.headers().get("grpc-retry-pushback-ms");
        (
            pushback.map(|millis| millis.to_str().unwrap().to_owned()),
            response
                .extensions()
                .get::<Refusal>()
                .unwrap()
                .retry_after(),
        )
    };
    for _ in 0..20 {
        let (millis, retry_after) = pushback(&layer).await;
        let millis = Duration::from_millis(millis.unwrap().parse().unwrap());
        assert_eq!(Some(millis), retry_after);
    }

    let silent = layer.clone().retry_after(RetryAfter::never());
    assert_eq!(pushback(&silent).await, (None, None));
    let never = layer.respond_with(|_, _, mut response| {
        let millis = http::HeaderValue::from_static("-1");
        response
            .headers_mut()
            .insert("grpc-retry-pushback-ms", millis);
        response
    });
    assert_eq!(pushback(&never).await.0.as_deref(), Some("-1"));

    let plain = ReadinessLayer::new(&readiness).layer(echo());
    let response = plain.oneshot(get("/")).await.unwrap();
    assert!(!response.headers().contains_key("grpc-retry-pushback-ms"));
}

#[tokio::test]
async fn a_responder_can_replace_the_response_but_not_hide_the_refusal() {
    let (readiness, _storage) = storage();
    let layer = ReadinessLayer::new(&readiness).respond_with(|refusal, head, response| {
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        Response::builder()
            .status(StatusCode::IM_A_TEAPOT)
            .body(format!("{} {}", head.uri().path(), refusal.reason()).into())
            .unwrap()
    });
    let response = layer.layer(echo()).oneshot(get("/tea")).await.unwrap();
    assert_eq!(response.status(), StatusCode::IM_A_TEAPOT);
    assert_eq!(refused_for(&response), Some(Reason::Starting));
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "/tea starting");
}

#[tokio::test]
async fn retry_after_is_as_configured() {
    let (readiness, _storage) = storage();
    let minute = Duration::from_secs(60);
    for (retry_after, expected) in [
        (RetryAfter::between(minute, minute).unwrap(), Some("60")),
        (RetryAfter::never(), None),
    ] {
        let layer = ReadinessLayer::new(&readiness).retry_after(retry_after);
        let response = layer.layer(echo()).oneshot(get("/")).await.unwrap();
        let header = response.headers().get(header::RETRY_AFTER);
        assert_eq!(header.map(|value| value.to_str().unwrap()), expected);
    }
}

// === the inner service's readiness ===

/// A gate around a service that the test steps by hand, and that has no room yet.
fn mocked(layer: &ReadinessLayer) -> (Gated, mock::Handle<Req, Res>) {
    let (inner, mut handle) = mock::pair();
    handle.allow(0);
    (layer.layer(inner), handle)
}

/// The next request that arrived at the inner service.
fn arrived(handle: &mut mock::Handle<Req, Res>) -> Option<mock::SendResponse<Res>> {
    let (_, respond) = pin!(handle.next_request()).now_or_never()??;
    Some(respond)
}

#[tokio::test]
async fn the_gate_is_always_ready_and_asks_inside_only_for_a_request_it_passes_on() {
    let (readiness, storage) = storage();
    let (mut service, mut handle) = mocked(&ReadinessLayer::new(&readiness));

    // The inner service is pending; the gate is ready, refuses and answers probes.
    let mut ready = task::spawn(());
    ready.enter(|cx, _| assert_ready_ok!(service.poll_ready(cx)));
    let refused = service.call(get("/")).now_or_never().unwrap().unwrap();
    assert_eq!(refused_for(&refused), Some(Reason::Starting));
    let probe = service.call(get("/livez")).now_or_never().unwrap().unwrap();
    assert_eq!(probe.status(), StatusCode::OK);

    storage.ready();
    let mut request = task::spawn(service.call(get("/")));
    assert_pending!(request.poll());
    let probe = service
        .call(get("/readyz"))
        .now_or_never()
        .unwrap()
        .unwrap();
    assert_eq!(probe.status(), StatusCode::OK);

    handle.allow(1);
    assert!(request.is_woken(), "the request waits with its own waker");
    assert_pending!(request.poll());
    arrived(&mut handle).unwrap().send_response(ok());
    let response = assert_ready_ok!(request.poll());
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn an_error_of_the_inner_poll_ready_reaches_the_next_admitted_request_and_no_probe() {
    let (readiness, storage) = storage();
    let (mut service, mut handle) = mocked(&ReadinessLayer::new(&readiness));
    handle.send_error("inner is broken");

    let refused = service.call(get("/")).now_or_never().unwrap().unwrap();
    assert_eq!(refused_for(&refused), Some(Reason::Starting));

    storage.ready();
    let error = service.call(get("/")).now_or_never().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "inner is broken");
    let probe = service.call(get("/livez")).now_or_never().unwrap().unwrap();
    assert_eq!(probe.status(), StatusCode::OK);
}

#[tokio::test]
async fn an_error_while_waiting_for_room_reaches_the_request_that_waits() {
    let (readiness, storage) = storage();
    storage.ready();
    let (mut service, mut handle) = mocked(&ReadinessLayer::new(&readiness));
    let mut request = task::spawn(service.call(get("/")));
    assert_pending!(request.poll());
    handle.send_error("gone");
    assert_eq!(assert_ready_err!(request.poll()).to_string(), "gone");
}

#[tokio::test]
async fn an_error_of_the_inner_response_passes_through() {
    let (readiness, storage) = storage();
    storage.ready();
    let (mut service, mut handle) = mocked(&ReadinessLayer::new(&readiness));
    handle.allow(1);
    let mut request = task::spawn(service.call(get("/")));
    assert_pending!(request.poll());
    arrived(&mut handle).unwrap().send_error("no luck");
    assert_eq!(assert_ready_err!(request.poll()).to_string(), "no luck");
}

/// Panics when it is called before it was ready, as the contract of `poll_ready`
/// allows. A clone begins without readiness.
#[derive(Default)]
struct Strict {
    ready: bool,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Service<Req> for Strict {
    type Response = Res;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Res, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Ready at the second poll, so that every request waits once.
        if std::mem::replace(&mut self.ready, true) {
            return Poll::Ready(Ok(()));
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn call(&mut self, _: Req) -> Self::Future {
        let was_ready = std::mem::take(&mut self.ready);
        assert!(was_ready, "called without being ready");
        std::future::ready(Ok(ok()))
    }
}

#[tokio::test]
async fn the_service_that_is_called_is_the_one_that_was_ready() {
    let (readiness, storage) = storage();
    storage.ready();
    let mut service = ReadinessLayer::new(&readiness).layer(Strict::default());
    for _ in 0..3 {
        let first = service.call(get("/"));
        let clone = service.clone().call(get("/"));
        let second = service.call(get("/"));
        for response in [first, clone, second] {
            assert_eq!(response.await.unwrap().status(), StatusCode::OK);
        }
    }
}

#[tokio::test]
async fn a_refusal_and_a_probe_keep_no_permit_and_no_place_in_the_queue() {
    let (readiness, storage) = storage();
    let (inner, mut handle) = mock::pair::<Req, Res>();
    let limited = ConcurrencyLimitLayer::new(1).layer(inner);
    let mut service = ReadinessLayer::new(&readiness).layer(limited);

    // If one of these kept the only permit, the request below would never get it.
    let mut ready = task::spawn(());
    ready.enter(|cx, _| assert_ready_ok!(service.poll_ready(cx)));
    let refused = service.call(get("/")).now_or_never().unwrap().unwrap();
    assert_eq!(refused_for(&refused), Some(Reason::Starting));
    let mut other = service.clone();
    ready.enter(|cx, _| assert_ready_ok!(service.poll_ready(cx)));
    service
        .call(get("/readyz"))
        .now_or_never()
        .unwrap()
        .unwrap();

    storage.ready();
    let mut first = task::spawn(other.call(get("/")));
    assert_pending!(first.poll());
    let respond = arrived(&mut handle).unwrap();

    // A dropped request does not keep its place in the queue either.
    let mut second = task::spawn(service.call(get("/")));
    assert_pending!(second.poll());
    drop(second);
    let mut third = task::spawn(service.call(get("/")));
    assert_pending!(third.poll());

    respond.send_response(ok());
    assert_ready_ok!(first.poll());
    drop(first);
    assert!(third.is_woken());
    assert_pending!(third.poll());
    arrived(&mut handle).unwrap().send_response(ok());
    assert_ready_ok!(third.poll());
}

// === saturation ===

struct Saturated {
    service: Gated,
    layer: ReadinessLayer,
    handle: mock::Handle<Req, Res>,
    _storage: Reporter,
}

fn saturated(configure: impl FnOnce(ReadinessLayer) -> ReadinessLayer) -> Saturated {
    let (readiness, storage) = storage();
    storage.ready();
    let layer = configure(ReadinessLayer::new(&readiness));
    let (service, handle) = mocked(&layer);
    Saturated {
        service,
        layer,
        handle,
        _storage: storage,
    }
}

#[tokio::test(start_paused = true)]
async fn a_saturated_service_is_waited_for_by_default_for_five_seconds() {
    let mut test = saturated(|layer| layer);
    let mut request = task::spawn(test.service.call(get("/")));
    assert_pending!(request.poll());
    let counts = test.layer.counts();
    assert_eq!(counts.waiting(Reason::Saturated), 1);
    tokio::time::advance(Duration::from_millis(4_999)).await;
    assert_pending!(request.poll());
    tokio::time::advance(Duration::from_millis(2)).await;
    let response = assert_ready_ok!(request.poll());
    assert_eq!(refused_for(&response), Some(Reason::Saturated));
    assert_eq!(response.headers()["x-readiness"], "saturated");
    assert_eq!(counts.waiting(Reason::Saturated), 0);
    assert_eq!(counts.held(Reason::Saturated), 1);
    assert_eq!(counts.refused(Reason::Saturated), 1);
}

#[tokio::test]
async fn a_saturated_service_can_be_refused_at_once() {
    let mut test = saturated(|layer| layer.when_saturated(Action::Refuse));
    let response = test.service.call(get("/")).now_or_never();
    let response = response.unwrap().unwrap();
    assert_eq!(refused_for(&response), Some(Reason::Saturated));
}

#[tokio::test(start_paused = true)]
async fn a_saturated_service_can_be_waited_for_without_bounds() {
    let mut test = saturated(|layer| layer.when_saturated(Action::Admit));
    let mut request = task::spawn(test.service.call(get("/")));
    assert_pending!(request.poll());
    tokio::time::advance(Duration::from_secs(86_400)).await;
    assert_pending!(request.poll());
    test.handle.allow(1);
    assert_pending!(request.poll());
    arrived(&mut test.handle).unwrap().send_response(ok());
    assert_ready_ok!(request.poll());
}

#[tokio::test]
async fn unessential_requests_are_shed_while_saturated_and_the_rest_waits() {
    let essential = Action::shed_unless(|head| head.uri().path() == "/essential");
    let mut test = saturated(|layer| layer.when_saturated(essential));
    let response = test.service.call(get("/")).now_or_never();
    let response = response.unwrap().unwrap();
    assert_eq!(refused_for(&response), Some(Reason::Saturated));
    assert_pending!(task::spawn(test.service.call(get("/essential"))).poll());
}

#[tokio::test(start_paused = true)]
async fn a_saturated_service_has_room_for_so_many_waiters() {
    let hold = Hold::builder(Duration::from_secs(1)).max_waiting(2);
    let hold = Action::Hold(hold.build().unwrap());
    let mut test = saturated(|layer| layer.when_saturated(hold));
    let mut first = task::spawn(test.service.call(get("/")));
    let mut second = task::spawn(test.service.call(get("/")));
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    let third = test.service.call(get("/")).now_or_never();
    let third = third.unwrap().unwrap();
    assert_eq!(refused_for(&third), Some(Reason::Saturated));
    drop(first);
    assert_eq!(test.layer.counts().waiting(Reason::Saturated), 1);
    assert_pending!(task::spawn(test.service.call(get("/"))).poll());
}

/// Never saturated, but pending when its task has used up tokio's budget, as services
/// on tokio's channels and semaphores are.
#[derive(Clone)]
struct Cooperative;

impl Service<Req> for Cooperative {
    type Response = Res;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Res, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        pin!(tokio::task::consume_budget()).poll(cx).map(Ok)
    }

    fn call(&mut self, _: Req) -> Self::Future {
        std::future::ready(Ok(ok()))
    }
}

#[tokio::test]
async fn a_task_that_must_give_way_is_not_taken_for_a_saturated_service() {
    let (readiness, storage) = storage();
    storage.ready();
    let layer = ReadinessLayer::new(&readiness).when_saturated(Action::Refuse);
    let mut service = layer.layer(Cooperative);
    // More requests in one turn than tokio lets a task make progress (128).
    let statuses = tokio::spawn(async move {
        let mut statuses = Vec::new();
        for _ in 0..500 {
            statuses.push(service.call(get("/")).await.unwrap().status());
        }
        statuses
    });
    let statuses = statuses.await.unwrap();
    assert!(statuses.iter().all(|status| *status == StatusCode::OK));
}

#[tokio::test(start_paused = true)]
async fn a_task_that_must_give_way_is_polled_again_and_then_refused() {
    use tokio::task::{consume_budget, coop::has_budget_remaining};

    let mut test = saturated(|layer| layer.when_saturated(Action::Refuse));
    let mut request = test.service.call(get("/"));
    let mut is_first = true;
    let response = poll_fn(|cx| {
        while is_first && has_budget_remaining() {
            let _ = pin!(consume_budget()).poll(cx);
        }
        is_first = false;
        request.poll_unpin(cx)
    });
    // Nothing but the gate wakes this task.
    let response = tokio::time::timeout(Duration::from_secs(1), response).await;
    let response = response.unwrap().unwrap();
    assert_eq!(refused_for(&response), Some(Reason::Saturated));
}

// === actions ===

#[test]
fn the_default_actions_are_those_of_the_truth_table() {
    let (readiness, storage) = storage();
    let layer = ReadinessLayer::new(&readiness);
    assert_eq!(refusal(&layer), Some(Reason::Starting));
    storage.degraded("slow");
    assert_eq!(refusal(&layer), None);
    storage.failing("gone");
    assert_eq!(refusal(&layer), Some(Reason::Failing));
    storage.ready();
    let pause = readiness.pause("standby");
    assert_eq!(refusal(&layer), None);
    readiness.drain();
    assert_eq!(refusal(&layer), None);
    storage.failing("gone");
    assert_eq!(refusal(&layer), Some(Reason::Failing));
    storage.ready();
    readiness.advance(Phase::Closing);
    assert_eq!(refusal(&layer), None);
    drop(pause);
    readiness.advance(Phase::Closed);
    assert_eq!(refusal(&layer), Some(Reason::Closed));
}

#[test]
fn each_reason_has_an_action_of_its_own() {
    let (readiness, storage) = storage();
    let layer = || ReadinessLayer::new(&readiness);
    let refusal = |layer: ReadinessLayer| refusal(&layer);
    assert_eq!(refusal(layer().when_starting(Action::Admit)), None);

    storage.ready();
    storage.failing("gone");
    assert_eq!(refusal(layer().when_failing(Action::Admit)), None);
    let other = layer().when_starting(Action::Admit);
    assert_eq!(refusal(other), Some(Reason::Failing));

    storage.ready();
    let paused = readiness.pause("");
    let refuses = || layer().when_paused(Action::Refuse);
    assert_eq!(refusal(refuses()), Some(Reason::Paused));
    drop(paused);
    assert_eq!(refusal(refuses()), None);

    readiness.drain();
    let refuses = || layer().when_draining(Action::Refuse);
    assert_eq!(refusal(refuses()), Some(Reason::Draining));
    readiness.advance(Phase::Closing);
    assert_eq!(refusal(refuses()), None);
    let refuses = layer().when_closing(Action::Refuse);
    assert_eq!(refusal(refuses), Some(Reason::Closing));
    readiness.advance(Phase::Closed);
    assert_eq!(refusal(layer().when_closed(Action::Admit)), None);
}

#[test]
fn every_reason_that_holds_is_asked_and_the_first_refusal_counts() {
    let (readiness, storage) = storage();
    storage.ready();
    storage.failing("gone");
    readiness.drain();
    let layer = ReadinessLayer::new(&readiness)
        .when_failing(Action::Admit)
        .when_draining(Action::Refuse);
    assert_eq!(refusal(&layer), Some(Reason::Draining));
}

#[tokio::test]
async fn unessential_requests_are_shed() {
    let (readiness, _storage) = storage();
    let layer = ReadinessLayer::new(&readiness).when_starting(Action::shed_unless(|head| {
        head.headers().contains_key("x-essential") && head.method() == http::Method::GET
    }));
    assert_eq!(refusal(&layer), Some(Reason::Starting));
    let mut request = get("/");
    let value = header::HeaderValue::from_static("1");
    request.headers_mut().insert("x-essential", value);
    let response = layer.layer(echo()).oneshot(request).await.unwrap();
    assert_eq!(refused_for(&response), None);
}

#[test]
fn all_or_nothing_can_be_shed() {
    let (readiness, _storage) = storage();
    for (fraction, refused) in [(0.0, None), (1.0, Some(Reason::Starting))] {
        let action = Action::shed(fraction).unwrap();
        let layer = ReadinessLayer::new(&readiness).when_starting(action);
        assert_eq!(refusal(&layer), refused);
    }
}

#[tokio::test]
async fn a_predicate_sees_the_whole_head_of_a_request() {
    let (readiness, _storage) = storage();
    let layer = ReadinessLayer::new(&readiness).exempt(|head| {
        head.method() == http::Method::PUT
            && head.version() == Version::HTTP_2
            && head.headers()["x-tenant"] == "a"
            && head.extensions().get() == Some(&5_u8)
    });
    let mut request = Request::put("/")
        .version(Version::HTTP_2)
        .header("x-tenant", "a")
        .extension(5_u8)
        .body(Empty::new())
        .unwrap();
    let mut service = layer.layer(echo());
    let response = service.call(request.clone()).await.unwrap();
    assert_eq!(refused_for(&response), None);
    *request.version_mut() = Version::HTTP_11;
    let response = service.call(request).await.unwrap();
    assert_eq!(refused_for(&response), Some(Reason::Starting));
}

#[tokio::test]
async fn exempt_requests_are_admitted_for_every_reason() {
    let (readiness, _storage) = storage();
    let layer =
        ReadinessLayer::new(&readiness).exempt(|head| head.uri().path().starts_with("/admin/"));
    let service = layer.layer(echo());
    readiness.advance(Phase::Closed);
    for (path, refused) in [("/admin/flip", None), ("/", Some(Reason::Closed))] {
        let response = service.clone().oneshot(get(path)).await.unwrap();
        assert_eq!(refused_for(&response), refused, "{path}");
    }
}

/// Requests that are calls of gRPC's health service, and others that are not.
fn health_calls_and_others() -> Vec<(Req, bool)> {
    let mut requests: Vec<_> = ["Check", "Watch", "List"]
        .map(|method| (health_call(method), true))
        .into();
    for (kind, is_call) in [
        ("application/grpc+proto", true),
        ("application/grpc-web+proto", true),
        ("Application/gRPC;charset=utf-8", true),
        ("application/grpcish", false),
        ("application/json", false),
    ] {
        let mut request: Req = health_call("Check");
        let kind = header::HeaderValue::from_static(kind);
        request.headers_mut().insert(header::CONTENT_TYPE, kind);
        requests.push((request, is_call));
    }
    let mut without_type: Req = health_call("Check");
    without_type.headers_mut().remove(header::CONTENT_TYPE);
    requests.push((without_type, false));
    for method in ["GET", "HEAD", "PUT", "OPTIONS", "post"] {
        let mut request: Req = health_call("Check");
        *request.method_mut() = method.parse().unwrap();
        requests.push((request, false));
    }
    for method in [
        "../secrets/door",
        "%2e%2e/secrets/door",
        "Check/../../secrets/door",
        "Check/",
        "Checks",
        "check",
        "Other",
        "",
    ] {
        requests.push((health_call(method), false));
    }
    let mut elsewhere: Req = health_call("Check");
    *elsewhere.uri_mut() = "//grpc.health.v1.Health/Check".parse().unwrap();
    requests.push((elsewhere, false));
    requests
}

#[tokio::test]
async fn of_grpc_health_exactly_the_calls_are_exempt() {
    let (readiness, _storage) = storage();
    let service = ReadinessLayer::new(&readiness).layer(echo());
    for (request, is_call) in health_calls_and_others() {
        let what = format!(
            "{} {} {:?}",
            request.method(),
            request.uri(),
            request.headers()
        );
        let response = service.clone().oneshot(request).await.unwrap();
        assert_eq!(refused_for(&response).is_none(), is_call, "{what}");
    }
}

#[tokio::test]
async fn of_grpc_health_exactly_the_calls_are_not_in_flight() {
    let (readiness, storage) = storage();
    storage.ready();
    let mut service = ReadinessLayer::new(&readiness)
        .count_in_flight()
        .layer(echo());
    for (request, is_call) in health_calls_and_others() {
        let what = format!(
            "{} {} {:?}",
            request.method(),
            request.uri(),
            request.headers()
        );
        let call = service.call(request);
        let expected = usize::from(!is_call);
        assert_eq!(readiness.in_flight(), Some(expected), "{what}");
        drop(call);
    }
}

#[tokio::test]
async fn a_dry_run_refuses_nothing_and_counts_would_be_refusals() {
    let (readiness, storage) = storage();
    let layer = ReadinessLayer::new(&readiness)
        .when_failing(Action::hold(Duration::from_secs(1)).unwrap())
        .dry_run();
    for _ in 0..2 {
        assert_eq!(refusal(&layer), None);
    }
    let counts = layer.counts();
    assert_eq!(counts.dry_run_refused(Reason::Starting), 2);
    assert_eq!(readiness.dry_run_refused(Reason::Starting), 2);
    storage.ready();
    storage.failing("gone");
    for _ in 0..2 {
        assert_eq!(refusal(&layer), None);
    }
    assert_eq!(counts.dry_run_held(Reason::Failing), 2);
    assert_eq!(counts.waiting(Reason::Failing), 0);
    let shown = format!("{counts:?}");
    assert!(shown.contains("Starting: ReasonCounts { refused: 0, held: 0, dry_run_refused: 2,"));

    // The real decisions have their own counters.
    for reason in [Reason::Starting, Reason::Failing] {
        assert_eq!((counts.refused(reason), counts.held(reason)), (0, 0));
        assert_eq!(readiness.refused(reason), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_waits_for_a_saturated_service_and_counts_when_it_would_not_have() {
    let mut test = saturated(ReadinessLayer::dry_run);
    let mut request = task::spawn(test.service.call(get("/")));
    assert_pending!(request.poll());
    tokio::time::advance(Duration::from_secs(6)).await;
    assert_pending!(request.poll());
    let counts = test.layer.counts();
    assert_eq!(counts.dry_run_refused(Reason::Saturated), 1);
    assert_eq!(counts.refused(Reason::Saturated), 0);
    assert_eq!(counts.waiting(Reason::Saturated), 0);
}

#[tokio::test]
async fn a_refusal_names_the_scope_of_its_gate() {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        .subsystem(Subsystem::new("index").optional())
        .scope("search", ["index"])
        .build()
        .unwrap();
    let search = readiness.scope("search").unwrap();
    let scope = async |layer: ReadinessLayer| {
        let response = layer.layer(echo()).oneshot(get("/")).await.unwrap();
        let refusal = response.extensions().get::<Refusal>().unwrap();
        refusal.scope().map(ToOwned::to_owned)
    };
    assert_eq!(
        scope(ReadinessLayer::gate(&search)).await.as_deref(),
        Some("search")
    );
    assert_eq!(scope(ReadinessLayer::new(&readiness)).await, None);
    assert_eq!(scope(ReadinessLayer::gate(&readiness)).await, None);
}

#[tokio::test]
async fn a_named_scope_gates_by_its_own_members() {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        .subsystem(Subsystem::new("index").optional())
        .scope("search", ["index"])
        .build()
        .unwrap();
    let [storage, index] = ["storage", "index"].map(|name| readiness.reporter(name).unwrap());
    let layer = ReadinessLayer::gate(readiness.scope("search").unwrap());

    storage.ready();
    assert_eq!(refusal(&layer), Some(Reason::Starting));
    index.ready();
    assert_eq!(refusal(&layer), None);
    storage.failing("gone");
    assert_eq!(refusal(&layer), None);
    index.failing("gone");
    assert_eq!(refusal(&layer), Some(Reason::Failing));

    // A gate alone answers no probes.
    let response = layer.layer(echo()).oneshot(get("/livez")).await.unwrap();
    assert_eq!(refused_for(&response), Some(Reason::Failing));
}

#[tokio::test]
async fn a_layer_of_probes_alone_gates_nothing() {
    let (readiness, _storage) = storage();
    let service = ReadinessLayer::probes(&readiness).layer(echo());
    readiness.advance(Phase::Closed);
    let response = service.clone().oneshot(get("/")).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert!(!response.headers().contains_key(header::CONNECTION));
    let response = service.oneshot(get("/readyz")).await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
}

// === leaving ===

#[tokio::test]
async fn an_http1_client_gets_connection_close_once_the_process_drains() {
    let (readiness, storage) = storage();
    storage.ready();
    let service = ReadinessLayer::new(&readiness).layer(echo());
    let connection = async |version| {
        let mut request = get("/");
        *request.version_mut() = version;
        let response = service.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        response.headers().get(header::CONNECTION).cloned()
    };
    assert_eq!(connection(Version::HTTP_11).await, None);
    for phase in [Phase::Draining, Phase::Closing] {
        readiness.advance(phase);
        for version in [Version::HTTP_10, Version::HTTP_11] {
            assert_eq!(connection(version).await.unwrap(), "close");
        }
        assert_eq!(connection(Version::HTTP_2).await, None);
    }
}

#[tokio::test]
async fn an_upgrade_and_a_connection_header_of_the_application_are_left_alone() {
    let (readiness, storage) = storage();
    storage.ready();
    readiness.drain();
    let layer = ReadinessLayer::new(&readiness);

    let upgrade = service_fn(|_: Req| async {
        let response = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
        Ok::<_, Infallible>(response.body(Full::<Bytes>::default()).unwrap())
    });
    let response = layer.layer(upgrade).oneshot(get("/")).await.unwrap();
    assert!(!response.headers().contains_key(header::CONNECTION));

    let mut tunnel = get("db:5432");
    *tunnel.method_mut() = Method::CONNECT;
    let response = layer.layer(echo()).oneshot(tunnel).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert!(!response.headers().contains_key(header::CONNECTION));

    // The connection stays one of HTTP if the handler begins no tunnel.
    let refuses = service_fn(|_: Req| async {
        let response = Response::builder().status(StatusCode::BAD_GATEWAY);
        Ok::<_, Infallible>(response.body(Full::<Bytes>::default()).unwrap())
    });
    for (version, connection) in [(Version::HTTP_11, Some("close")), (Version::HTTP_2, None)] {
        let mut tunnel = get("db:5432");
        *tunnel.method_mut() = Method::CONNECT;
        *tunnel.version_mut() = version;
        let response = layer.layer(refuses).oneshot(tunnel).await.unwrap();
        let announced = response.headers().get(header::CONNECTION);
        assert_eq!(announced.map(|it| it.to_str().unwrap()), connection);
    }

    let own = service_fn(|_: Req| async {
        let response = Response::builder().header(header::CONNECTION, "keep-alive");
        Ok::<_, Infallible>(response.body(Full::<Bytes>::default()).unwrap())
    });
    let response = layer.layer(own).oneshot(get("/")).await.unwrap();
    assert_eq!(response.headers()[header::CONNECTION], "keep-alive");
}

#[tokio::test]
async fn a_refusal_closes_an_http1_connection_when_leaving() {
    let (readiness, _storage) = storage();
    let service = ReadinessLayer::new(&readiness).layer(echo());
    readiness.drain();
    let response = service.clone().oneshot(get("/")).await.unwrap();
    assert_eq!(refused_for(&response), Some(Reason::Starting));
    assert_eq!(response.headers()[header::CONNECTION], "close");
    let mut request = get("/");
    *request.version_mut() = Version::HTTP_2;
    let response = service.oneshot(request).await.unwrap();
    assert!(!response.headers().contains_key(header::CONNECTION));
}

// === hold ===

fn holding(hold: Hold) -> (Readiness, Reporter, ReadinessLayer) {
    let (readiness, storage) = storage();
    let layer = ReadinessLayer::new(&readiness)
        .when_starting(Action::Hold(hold.clone()))
        .when_failing(Action::Hold(hold));
    (readiness, storage, layer)
}

fn two_seconds() -> HoldBuilder {
    Hold::builder(Duration::from_secs(2))
}

#[tokio::test(start_paused = true)]
async fn a_held_request_is_served_when_the_reason_passes() {
    let (_readiness, storage, layer) = holding(two_seconds().build().unwrap());
    let mut service = layer.layer(echo());
    let mut request = task::spawn(service.call(get("/")));
    assert_pending!(request.poll());
    assert_eq!(layer.counts().waiting(Reason::Starting), 1);

    storage.starting("halfway");
    assert_pending!(request.poll());
    storage.ready();
    assert!(request.is_woken());
    let response = assert_ready_ok!(request.poll());
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(layer.counts().waiting(Reason::Starting), 0);
    assert_eq!(layer.counts().held(Reason::Starting), 1);
    assert_eq!(layer.counts().refused(Reason::Starting), 0);
}

#[tokio::test(start_paused = true)]
async fn a_held_request_is_refused_when_its_time_is_up() {
    let (_readiness, _storage, layer) = holding(two_seconds().build().unwrap());
    let mut service = layer.layer(echo());
    let mut request = task::spawn(service.call(get("/")));
    assert_pending!(request.poll());
    tokio::time::advance(Duration::from_millis(1_999)).await;
    assert_pending!(request.poll());
    // Also when the clock stands exactly at the end of the hold.
    tokio::time::advance(Duration::from_millis(1)).await;
    let response = assert_ready_ok!(request.poll());
    assert_eq!(refused_for(&response), Some(Reason::Starting));
    assert_eq!(layer.counts().waiting(Reason::Starting), 0);
}

#[tokio::test(start_paused = true)]
async fn time_spent_held_counts_across_reasons() {
    let (_readiness, storage, layer) = holding(two_seconds().build().unwrap());
    let mut service = layer.layer(echo());
    let mut request = task::spawn(service.call(get("/")));
    assert_pending!(request.poll());
    tokio::time::advance(Duration::from_millis(1_500)).await;
    storage.ready();
    storage.failing("gone again before anybody looked");
    assert_pending!(request.poll());
    tokio::time::advance(Duration::from_millis(400)).await;
    assert_pending!(request.poll());
    tokio::time::advance(Duration::from_millis(101)).await;
    let response = assert_ready_ok!(request.poll());
    assert_eq!(refused_for(&response), Some(Reason::Failing));
}

#[tokio::test(start_paused = true)]
async fn there_is_room_for_so_many_held_requests_and_leaving_makes_room() {
    let (_readiness, _storage, layer) = holding(two_seconds().max_waiting(1).build().unwrap());
    // One service for each route, as axum makes: the bound is the layer's.
    let mut one = layer.layer(echo());
    let mut other = layer.layer(echo());
    let mut first = task::spawn(one.call(get("/")));
    assert_pending!(first.poll());
    let second = other.call(get("/")).now_or_never().unwrap().unwrap();
    assert_eq!(refused_for(&second), Some(Reason::Starting));
    drop(first);
    assert_pending!(task::spawn(other.call(get("/"))).poll());
}

#[tokio::test(start_paused = true)]
async fn held_requests_are_let_go_a_few_at_a_time() {
    let (_readiness, storage, layer) = holding(two_seconds().release(2).build().unwrap());
    let (mut service, mut handle) = mocked(&layer);
    let mut requests: Vec<_> = (0..5)
        .map(|_| task::spawn(service.call(get("/"))))
        .collect();
    for request in &mut requests {
        assert_pending!(request.poll());
    }
    storage.ready();
    handle.allow(5);
    for request in &mut requests {
        assert_pending!(request.poll());
    }
    let [first, second] = [(); 2].map(|()| arrived(&mut handle).unwrap());
    assert!(arrived(&mut handle).is_none());

    first.send_response(ok());
    assert_ready_ok!(requests[0].poll());
    for request in &mut requests[1..] {
        assert_pending!(request.poll());
    }
    let third = arrived(&mut handle).unwrap();
    assert!(arrived(&mut handle).is_none());

    // Requests whose time is up are admitted too, because the gate is open.
    tokio::time::advance(Duration::from_secs(3)).await;
    for request in &mut requests[1..] {
        assert_pending!(request.poll());
    }
    let [fourth, fifth] = [(); 2].map(|()| arrived(&mut handle).unwrap());
    for respond in [second, third, fourth, fifth] {
        respond.send_response(ok());
    }
    for request in &mut requests[1..] {
        assert_ready_ok!(request.poll());
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_does_not_wait_for_a_reason_that_cannot_pass() {
    let (readiness, storage) = storage();
    storage.ready();
    readiness.drain();
    let hold = Action::hold(Duration::from_secs(2)).unwrap();
    let layer = ReadinessLayer::new(&readiness).when_draining(hold);
    assert_eq!(refusal(&layer), Some(Reason::Draining));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_held_that_is_going_to_be_refused() {
    let (readiness, storage, layer) = holding(two_seconds().build().unwrap());
    let layer = layer.when_draining(Action::Refuse);
    storage.ready();
    storage.failing("gone");
    let mut service = layer.layer(echo());
    let mut request = task::spawn(service.call(get("/")));
    assert_pending!(request.poll());
    readiness.drain();
    let response = assert_ready_ok!(request.poll());
    assert_eq!(refused_for(&response), Some(Reason::Draining));
    assert_eq!(refusal(&layer), Some(Reason::Draining));
}

#[tokio::test(start_paused = true)]
async fn a_request_does_not_wait_for_a_start_after_the_drain_began() {
    let (readiness, storage, layer) = holding(two_seconds().build().unwrap());
    let mut service = layer.layer(echo());
    let mut request = task::spawn(service.call(get("/")));
    assert_pending!(request.poll());
    readiness.drain();
    let response = assert_ready_ok!(request.poll());
    assert_eq!(refused_for(&response), Some(Reason::Starting));
    storage.ready();
    assert_eq!(refusal(&layer), Some(Reason::Starting));
}

#[tokio::test(start_paused = true)]
async fn a_held_request_is_decided_on_again_only_when_the_verdict_changes() {
    let (readiness, storage, layer) = holding(two_seconds().build().unwrap());
    let decisions = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&decisions);
    let layer = layer.when_closed(Action::Admit).exempt(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
        false
    });
    storage.ready();
    storage.failing("gone");
    let mut service = layer.layer(echo());
    let mut request = task::spawn(service.call(get("/")));
    assert_pending!(request.poll());
    readiness.advance(Phase::Closed);
    assert_pending!(request.poll());
    storage.failing("still gone");
    assert_pending!(request.poll());
    assert_eq!(decisions.load(Ordering::Relaxed), 2);
    storage.ready();
    let response = assert_ready_ok!(request.poll());
    assert_eq!(refused_for(&response), None);
    assert_eq!(response.headers()[header::CONNECTION], "close");
}

#[tokio::test(start_paused = true)]
async fn of_two_reasons_to_hold_the_first_one_counts() {
    let (readiness, storage) = storage();
    storage.ready();
    storage.failing("gone");
    let _pause = readiness.pause("standby");
    let hold = Action::Hold(two_seconds().build().unwrap());
    let layer = ReadinessLayer::new(&readiness)
        .when_failing(hold.clone())
        .when_paused(hold);
    let mut service = layer.layer(echo());
    let mut request = task::spawn(service.call(get("/")));
    assert_pending!(request.poll());
    let counts = [Reason::Failing, Reason::Paused].map(|reason| layer.counts().held(reason));
    assert_eq!(counts, [1, 0]);
    // The other reason still holds the request.
    storage.ready();
    assert_pending!(request.poll());
    let counts = [Reason::Failing, Reason::Paused].map(|reason| layer.counts().waiting(reason));
    assert_eq!(counts, [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_hold_for_another_reason_needs_a_place_of_its_own() {
    let (readiness, storage) = storage();
    let layer = ReadinessLayer::new(&readiness)
        .when_starting(Action::Hold(two_seconds().build().unwrap()))
        .when_failing(Action::Hold(two_seconds().max_waiting(1).build().unwrap()));
    let mut service = layer.layer(echo());
    let mut requests: Vec<_> = (0..3)
        .map(|_| task::spawn(service.call(get("/"))))
        .collect();
    for request in &mut requests {
        assert_pending!(request.poll());
    }
    storage.ready();
    storage.failing("gone");
    let [first, others @ ..] = &mut requests[..] else {
        unreachable!()
    };
    assert_pending!(first.poll());
    for request in others {
        let response = assert_ready_ok!(request.poll());
        assert_eq!(refused_for(&response), Some(Reason::Failing));
    }
    let counts = layer.counts();
    assert_eq!(counts.waiting(Reason::Starting), 0);
    assert_eq!(counts.waiting(Reason::Failing), 1);
    assert_eq!(counts.held(Reason::Failing), 1);
}

#[tokio::test]
async fn a_refusal_names_the_snapshot_that_it_was_judged_by() {
    let (readiness, storage) = storage();
    let judged_by = readiness.snapshot().version();
    let storage = Arc::new(storage);
    let reporter = Arc::clone(&storage);
    // The snapshot changes between the decision and the response.
    let layer = ReadinessLayer::new(&readiness).exempt(move |_| {
        reporter.ready();
        false
    });
    let response = layer.layer(echo()).oneshot(get("/")).await.unwrap();
    let refusal = response.extensions().get::<Refusal>().unwrap();
    assert_eq!(refusal.version(), judged_by);
    assert!(readiness.snapshot().version() > judged_by);
}

#[tokio::test(start_paused = true)]
async fn held_requests_are_refused_as_soon_as_the_process_is_closed() {
    let (readiness, _storage, layer) = holding(two_seconds().build().unwrap());
    let mut service = layer.layer(echo());
    let mut request = task::spawn(service.call(get("/")));
    assert_pending!(request.poll());
    readiness.advance(Phase::Closed);
    let response = assert_ready_ok!(request.poll());
    assert_eq!(refused_for(&response), Some(Reason::Closed));
}

#[test]
fn without_a_runtime_there_is_no_time_to_wait() {
    let (_readiness, _storage, layer) = holding(two_seconds().build().unwrap());
    assert_eq!(refusal(&layer), Some(Reason::Starting));
}

#[test]
fn on_a_runtime_without_timers_a_hold_refuses_at_once() {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let (_readiness, _storage, layer) = holding(two_seconds().build().unwrap());
    let refused = runtime.unwrap().block_on(async { refusal(&layer) });
    assert_eq!(refused, Some(Reason::Starting));
    assert_eq!(layer.counts().held(Reason::Starting), 0);
    assert_eq!(layer.counts().waiting(Reason::Starting), 0);
}

// === the header for Envoy ===

fn is_marked<B>(response: &Response<B>) -> bool {
    let flag = response
        .headers()
        .get("x-envoy-immediate-health-check-fail");
    flag.is_some_and(|flag| flag == "true")
}

/// Both ways to enable the header.
fn marking(readiness: &Readiness) -> [ReadinessLayer; 2] {
    let layer = ReadinessLayer::new(readiness);
    let probes = Probes::builder(readiness).envoy_headers().build().unwrap();
    [layer.clone().envoy_headers(), layer.with_probes(probes)]
}

#[tokio::test]
async fn while_draining_every_response_has_the_header_for_envoy() {
    let call = |path| {
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/grpc");
        request.body(Empty::new()).unwrap()
    };
    let requests = || {
        [
            "/",
            "/readyz",
            "/livez",
            "/healthz",
            "/startupz",
            "/statusz",
        ]
        .map(get)
        .into_iter()
        .chain([
            Request::head("/readyz").body(Empty::new()).unwrap(),
            Request::post("/readyz").body(Empty::new()).unwrap(),
            call("/pkg.Service/Method"),
            call("/grpc.health.v1.Health/Check"),
        ])
    };
    let (readiness, storage) = storage();
    let plain = ReadinessLayer::new(&readiness);
    let all = async |layer: &ReadinessLayer| {
        let mut marked = Vec::new();
        for request in requests() {
            let response = layer.layer(echo()).oneshot(request).await.unwrap();
            marked.push(is_marked(&response));
        }
        marked
    };
    let [on, off] = [true, false].map(|marked| vec![marked; requests().count()]);
    let counting = marking(&readiness).map(ReadinessLayer::count_in_flight);
    let observing = marking(&readiness).map(ReadinessLayer::observe_outcomes);
    let layers: Vec<_> = marking(&readiness)
        .into_iter()
        .chain(counting)
        .chain(observing)
        .collect();
    let expect = async |expected: &Vec<bool>| {
        for layer in &layers {
            assert_eq!(all(layer).await, *expected);
        }
        assert_eq!(all(&plain).await, off);
    };
    expect(&off).await;
    storage.ready();
    expect(&off).await;
    storage.failing("gone");
    expect(&off).await;
    storage.ready();
    for phase in [Phase::Draining, Phase::Closing, Phase::Closed] {
        readiness.advance(phase);
        expect(&on).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_from_before_the_drain_has_the_header_for_envoy() {
    let (readiness, storage) = storage();
    storage.ready();
    let [layer, _] = marking(&readiness);
    let layer = layer.when_failing(Action::hold(Duration::from_secs(60)).unwrap());
    let (inner, mut handle) = mock::pair::<Req, Res>();
    let mut service = layer.layer(inner);

    handle.allow(2);
    let mut admitted = task::spawn(service.call(get("/")));
    assert_pending!(admitted.poll());
    let (_, answer) = handle.next_request().await.unwrap();
    storage.failing("gone");
    let mut held = task::spawn(service.call(get("/")));
    assert_pending!(held.poll());
    storage.ready();
    assert_pending!(held.poll());
    let (_, later) = handle.next_request().await.unwrap();

    readiness.drain();
    answer.send_response(ok());
    assert!(is_marked(&assert_ready_ok!(admitted.poll())));
    later.send_response(ok());
    assert!(is_marked(&assert_ready_ok!(held.poll())));
}

#[tokio::test]
async fn the_gate_of_a_scope_sets_the_header_for_envoy_where_enabled() {
    let (readiness, storage) = storage();
    storage.ready();
    let asked = ReadinessLayer::gate(&readiness).envoy_headers();
    let plain = ReadinessLayer::gate(&readiness);
    readiness.drain();
    for (layer, expected) in [(asked, true), (plain, false)] {
        let response = layer.layer(echo()).oneshot(get("/")).await.unwrap();
        assert_eq!(is_marked(&response), expected);
    }
}

#[tokio::test]
async fn a_responder_keeps_the_header_for_envoy() {
    let (readiness, _storage) = storage();
    let [layer, _] = marking(&readiness);
    let layer = layer.respond_with(|_, _, _| Response::new(Bytes::new()));
    readiness.advance(Phase::Closed);
    let response = layer.layer(echo()).oneshot(get("/")).await.unwrap();
    assert!(is_marked(&response));
}

// === the future ===

#[test]
fn a_response_future_is_at_most_32_bytes_larger_than_the_inner_one() {
    fn excess<S>(inner: S) -> usize
    where
        S: Service<Req, Response = Res> + Clone,
    {
        let (readiness, storage) = storage();
        storage.ready();
        let mut service = ReadinessLayer::new(&readiness).layer(inner);
        size_of_val(&service.call(get("/"))) - size_of::<S::Future>()
    }
    let large = service_fn(|request: Req| async {
        let kept = ([0_u8; 1_024], request);
        tokio::task::yield_now().await;
        drop(kept);
        Ok::<_, Infallible>(ok())
    });
    assert!(excess(echo()) <= 32);
    assert!(excess(large) <= 32);
    assert!(excess(Strict { ready: false }) <= 32);
}

#[test]
fn neither_send_nor_static_is_asked_of_the_inner_service() {
    use std::{cell::Cell, rc::Rc};

    let (readiness, storage) = storage();
    storage.ready();
    let calls = Cell::new(0);
    let inner = service_fn(|_: Req| {
        calls.set(calls.get() + 1);
        let not_send = Rc::new(());
        async move {
            drop(not_send);
            Ok::<_, Infallible>(ok())
        }
    });
    let mut service = ReadinessLayer::new(&readiness).layer(inner);
    let response = service.call(get("/")).now_or_never();
    assert_eq!(response.unwrap().unwrap().status(), StatusCode::OK);
    assert_eq!(calls.get(), 1);
}
