//! A subsystem that falls silent turns red by itself, and damping keeps a
//! flapping one from doing so: on tokio's paused clock.

mod support;

use futures_util::FutureExt;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use std::{convert::Infallible, sync::Arc, thread};
use tokio::time::{Duration, advance};
use tower::{Layer, ServiceExt, service_fn};
use tower_readiness::{
    BuildError, Condition, DeclareError, Phase, Readiness, ReadinessLayer, Reporter, SettingError,
    State, Subsystem,
    probe::{Detail, Probes},
};

const TTL: Duration = Duration::from_secs(8);

fn silent(subsystem: Subsystem) -> (Readiness, Reporter) {
    let readiness = Readiness::builder().subsystem(subsystem).build().unwrap();
    let reporter = readiness.reporter("policy").unwrap();
    (readiness, reporter)
}

fn policy() -> Subsystem {
    Subsystem::new("policy").ttl(TTL)
}

fn state(readiness: &Readiness) -> (State, String) {
    let snapshot = readiness.snapshot();
    let view = snapshot.subsystem("policy").unwrap();
    (view.state(), view.reason().unwrap_or_default().to_owned())
}

/// The published state, as a gate sees it: overdue changes are not published first.
fn published(readiness: &Readiness) -> State {
    let mut subscription = readiness.subscribe();
    let snapshot = subscription.changed().now_or_never().unwrap().unwrap();
    snapshot.subsystem("policy").unwrap().state()
}

/// Lets time pass, and the timer task run.
async fn pass(time: Duration) {
    // In steps, so that each sleeping task wakes in time.
    let step = Duration::from_millis(100);
    let mut left = time;
    while !left.is_zero() {
        advance(left.min(step)).await;
        left = left.saturating_sub(step);
        settle().await;
    }
}

async fn settle() {
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
}

// === ttl ===

#[tokio::test(start_paused = true)]
async fn one_advance_of_a_paused_clock_makes_a_subsystem_stale_however_slow_the_test_is() {
    let (readiness, policy) = silent(Subsystem::new("policy").ttl(Duration::from_millis(100)));
    policy.ready();
    // Twice as long as a running process may be late before it counts as frozen.
    thread::sleep(Duration::from_millis(60));
    advance(Duration::from_millis(101)).await;
    settle().await;
    assert_eq!(published(&readiness), State::Stale);
}

#[tokio::test(start_paused = true)]
async fn silence_turns_red_at_the_ttl_and_says_since_when() {
    let (readiness, policy) = silent(policy());
    policy.ready();
    pass(TTL - Duration::from_millis(100)).await;
    assert_eq!(published(&readiness), State::Ready);
    pass(Duration::from_millis(200)).await;
    assert_eq!(published(&readiness), State::Stale);
    let (_, reason) = state(&readiness);
    assert_eq!(reason, "silent for 8s; last report: ready");
    assert_eq!(readiness.verdict().condition(), Condition::Failing);
    assert!(readiness.verdict().is_live(), "not a vital one");

    policy.ready();
    assert!(readiness.verdict().is_ready(), "any report ends it at once");
}

#[tokio::test(start_paused = true)]
async fn a_stale_vital_subsystem_is_as_good_as_dead() {
    let (readiness, policy) = silent(policy().vital());
    policy.ready();
    pass(TTL + Duration::from_millis(100)).await;
    assert!(!readiness.verdict().is_live());
    policy.ready();
    assert!(readiness.verdict().is_live());
}

