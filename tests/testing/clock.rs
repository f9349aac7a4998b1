//! The paused clock: whatever waits follows it.

use super::SECOND;
use tokio::time::{Instant, advance, sleep};
use tower_readiness::{Readiness, State, Subsystem};

#[tokio::test(start_paused = true)]
async fn a_wait_moves_the_paused_clock_to_the_end_of_a_ttl() {
    let builder = Readiness::builder().subsystem(Subsystem::new("policy").ttl(8 * SECOND));
    let readiness = builder.build().unwrap();
    let policy = readiness.reporter("policy").unwrap();
    policy.ready();
    let begun = Instant::now();
    readiness
        .wait_state("policy", State::Stale, 60 * SECOND)
        .await
        .unwrap();
    assert!(begun.elapsed() < 9 * SECOND, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn one_advance_makes_a_subsystem_stale_for_the_next_reader() {
    let builder = Readiness::builder().subsystem(Subsystem::new("policy").ttl(8 * SECOND));
    let readiness = builder.build().unwrap();
    let policy = readiness.reporter("policy").unwrap();
    policy.ready();
    advance(9 * SECOND).await;
    assert_eq!(
        readiness.snapshot().subsystem("policy").unwrap().state(),
        State::Stale
    );
}

/// The documentation says which of the two a test needs after a heartbeat.
#[tokio::test(start_paused = true)]
async fn a_sleep_passes_the_readings_of_a_heartbeat_over_which_an_advance_jumps() {
    let builder = Readiness::builder().subsystem(Subsystem::new("policy").ttl(8 * SECOND));
    let readiness = builder.build().unwrap();
    let policy = readiness.reporter("policy").unwrap();
    let state = || readiness.snapshot().subsystem("policy").unwrap().state();
    policy.ready();
    policy.heartbeat();
    advance(11 * SECOND).await;
    assert_eq!(
        state(),
        State::Ready,
        "the heartbeat is read after the jump"
    );
    policy.heartbeat();
    sleep(11 * SECOND).await;
    assert_eq!(state(), State::Stale);
}

#[tokio::test(start_paused = true)]
async fn one_advance_makes_a_report_count_that_was_held_down() {
    let builder = Readiness::builder().subsystem(Subsystem::new("link").hold_down(8 * SECOND));
    let readiness = builder.build().unwrap();
    let link = readiness.reporter("link").unwrap();
    link.ready();
    link.failing("down");
    advance(7 * SECOND).await;
    assert!(readiness.verdict().is_ready());
    advance(SECOND).await;
    assert!(!readiness.verdict().is_ready());
}

#[cfg(feature = "check")]
#[tokio::test(start_paused = true)]
async fn a_check_runs_when_the_clock_reaches_its_interval() {
    use std::sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    };
    use tower_readiness::check::Check;

    let is_up = Arc::new(AtomicBool::new(true));
    let found = Arc::clone(&is_up);
    let check = Check::every(10 * SECOND).failures(1);
    let database = Subsystem::new("database").check(check, move || {
        let is_up = found.load(Ordering::Relaxed);
        async move { if is_up { Ok(()) } else { Err("refused") } }
    });
    let readiness = Readiness::builder().subsystem(database).build().unwrap();
    let wait = async |state| {
        let begun = Instant::now();
        let found = readiness.wait_state("database", state, 60 * SECOND).await;
        found.unwrap();
        begun.elapsed()
    };
    wait(State::Ready).await;
    is_up.store(false, Ordering::Relaxed);
    let took = wait(State::Failing).await;
    assert!(!took.is_zero() && took <= 15 * SECOND, "{took:?}");
    is_up.store(true, Ordering::Relaxed);
    advance(60 * SECOND).await;
    wait(State::Ready).await;
}

#[cfg(feature = "gate")]
mod traffic {
    use super::*;
    use futures_util::FutureExt;
    use http::{Request, Response};
    use http_body_util::Empty;
    use std::convert::Infallible;
    use tower::{Layer, ServiceExt, service_fn};
    use tower_readiness::{Phase, ReadinessLayer, gate::Action};

    type Body = Empty<&'static [u8]>;

    #[tokio::test(start_paused = true)]
    async fn an_advance_over_the_delay_ends_a_drain() {
        let builder = Readiness::builder().allow_empty();
        let readiness = builder.build().unwrap();
        let mut shutdown = Box::pin(readiness.shutdown().delay(5 * SECOND).build().unwrap());
        readiness.drain();
        assert!(shutdown.as_mut().now_or_never().is_none());
        advance(5 * SECOND - SECOND / 100).await;
        assert!(shutdown.as_mut().now_or_never().is_none());
        advance(SECOND).await;
        assert!(shutdown.now_or_never().is_some());
        assert_eq!(readiness.snapshot().phase(), Phase::Closing);
    }

    #[tokio::test(start_paused = true)]
    async fn a_held_request_is_refused_when_the_clock_reaches_the_end_of_its_hold() {
        let builder = Readiness::builder().subsystem(Subsystem::new("storage"));
        let readiness = builder.build().unwrap();
        let hold = Action::hold(2 * SECOND).unwrap();
        let layer = ReadinessLayer::new(&readiness).when_starting(hold);
        let routes = async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::new()));
        let service = layer.layer(service_fn(routes));
        let mut held = Box::pin(service.oneshot(Request::new(Body::new())));
        assert!(held.as_mut().now_or_never().is_none());
        advance(SECOND).await;
        assert!(held.as_mut().now_or_never().is_none());
        advance(SECOND + SECOND / 100).await;
        assert_eq!(held.now_or_never().unwrap().unwrap().status(), 503);
    }
}
