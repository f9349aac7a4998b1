//! Requests that wait in the gate while the verdict changes: held, for their
//! turn, and for room in the inner service.

use crate::support::ready;
use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderValue, Request, Response, header};
use http_body_util::{Empty, Full};
use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::advance;
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok, task};
use tower::{Layer, Service, limit::ConcurrencyLimitLayer, service_fn};
use tower_readiness::{
    Action, Phase, Readiness, ReadinessLayer, Reason, Reporter, Subsystem,
    gate::{Hold, HoldBuilder, ReadinessService, Refusal},
};
use tower_test::mock;

type Req = Request<Empty<Bytes>>;
type Res = Response<Full<Bytes>>;

fn get(path: &str) -> Req {
    Request::get(path).body(Empty::new()).unwrap()
}

fn ok() -> Res {
    Response::new(Full::from("ok"))
}

fn refused_for<B>(response: &Response<B>) -> Option<Reason> {
    response.extensions().get::<Refusal>().map(Refusal::reason)
}

/// The request that has reached the inner service, if one has.
fn arrived(handle: &mut mock::Handle<Req, Res>) -> Option<mock::SendResponse<Res>> {
    let request = handle.next_request().now_or_never();
    request.map(|request| request.expect("the service is there").1)
}

struct Gated {
    readiness: Readiness,
    storage: Reporter,
    layer: ReadinessLayer,
    service: ReadinessService<mock::Mock<Req, Res>>,
    inner: mock::Handle<Req, Res>,
}

/// A service without room, behind a gate that is open.
fn without_room(configure: impl FnOnce(ReadinessLayer) -> ReadinessLayer) -> Gated {
    let (readiness, storage) = ready();
    let layer = configure(ReadinessLayer::new(&readiness).count_in_flight());
    let (inner, mut handle) = mock::pair();
    handle.allow(0);
    Gated {
        service: layer.layer(inner),
        inner: handle,
        readiness,
        storage,
        layer,
    }
}

fn a_minute() -> HoldBuilder {
    Hold::builder(Duration::from_secs(60))
}

// === for room ===

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_for_room_is_refused_when_the_gate_turns_failing() {
    for action in [Action::Hold(a_minute().build().unwrap()), Action::Admit] {
        let mut gated = without_room(|layer| layer.when_saturated(action));
        let mut call = task::spawn(gated.service.call(get("/")));
        assert_pending!(call.poll());
        assert_eq!(gated.readiness.in_flight(), Some(1));
        gated.storage.failing("gone");
        assert!(call.is_woken());
        let response = assert_ready_ok!(call.poll());
        assert_eq!(refused_for(&response), Some(Reason::Failing));
        // The future is not dropped, and holds no permit and no count.
        assert_eq!(gated.readiness.in_flight(), Some(0));
        assert_eq!(gated.layer.counts().waiting(Reason::Saturated), 0);
    }
}