#[tokio::test(start_paused = true)]
async fn heartbeats_and_repeated_reports_end_silence() {
    let (readiness, policy) = silent(policy());
    policy.ready();
    let version = readiness.snapshot().version();
    for _ in 0..10 {
        pass(TTL * 3 / 4).await;
        policy.heartbeat();
        pass(TTL * 3 / 4).await;
        policy.ready();
    }
    assert_eq!(
        readiness.snapshot().version(),
        version,
        "nothing was published"
    );
    // The ttl counts from the last heartbeat that the timer saw.
    pass(TTL).await;
    assert_eq!(published(&readiness), State::Ready);
    pass(TTL / 4 + Duration::from_millis(200)).await;
    assert_eq!(published(&readiness), State::Stale);
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_after_silence_restores_the_last_report() {
    let (readiness, policy) = silent(policy());
    policy.degraded("two of three zones");
    pass(TTL * 2).await;
    assert_eq!(published(&readiness), State::Stale);
    policy.heartbeat();
    pass(TTL / 4 + Duration::from_millis(100)).await;
    let expected = (State::Degraded, "two of three zones".to_owned());
    assert_eq!(state(&readiness), expected);
}

#[tokio::test(start_paused = true)]
async fn the_time_runs_from_the_first_report_on() {
    let (readiness, policy) = silent(policy());
    pass(TTL * 4).await;
    policy.heartbeat();
    pass(TTL * 4).await;
    assert_eq!(published(&readiness), State::Starting);
    // A report, although it repeats the initial state.
    policy.starting("");
    pass(TTL + Duration::from_millis(100)).await;
    assert_eq!(published(&readiness), State::Stale);
}

#[tokio::test(start_paused = true)]
async fn silence_does_not_count_after_the_reporter_is_gone() {
    let (readiness, reporter) = silent(policy());
    reporter.leave_ready();
    pass(TTL * 4).await;
    assert_eq!(published(&readiness), State::Ready);

    let (readiness, reporter) = silent(policy());
    reporter.ready();
    drop(reporter);
    pass(TTL * 4).await;
    let hint = "reporter dropped; was ready; keep the reporter, or call leave_ready()";
    let dropped = (State::Failing, hint.to_owned());
    assert_eq!(state(&readiness), dropped);
    let again = readiness.reporter("policy").unwrap();
    pass(TTL * 4).await;
    assert_eq!(state(&readiness), dropped, "it has not reported yet");
    again.ready();
    pass(TTL * 2).await;
    assert_eq!(published(&readiness), State::Stale);
    again.retire();
    pass(TTL * 2).await;
    assert!(readiness.snapshot().subsystem("policy").is_none());
}

#[tokio::test(start_paused = true)]
async fn silence_does_not_count_while_the_process_drains() {
    let (readiness, policy) = silent(policy().vital());
    policy.ready();
    readiness.drain();
    pass(TTL * 4).await;
    assert_eq!(published(&readiness), State::Ready);
    assert!(readiness.verdict().is_live());
    policy.dead("this was said");
    assert!(!readiness.verdict().is_live());
}

/// Only the real clock shows that a process was stopped (see `stopped.rs`).
#[tokio::test(start_paused = true)]
async fn a_paused_clock_that_is_moved_past_the_ttl_makes_it_stale() {
    let (readiness, policy) = silent(policy());
    policy.ready();
    advance(TTL * 100).await;
    settle().await;
    assert_eq!(published(&readiness), State::Stale);
    policy.ready();
    pass(TTL / 2).await;
    policy.heartbeat();
    pass(TTL).await;
    assert_eq!(published(&readiness), State::Ready, "it beat in time");
}

#[test]
fn a_reader_publishes_an_overdue_change_without_a_timer() {
    // Without a runtime there is no timer task.
    let ttl = Duration::from_millis(5);
    let (readiness, policy) = silent(Subsystem::new("policy").ttl(ttl));
    policy.ready();
    let noticed = (0..10_000).find(|_| {
        thread::sleep(Duration::from_millis(1));
        readiness.snapshot();
        published(&readiness) == State::Stale
    });
    assert!(noticed.is_some());
    policy.heartbeat();
    let noticed = (0..10_000).find(|_| {
        thread::sleep(Duration::from_millis(1));
        readiness.verdict().is_ready()
    });
    assert!(noticed.is_some());
}

#[test]
fn waiting_for_ready_notices_it_too() {
    let ttl = Duration::from_millis(5);
    let (readiness, policy) = silent(Subsystem::new("policy").ttl(ttl));
    policy.ready();
    assert_eq!(readiness.wait_ready().now_or_never(), Some(Ok(())));
    let noticed = (0..10_000).find(|_| {
        thread::sleep(Duration::from_millis(1));
        readiness.wait_ready().now_or_never().is_none()
    });
    assert!(noticed.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_probe_is_never_green_beyond_the_ttl_even_if_the_timer_sleeps() {
    let (readiness, policy) = silent(policy());
    policy.ready();
    // The timer task was not polled since.
    advance(TTL / 4).await;
    let probes = Probes::builder(&readiness)
        .detail(Detail::Full)
        .build()
        .unwrap();
    for _ in 0..4 {
        // Without a yield, so that no other task runs.
        let request = Request::get("/readyz").body(String::new()).unwrap();
        probes
            .clone()
            .oneshot(request)
            .now_or_never()
            .unwrap()
            .unwrap();
        let _ = Box::pin(advance(TTL / 4)).as_mut().now_or_never();
    }
    let request = Request::get("/readyz").body(String::new()).unwrap();
    let response = probes.oneshot(request).now_or_never().unwrap().unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(published(&readiness), State::Stale);
}

/// A subsystem and a scope whose TTL is over, which no timer has noticed.
fn unnoticed() -> (Readiness, Reporter) {
    let builder = Readiness::builder().subsystem(policy());
    let readiness = builder.scope("sync", ["policy"]).build().unwrap();
    let policy = readiness.reporter("policy").unwrap();
    policy.ready();
    // Without a yield, so that the timer task does not run.
    let _ = Box::pin(advance(TTL)).as_mut().now_or_never();
    assert_eq!(published(&readiness), State::Ready);
    (readiness, policy)
}

#[tokio::test(start_paused = true)]
async fn the_verdict_of_a_scope_is_never_green_beyond_the_ttl() {
    let (readiness, _policy) = unnoticed();
    assert!(!readiness.scope("sync").unwrap().verdict().is_ready());
}

#[tokio::test(start_paused = true)]
async fn a_gate_that_reads_the_state_admits_nothing_beyond_the_ttl() {
    let (readiness, _policy) = unnoticed();
    // While any reason holds, each request reads the state.
    let _pause = readiness.pause("standby");
    let service = service_fn(async |_| Ok::<_, Infallible>(Response::new(String::new())));
    let service = ReadinessLayer::new(&readiness).layer(service);
    let request = Request::get("/").body(String::new()).unwrap();
    let response = service.oneshot(request).now_or_never().unwrap().unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[test]
fn a_timer_whose_runtime_ended_starts_on_the_next() {
    let (readiness, policy) = silent(policy());
    policy.ready();
    for _ in 0..3 {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            // The layer starts the timer on this runtime.
            let _layer = ReadinessLayer::new(&readiness);
            policy.ready();
            tokio::task::yield_now().await;
            pass(TTL * 2).await;
            assert_eq!(published(&readiness), State::Stale);
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_ttl_added_outside_of_a_runtime_is_timed_on_the_known_runtime() {
    let readiness = Readiness::builder().allow_empty().build().unwrap();
    let layer = ReadinessLayer::new(&readiness);
    let added = thread::spawn(move || {
        let policy = readiness.add(policy()).unwrap();
        policy.ready();
        (readiness, policy)
    });
    let (_readiness, _policy) = added.join().unwrap();
    let service = layer.layer(service_fn(|_: Request<String>| async {
        Ok::<_, Infallible>(Response::new(()))
    }));
    let ask = || service.clone().oneshot(Request::new(String::new()));
    assert_eq!(ask().await.unwrap().status(), StatusCode::OK);
    pass(TTL * 2).await;
    // Only the gate has read the snapshot, and the gate does not check the time.
    let answer = ask().await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[test]
fn the_timer_moves_on_after_its_runtime_ended() {
    let readiness = Readiness::builder().allow_empty().build().unwrap();
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_time().start_paused(true).build().unwrap()
    };
    runtime().block_on(async { drop(ReadinessLayer::new(&readiness)) });
    let policy = readiness.add(policy()).unwrap();
    policy.ready();
    runtime().block_on(async {
        policy.degraded("met again");
        pass(TTL * 2).await;
        assert_eq!(published(&readiness), State::Stale);
    });
}

#[tokio::test(start_paused = true)]
async fn the_timer_does_not_keep_the_registry_alive() {
    let (readiness, policy) = silent(policy());
    let mut subscription = readiness.subscribe();
    policy.ready();
    pass(TTL / 2).await;
    drop((readiness, policy));
    let ended = async { while subscription.changed().await.is_ok() {} };
    support::soon(ended).await;
    let metrics = tokio::runtime::Handle::current().metrics();
    support::until(|| metrics.num_alive_tasks() == 0).await;
}

// === damping ===

fn link() -> Subsystem {
    Subsystem::new("policy").hold_down(Duration::from_secs(3))
}

#[tokio::test(start_paused = true)]
async fn a_flap_is_shown_but_counts_only_when_it_lasts() {
    let (readiness, policy) = silent(link());
    policy.ready();
    policy.failing("link down");
    assert!(readiness.verdict().is_ready());
    pass(Duration::from_secs(1)).await;
    let text = verbose(&readiness).await;
    assert_eq!(
        text,
        "[+]policy ready (required), failing in 2s (link down) for 1s\nready\n"
    );
    policy.ready();
    pass(Duration::from_secs(10)).await;
    assert!(readiness.verdict().is_ready());

    policy.failing("link down");
    pass(Duration::from_millis(2_900)).await;
    assert_eq!(published(&readiness), State::Ready);
    pass(Duration::from_millis(200)).await;
    assert_eq!(published(&readiness), State::Failing);
    policy.ready();
    assert!(readiness.verdict().is_ready(), "green is not held up");
}

#[tokio::test(start_paused = true)]
async fn a_flap_is_in_the_json_too() {
    let (readiness, policy) = silent(link());
    policy.ready();
    policy.failing("link down");
    pass(Duration::from_secs(1)).await;
    let json = json(&readiness).await;
    let subsystem = &json["subsystems"][0];
    assert_eq!(subsystem["state"], "ready");
    let damped = serde_json::json!({
        "state": "failing", "reason": "link down", "counts_in_ms": 2_000
    });
    assert_eq!(subsystem["damped"], damped);
}

#[tokio::test(start_paused = true)]
async fn damping_counts_for_the_start_as_well() {
    let readiness = Readiness::builder()
        .subsystem(link())
        .subsystem(Subsystem::new("storage"))
        .build()
        .unwrap();
    let policy = readiness.reporter("policy").unwrap();
    policy.ready();
    policy.failing("link down");
    let storage = readiness.reporter("storage").unwrap();
    storage.ready();
    assert_eq!(readiness.verdict().phase(), Phase::Started);
    assert!(readiness.verdict().is_ready());
}

#[tokio::test(start_paused = true)]
async fn draining_and_dropping_are_never_damped() {
    let (readiness, policy) = silent(link());
    policy.ready();
    drop(policy);
    assert_eq!(published(&readiness), State::Failing);
    let (readiness, policy) = silent(link());
    policy.ready();
    readiness.drain();
    assert!(!readiness.verdict().is_ready());
    policy.dead("out of memory");
    assert_eq!(published(&readiness), State::Dead);
}

// === pending ===

#[tokio::test(start_paused = true)]
async fn a_subsystem_that_does_not_come_up_in_time_counts_like_the_rest() {
    let (readiness, policy) = silent(link());
    policy.ready();
    let late = Subsystem::new("late").ready_within(Duration::from_secs(5));
    let late = readiness.add(late).unwrap();
    late.failing("no route");
    pass(Duration::from_millis(4_900)).await;
    assert_eq!(readiness.verdict().condition(), Condition::Degraded);
    pass(Duration::from_millis(200)).await;
    assert_eq!(readiness.verdict().condition(), Condition::Failing);
    late.ready();
    assert_eq!(readiness.verdict().condition(), Condition::Ready);
}

/// The task that would bring it up may have ended.
#[tokio::test(start_paused = true)]
async fn a_subsystem_that_is_pending_closes_no_gate_while_the_process_drains() {
    let (readiness, policy) = silent(link());
    policy.ready();
    let late = Subsystem::new("late").ready_within(TTL).vital();
    let late = readiness.add(late).unwrap();
    late.starting("loading");
    readiness.drain();
    drop(late);
    pass(TTL * 2).await;
    assert_eq!(readiness.verdict().condition(), Condition::Degraded);
    assert!(readiness.verdict().is_live());
    policy.failing("disk full");
    pass(TTL).await;
    assert_eq!(
        readiness.verdict().condition(),
        Condition::Failing,
        "a report"
    );
}

// === bad input, and much of it ===

#[test]
fn absurd_durations_are_refused_where_the_registry_is_built() {
    let day = Duration::from_secs(24 * 60 * 60);
    type Tell = fn(Subsystem, Duration) -> Subsystem;
    let tell: [(&str, Tell); 3] = [
        ("ttl", Subsystem::ttl),
        ("hold-down", Subsystem::hold_down),
        ("time to become ready", Subsystem::ready_within),
    ];
    for (what, tell) in tell {
        for given in [
            Duration::ZERO,
            Duration::from_micros(999),
            day + Duration::from_nanos(1),
            Duration::MAX,
        ] {
            let subsystem = || tell(Subsystem::new("policy"), given);
            let source = SettingError::OutOfBounds {
                what,
                given,
                least: Duration::from_millis(1),
                most: day,
            };
            let name = "policy".to_owned();
            assert_eq!(
                Readiness::builder()
                    .subsystem(subsystem())
                    .build()
                    .unwrap_err(),
                BuildError::Declaration(DeclareError::Setting {
                    name: name.clone(),
                    source: source.clone(),
                })
            );
            let (readiness, _storage) = support::ready();
            assert_eq!(
                readiness.add(subsystem()).unwrap_err(),
                DeclareError::Setting { name, source }
            );
            assert_eq!(readiness.snapshot().subsystems().count(), 1);
        }
        for given in [Duration::from_millis(1), day] {
            let _ = silent(tell(Subsystem::new("policy"), given));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_fall_silent_together_and_each_is_published() {
    let readiness = Readiness::builder().allow_empty().build().unwrap();
    let reporters: Vec<_> = (0..1_000)
        .map(|index| {
            let name = format!("tenant-{index}");
            let tenant = readiness.add(Subsystem::new(name).ttl(TTL)).unwrap();
            tenant.ready();
            tenant
        })
        .collect();
    let even = |index: usize| index % 2 == 0;
    for _ in 0..8 {
        for (_, tenant) in reporters.iter().enumerate().filter(|(i, _)| even(*i)) {
            tenant.heartbeat();
        }
        pass(TTL / 4).await;
    }
    let snapshot = readiness.snapshot();
    let stale = snapshot
        .subsystems()
        .filter(|view| view.state() == State::Stale);
    assert_eq!(stale.count(), 500);
}

#[test]
fn reporters_beat_from_many_threads() {
    let (readiness, policy) = silent(policy());
    policy.ready();
    let policy = Arc::new(policy);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..10_000).for_each(|_| policy.heartbeat()));
        }
    });
    assert!(readiness.verdict().is_ready());
}

async fn answer(readiness: &Readiness, path: &str, accept: &str) -> String {
    let request = Request::get(path)
        .header("accept", accept)
        .body(String::new())
        .unwrap();
    let probes = Probes::builder(readiness)
        .detail(Detail::Full)
        .build()
        .unwrap();
    let response = probes.oneshot(request).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.into()).unwrap()
}

async fn verbose(readiness: &Readiness) -> String {
    answer(readiness, "/readyz?verbose", "text/plain").await
}

async fn json(readiness: &Readiness) -> serde_json::Value {
    let json = answer(readiness, "/readyz", "application/json").await;
    serde_json::from_str(&json).unwrap()
}