#[test]
fn on_a_runtime_without_timers_a_request_waits_for_room_as_long_as_it_takes() {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(async {
        let mut gated = without_room(|layer| layer);
        let mut call = task::spawn(gated.service.call(get("/")));
        assert_pending!(call.poll());
        assert_eq!(gated.layer.counts().waiting(Reason::Saturated), 1);
        gated.inner.allow(1);
        assert!(call.is_woken());
        assert_pending!(call.poll());
        arrived(&mut gated.inner).unwrap().send_response(ok());
        assert_ready_ok!(call.poll());
    });
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_for_room_is_refused_when_the_process_is_closed() {
    let mut gated = without_room(|layer| layer);
    let mut call = task::spawn(gated.service.call(get("/")));
    assert_pending!(call.poll());
    gated.readiness.drain();
    assert_pending!(call.poll());
    gated.readiness.advance(Phase::Closing);
    assert_pending!(call.poll());
    gated.readiness.advance(Phase::Closed);
    assert!(call.is_woken());
    let response = assert_ready_ok!(call.poll());
    assert_eq!(refused_for(&response), Some(Reason::Closed));
}

#[tokio::test(start_paused = true)]
async fn a_request_is_not_passed_on_that_got_room_when_the_gate_had_closed() {
    let mut gated = without_room(|layer| layer);
    let mut call = task::spawn(gated.service.call(get("/")));
    assert_pending!(call.poll());
    gated.storage.failing("gone");
    gated.inner.allow(1);
    let response = assert_ready_ok!(call.poll());
    assert_eq!(refused_for(&response), Some(Reason::Failing));
    assert!(arrived(&mut gated.inner).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_got_room_asks_for_close_if_the_process_drains_meanwhile() {
    let mut gated = without_room(|layer| layer);
    let mut call = task::spawn(gated.service.call(get("/")));
    assert_pending!(call.poll());
    gated.readiness.drain();
    gated.inner.allow(1);
    assert_pending!(call.poll());
    arrived(&mut gated.inner).unwrap().send_response(ok());
    let response = assert_ready_ok!(call.poll());
    assert_eq!(response.headers()["connection"], "close");
}

#[tokio::test(start_paused = true)]
async fn a_reason_that_comes_and_goes_while_a_request_waits_for_room_does_not_matter() {
    let mut gated = without_room(|layer| layer);
    let mut call = task::spawn(gated.service.call(get("/")));
    assert_pending!(call.poll());
    gated.storage.failing("gone");
    gated.storage.ready();
    assert_pending!(call.poll());
    gated.inner.allow(1);
    assert_pending!(call.poll());
    assert!(arrived(&mut gated.inner).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_reason_in_spite_of_which_a_request_was_admitted_is_not_asked_again() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let essential = Action::shed_unless(move |_| counter.fetch_add(1, Ordering::Relaxed) == 0);
    let mut gated = without_room(|layer| layer.when_failing(essential));
    gated.storage.failing("gone");
    let mut call = task::spawn(gated.service.call(get("/")));
    assert_pending!(call.poll());
    gated.readiness.drain();
    assert_pending!(call.poll());
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    // After it has passed, the same reason counts anew.
    gated.storage.ready();
    assert_pending!(call.poll());
    gated.storage.failing("gone again");
    let response = assert_ready_ok!(call.poll());
    assert_eq!(refused_for(&response), Some(Reason::Failing));
}

#[tokio::test(start_paused = true)]
async fn a_reason_that_comes_back_while_a_request_is_held_again_counts_anew() {
    let asked = AtomicUsize::new(0);
    let essential = Action::shed_unless(move |_| asked.fetch_add(1, Ordering::Relaxed) == 0);
    let hold = Action::Hold(a_minute().build().unwrap());
    let mut gated = without_room(|layer| layer.when_failing(essential).when_paused(hold));
    gated.storage.failing("gone");
    let mut call = task::spawn(gated.service.call(get("/")));
    assert_pending!(call.poll());
    gated.storage.ready();
    let _pause = gated.readiness.pause("maintenance");
    assert_pending!(call.poll());
    assert_eq!(gated.layer.counts().waiting(Reason::Paused), 1);
    gated.storage.failing("gone again");
    let response = assert_ready_ok!(call.poll());
    assert_eq!(refused_for(&response), Some(Reason::Failing));
}

#[tokio::test(start_paused = true)]
async fn a_reason_in_spite_of_which_a_held_request_would_be_admitted_is_asked_once() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let essential = Action::shed_unless(move |_| counter.fetch_add(1, Ordering::Relaxed) == 0);
    let hold = Action::Hold(a_minute().build().unwrap());
    let mut gated = without_room(|layer| layer.when_failing(hold).when_paused(essential));
    let _pause = gated.readiness.pause("maintenance");
    gated.storage.failing("gone");
    let mut call = task::spawn(gated.service.call(get("/")));
    assert_pending!(call.poll());
    // Held still, then released, then without room, then held again.
    gated.readiness.drain();
    assert_pending!(call.poll());
    gated.storage.ready();
    assert_pending!(call.poll());
    gated.readiness.advance(Phase::Closing);
    assert_pending!(call.poll());
    gated.storage.failing("gone again");
    assert_pending!(call.poll());
    gated.storage.ready();
    gated.inner.allow(1);
    assert_pending!(call.poll());
    assert!(arrived(&mut gated.inner).is_some());
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_counts_a_request_that_waits_for_room_once() {
    for action in [Action::Refuse, Action::Hold(a_minute().build().unwrap())] {
        let holds = matches!(action, Action::Hold(_));
        let mut gated = without_room(|layer| {
            layer
                .dry_run()
                .when_failing(action)
                .when_draining(Action::Refuse)
        });
        let mut call = task::spawn(gated.service.call(get("/")));
        assert_pending!(call.poll());
        for _ in 0..5 {
            gated.storage.failing("gone");
            assert_pending!(call.poll());
            gated.storage.ready();
            assert_pending!(call.poll());
        }
        gated.readiness.drain();
        assert_pending!(call.poll());
        advance(Duration::from_secs(60)).await;
        assert_pending!(call.poll());
        let counts = gated.layer.counts();
        let refused = [Reason::Failing, Reason::Draining, Reason::Saturated]
            .map(|reason| counts.dry_run_refused(reason));
        // A held request goes on to the next reason; a refused one does not.
        let expected = if holds { [0, 1, 0] } else { [1, 0, 0] };
        assert_eq!(refused, expected);
        assert_eq!(counts.dry_run_held(Reason::Failing), u64::from(holds));
    }
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_that_has_refused_a_request_does_not_hold_it_for_room() {
    let mut gated = without_room(ReadinessLayer::dry_run);
    gated.storage.failing("gone");
    let mut call = task::spawn(gated.service.call(get("/")));
    assert_pending!(call.poll());
    let counts = gated.layer.counts();
    assert_eq!(counts.dry_run_refused(Reason::Failing), 1);
    assert_eq!(counts.dry_run_held(Reason::Saturated), 0);
}

#[tokio::test(start_paused = true)]
async fn exempt_requests_go_on_waiting_for_room() {
    let mut gated = without_room(|layer| layer.exempt(|head| head.uri().path() == "/metrics"));
    let mut call = task::spawn(gated.service.call(get("/metrics")));
    assert_pending!(call.poll());
    gated.storage.failing("gone");
    assert_pending!(call.poll());
    gated.inner.allow(1);
    assert_pending!(call.poll());
    assert!(arrived(&mut gated.inner).is_some());
}

#[tokio::test(start_paused = true)]
async fn exempt_requests_wait_for_room_where_others_are_refused() {
    let mut gated = without_room(|layer| {
        layer
            .when_saturated(Action::Refuse)
            .exempt(|head| head.uri().path() == "/metrics")
    });
    let other = gated.service.call(get("/")).now_or_never().unwrap();
    assert_eq!(refused_for(&other.unwrap()), Some(Reason::Saturated));
    let mut call = task::spawn(gated.service.call(get("/metrics")));
    assert_pending!(call.poll());
    gated.inner.allow(1);
    assert_pending!(call.poll());
    assert!(arrived(&mut gated.inner).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_held_and_waits_for_room_takes_no_wait_slot() {
    let hold = Action::Hold(a_minute().build().unwrap());
    let mut gated = without_room(|layer| layer.when_failing(hold).when_saturated(Action::Admit));
    gated.storage.failing("gone");
    let mut call = task::spawn(gated.service.call(get("/")));
    assert_pending!(call.poll());
    assert_eq!(gated.layer.counts().waiting(Reason::Failing), 1);
    gated.storage.ready();
    assert_pending!(call.poll());
    assert_eq!(gated.readiness.in_flight(), Some(1));
    assert_eq!(gated.layer.counts().waiting(Reason::Failing), 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_for_room_can_be_held_and_reserves_nothing_meanwhile() {
    let (readiness, storage) = ready();
    let layer = ReadinessLayer::new(&readiness)
        .count_in_flight()
        .when_failing(Action::Hold(a_minute().build().unwrap()))
        .exempt(|head| head.uri().path() == "/metrics");
    let (inner, mut handle) = mock::pair::<Req, Res>();
    handle.allow(9);
    let mut service = layer.layer(ConcurrencyLimitLayer::new(1).layer(inner));

    let mut first = task::spawn(service.call(get("/")));
    assert_pending!(first.poll());
    let first_answer = arrived(&mut handle).unwrap();
    let mut second = task::spawn(service.call(get("/")));
    assert_pending!(second.poll());
    assert_eq!(readiness.in_flight(), Some(2));

    storage.failing("gone");
    assert_pending!(second.poll());
    assert_eq!(readiness.in_flight(), Some(1));
    assert_eq!(layer.counts().waiting(Reason::Failing), 1);
    assert_eq!(layer.counts().waiting(Reason::Saturated), 0);

    // The only permit is free for another request.
    first_answer.send_response(ok());
    drop(assert_ready_ok!(first.poll()));
    drop(first);
    let mut exempt = task::spawn(service.call(get("/metrics")));
    assert_pending!(exempt.poll());
    arrived(&mut handle).unwrap().send_response(ok());
    drop(assert_ready_ok!(exempt.poll()));
    drop(exempt);

    storage.ready();
    assert!(second.is_woken());
    assert_pending!(second.poll());
    arrived(&mut handle).unwrap().send_response(ok());
    assert_eq!(refused_for(&assert_ready_ok!(second.poll())), None);
}

// === for a turn ===

/// Two requests that were held; the first has the only turn.
macro_rules! one_of_two {
    ($gated:ident, $first:ident, $second:ident) => {
        let hold = Action::Hold(a_minute().release(1).build().unwrap());
        let mut $gated = without_room(|layer| layer.when_failing(hold));
        $gated.storage.failing("gone");
        let mut $first = task::spawn($gated.service.call(get("/first")));
        let mut $second = task::spawn($gated.service.call(get("/second")));
        assert_pending!($first.poll());
        assert_pending!($second.poll());
        $gated.storage.ready();
        assert_pending!($first.poll());
        assert_pending!($second.poll());
        assert_eq!($gated.readiness.in_flight(), Some(1));
    };
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_for_its_turn_is_refused_at_once_when_the_gate_closes() {
    one_of_two!(gated, first, second);
    gated.readiness.advance(Phase::Closed);
    assert!(second.is_woken());
    let response = assert_ready_ok!(second.poll());
    assert_eq!(refused_for(&response), Some(Reason::Closed));
    assert_eq!(gated.layer.counts().waiting(Reason::Failing), 0);
    // The request with the turn is refused too while it waits for room.
    let response = assert_ready_ok!(first.poll());
    assert_eq!(refused_for(&response), Some(Reason::Closed));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_for_its_turn_can_be_held_again() {
    one_of_two!(gated, first, second);
    gated.storage.failing("gone again");
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    assert_eq!(gated.readiness.in_flight(), Some(0));
    assert_eq!(gated.layer.counts().waiting(Reason::Failing), 2);
    gated.storage.ready();
    gated.inner.allow(2);
    for call in [&mut second, &mut first] {
        assert_pending!(call.poll());
        arrived(&mut gated.inner).unwrap().send_response(ok());
        assert_eq!(refused_for(&assert_ready_ok!(call.poll())), None);
    }
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_that_waits_for_room_is_not_in_flight_while_it_is_held_again() {
    let hold = Action::Hold(a_minute().build().unwrap());
    let mut gated = without_room(|layer| layer.count_in_flight().when_failing(hold));
    let mut upgrade = get("/");
    let protocol = HeaderValue::from_static("websocket");
    upgrade.headers_mut().insert(header::UPGRADE, protocol);
    let mut call = task::spawn(gated.service.call(upgrade));
    assert_pending!(call.poll());
    assert_eq!(gated.readiness.in_flight(), Some(1));
    gated.storage.failing("gone");
    assert_pending!(call.poll());
    assert_eq!(gated.readiness.in_flight(), Some(0));
    gated.storage.ready();
    gated.inner.allow(1);
    assert_pending!(call.poll());
    arrived(&mut gated.inner).unwrap().send_response(ok());
    drop(assert_ready_ok!(call.poll()));
    assert_eq!(gated.readiness.in_flight(), Some(0));
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_turn_comes_with_a_failure_is_held_again() {
    one_of_two!(gated, first, second);
    // Both happen before the second request is polled.
    drop(first);
    gated.storage.failing("gone again");
    gated.inner.allow(1);
    assert_pending!(second.poll());
    assert!(arrived(&mut gated.inner).is_none());
    assert_eq!(gated.readiness.in_flight(), Some(0));
    assert_eq!(gated.layer.counts().waiting(Reason::Failing), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_turn_comes_with_a_harmless_change_is_passed_on() {
    one_of_two!(gated, first, second);
    // Both happen before the second request is polled.
    drop(first);
    gated.readiness.drain();
    gated.inner.allow(1);
    assert_pending!(second.poll());
    assert!(arrived(&mut gated.inner).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_recovery_that_is_over_when_the_request_is_polled_changes_nothing() {
    const HOLD_DOWN: Duration = Duration::from_secs(1);
    let storage = Subsystem::new("storage").hold_down(HOLD_DOWN);
    let readiness = Readiness::builder().subsystem(storage).build().unwrap();
    let storage = readiness.reporter("storage").unwrap();
    storage.ready();
    storage.failing("gone");
    advance(HOLD_DOWN).await;
    assert!(!readiness.verdict().is_ready());
    let layer =
        ReadinessLayer::new(&readiness).when_failing(Action::Hold(a_minute().build().unwrap()));
    let mut service = layer.layer(service_fn(async |_: Req| Ok::<_, Infallible>(ok())));
    let mut call = task::spawn(service.call(get("/")));
    assert_pending!(call.poll());
    storage.ready();
    storage.failing("gone");
    assert!(call.is_woken());
    // Without a yield, so that the gate is the first to find that the report counts.
    let _ = Box::pin(advance(HOLD_DOWN)).as_mut().now_or_never();
    assert_pending!(call.poll());
    assert_pending!(call.poll());
    assert_eq!(layer.counts().waiting(Reason::Failing), 1);
    storage.ready();
    assert_ready_ok!(call.poll());
}

#[tokio::test(start_paused = true)]
async fn a_recovery_while_the_gate_decides_is_not_missed() {
    let (readiness, storage) = ready();
    let storage = Arc::new(storage);
    let recovers = Arc::clone(&storage);
    let layer = ReadinessLayer::new(&readiness)
        .when_failing(Action::Hold(a_minute().build().unwrap()))
        .exempt(move |_| {
            recovers.ready();
            false
        });
    let (inner, mut handle) = mock::pair();
    handle.allow(0);
    let mut service = layer.layer(inner);
    let mut call = task::spawn(service.call(get("/")));
    assert_pending!(call.poll());
    storage.failing("gone");
    handle.allow(1);
    assert_pending!(call.poll());
    assert_eq!(layer.counts().held(Reason::Failing), 1);
    assert!(arrived(&mut handle).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_change_without_a_reason_to_refuse_leaves_the_turns_alone() {
    one_of_two!(gated, first, second);
    gated.readiness.drain();
    assert_pending!(second.poll());
    assert_eq!(gated.readiness.in_flight(), Some(1));
    gated.inner.allow(2);
    assert_pending!(first.poll());
    arrived(&mut gated.inner).unwrap().send_response(ok());
    drop(assert_ready_ok!(first.poll()));
    assert!(second.is_woken());
    assert_pending!(second.poll());
    assert!(arrived(&mut gated.inner).is_some());
}

// === a future that has ended and is kept ===

#[tokio::test(start_paused = true)]
async fn a_refused_future_that_is_kept_has_let_go_of_its_turn() {
    let hold = Action::Hold(a_minute().release(1).build().unwrap());
    let saturated = Action::hold(Duration::from_secs(1)).unwrap();
    let mut gated = without_room(|layer| layer.when_failing(hold).when_saturated(saturated));
    gated.storage.failing("gone");
    let mut first = task::spawn(gated.service.call(get("/first")));
    let mut second = task::spawn(gated.service.call(get("/second")));
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    gated.storage.ready();
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    tokio::time::advance(Duration::from_secs(1)).await;
    let response = assert_ready_ok!(first.poll());
    assert_eq!(refused_for(&response), Some(Reason::Saturated));
    assert!(second.is_woken());
    assert_pending!(second.poll());
    assert_eq!(
        gated.readiness.in_flight(),
        Some(1),
        "the second has its turn"
    );
    drop(first);
}

/// A service whose `poll_ready` fails once.
#[derive(Clone, Default)]
struct FailsOnce(Arc<AtomicBool>);

impl Service<Req> for FailsOnce {
    type Response = Res;
    type Error = &'static str;
    type Future = std::future::Pending<Result<Res, &'static str>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        let has_failed = self.0.swap(true, Ordering::Relaxed);
        Poll::Ready(if has_failed { Ok(()) } else { Err("broken") })
    }

    fn call(&mut self, _: Req) -> Self::Future {
        std::future::pending()
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_future_that_is_kept_has_let_go_of_its_turn() {
    let (readiness, storage) = ready();
    let hold = Action::Hold(a_minute().release(1).build().unwrap());
    let layer = ReadinessLayer::new(&readiness)
        .count_in_flight()
        .when_failing(hold);
    let mut service = layer.layer(FailsOnce::default());
    storage.failing("gone");
    let mut first = task::spawn(service.call(get("/first")));
    let mut second = task::spawn(service.call(get("/second")));
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    storage.ready();
    assert_eq!(assert_ready_err!(first.poll()), "broken");
    assert_eq!(readiness.in_flight(), Some(0));
    assert_pending!(second.poll());
    assert_eq!(readiness.in_flight(), Some(1), "the second has its turn");
    drop(first);
}

#[tokio::test]
async fn a_failed_future_that_is_kept_is_not_in_flight() {
    let (readiness, _storage) = ready();
    let layer = ReadinessLayer::new(&readiness).count_in_flight();
    let mut service = layer.layer(service_fn(async |_: Req| Err::<Res, _>("broken")));
    let mut call = task::spawn(service.call(get("/")));
    assert_eq!(assert_ready_err!(call.poll()), "broken");
    assert_eq!(readiness.in_flight(), Some(0));
    drop(call);
}
