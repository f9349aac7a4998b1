//! The subsystems that the crate itself reports: runtime and traffic.

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response};
use http_body_util::Empty;
use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};
use tokio::runtime::{Builder, Runtime};
use tower::{Layer, ServiceExt, service_fn};
use tower_readiness::{
    Condition, DeclareError, NameError, Phase, Readiness, ReadinessLayer, SettingError, State,
    Subsystem,
    watch::{RuntimeWatch, TrafficWatch, WatchError},
};

fn one_worker() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

fn ready() -> Readiness {
    let (readiness, storage) = crate::support::ready();
    storage.leave_ready();
    readiness
}

/// Returns the published state, without publishing overdue changes first.
fn runtime(readiness: &Readiness) -> State {
    let mut subscription = readiness.subscribe();
    let snapshot = subscription.changed().now_or_never().unwrap().unwrap();
    snapshot.subsystem("runtime").unwrap().state()
}

/// Polls the condition from a thread outside of the runtime until it holds.
#[track_caller]
fn becomes(mut condition: impl FnMut() -> bool) {
    let found = (0..30_000).any(|_| {
        thread::sleep(Duration::from_millis(1));
        condition()
    });
    assert!(found, "nothing happened");
}

/// Blocks the only worker until the sender is dropped.
fn block(runtime: &Runtime) -> mpsc::Sender<()> {
    let (go_on, blocked) = mpsc::channel();
    let (begun, has_begun) = mpsc::channel();
    runtime.spawn(async move {
        begun.send(()).unwrap();
        // A blocking call in a task.
        let _ = blocked.recv();
    });
    has_begun.recv().unwrap();
    go_on
}

#[test]
fn a_runtime_that_is_blocked_turns_liveness_red_and_green_again() {
    let runtime_ = one_worker();
    let readiness = ready();
    let watch = RuntimeWatch::default().stalled_after(Duration::from_millis(100));
    runtime_
        .block_on(async { readiness.watch_runtime(watch) })
        .unwrap();
    assert_eq!(runtime(&readiness), State::Ready);
    assert!(readiness.verdict().is_ready());

    let go_on = block(&runtime_);
    becomes(|| runtime(&readiness) == State::Stale);
    assert!(!readiness.verdict().is_live());
    drop(go_on);
    becomes(|| runtime(&readiness) == State::Ready);
    assert!(readiness.verdict().is_live());
}

/// A restart would not help, and would leave the load to the other replicas.
#[test]
fn a_runtime_that_is_only_overloaded_is_degraded_and_stays_live() {
    const TASKS: usize = 5_000;
    let readiness = ready();
    let (overloaded, done) = (readiness.clone(), Arc::new(AtomicBool::new(false)));
    let stop = Arc::clone(&done);
    let busy = thread::spawn(move || {
        // The runtime updates its counters after each task.
        let mut builder = Builder::new_current_thread();
        let runtime = builder.enable_all().event_interval(1).build().unwrap();
        runtime.block_on(async move {
            // Far longer than a busy machine keeps the thread from running.
            let watch = RuntimeWatch::default().stalled_after(Duration::from_secs(3));
            overloaded.watch_runtime(watch).unwrap();
            let tasks: Vec<_> = (0..TASKS)
                .map(|_| {
                    let stop = Arc::clone(&stop);
                    tokio::spawn(async move {
                        while !stop.load(Ordering::Relaxed) {
                            thread::sleep(Duration::from_millis(1));
                            tokio::task::yield_now().await;
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
    });
    becomes(|| readiness.snapshot().subsystem("runtime").is_some());
    let mut was_live = true;
    becomes(|| {
        was_live &= readiness.verdict().is_live();
        runtime(&readiness) == State::Degraded || !was_live
    });
    let snapshot = readiness.snapshot();
    let reason = snapshot.subsystem("runtime").unwrap().reason();
    let reason = reason.unwrap_or_default().to_owned();
    done.store(true, Ordering::Relaxed);
    busy.join().unwrap();
    assert!(was_live);
    assert!(reason.starts_with("not polled for "), "{reason}");
}

#[test]
fn a_subsystem_with_heartbeats_from_a_blocked_runtime_is_stale_too() {
    let runtime_ = one_worker();
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("policy").ttl(Duration::from_millis(50)))
        .build()
        .unwrap();
    let policy = readiness.reporter("policy").unwrap();
    policy.ready();
    runtime_.block_on(async {
        let watch = RuntimeWatch::default().stalled_after(Duration::from_millis(100));
        readiness.watch_runtime(watch).unwrap();
    });
    runtime_.spawn(async move {
        loop {
            policy.heartbeat();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let policy = || {
        let snapshot = readiness.snapshot();
        snapshot.subsystem("policy").unwrap().state()
    };
    let go_on = block(&runtime_);
    becomes(|| runtime(&readiness) == State::Stale && policy() == State::Stale);
    drop(go_on);
    becomes(|| runtime(&readiness) == State::Ready && policy() == State::Ready);
}

/// Lets the runtime poll no task for this long, and then all tasks.
async fn blocked(millis: u64) {
    tokio::time::advance(Duration::from_millis(millis)).await;
    for _ in 0..4 {
        tokio::task::yield_now().await;
    }
}

/// Lets this many tenths of a second pass in which all tasks are polled in time.
async fn idle(tenths: u32) {
    for _ in 0..tenths {
        blocked(100).await;
    }
}

async fn watched() -> Readiness {
    let readiness = ready();
    let watch = RuntimeWatch::default().stalled_after(Duration::from_secs(3_600));
    readiness.watch_runtime(watch).unwrap();
    // The task of the watch begins.
    tokio::task::yield_now().await;
    readiness
}

/// Returns the published median and 99th percentile of the delay of tasks.
fn delays(readiness: &Readiness) -> [String; 2] {
    let snapshot = readiness.snapshot();
    let view = snapshot.subsystem("runtime").unwrap();
    ["delay_p50", "delay_p99"].map(|key| view.attribute(key).unwrap().to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_runtime_is_degraded_while_tasks_wait_for_their_turn() {
    let readiness = watched().await;
    for _ in 0..16 {
        blocked(600).await;
        assert_eq!(runtime(&readiness), State::Ready, "it has just begun");
    }
    blocked(600).await;
    blocked(600).await;
    assert_eq!(runtime(&readiness), State::Degraded, "after 10 seconds");
    assert!(readiness.verdict().is_ready());
    idle(120).await;
    assert_eq!(runtime(&readiness), State::Ready);

    // One long delay in a hundred does not count, nor do short delays.
    blocked(290).await;
    blocked(10).await;
    for _ in 0..50 {
        blocked(190).await;
        blocked(10).await;
        assert_eq!(runtime(&readiness), State::Ready);
    }
    for _ in 0..5 {
        blocked(300).await;
    }
    assert_eq!(runtime(&readiness), State::Degraded);
    for _ in 0..70 {
        blocked(180).await;
        blocked(20).await;
    }
    assert_eq!(runtime(&readiness), State::Degraded, "not much better");
    idle(120).await;
    assert_eq!(runtime(&readiness), State::Ready);
    assert_eq!(delays(&readiness), ["0ms", "0ms"]);
}

/// The measurements that a pause skipped count like the others.
#[tokio::test(start_paused = true)]
async fn a_long_pause_counts_for_its_whole_length() {
    let readiness = watched().await;
    for _ in 0..4 {
        idle(95).await;
        blocked(9_500).await;
        assert_eq!(runtime(&readiness), State::Degraded);
        assert_eq!(delays(&readiness), ["4400ms", "9300ms"]);
    }
    idle(120).await;
    for _ in 0..6 {
        blocked(2_100).await;
    }
    assert_eq!(runtime(&readiness), State::Degraded);
    assert_eq!(delays(&readiness), ["900ms", "2000ms"]);
}

#[tokio::test(start_paused = true)]
async fn delays_are_published_together() {
    let readiness = watched().await;
    let version = || readiness.snapshot().version();
    let begun = version();
    idle(10).await;
    assert_eq!(delays(&readiness), ["0ms", "0ms"]);
    assert_eq!(version(), begun + 1);
    idle(200).await;
    assert_eq!(version(), begun + 1, "nothing has changed");
    blocked(10_100).await;
    assert_eq!(delays(&readiness), ["5000ms", "9900ms"]);
    assert_eq!(runtime(&readiness), State::Degraded);
    assert_eq!(
        version(),
        begun + 3,
        "the delays, and that they are too long"
    );
}

#[tokio::test]
async fn the_names_of_the_crates_own_subsystems_are_reserved() {
    let readiness = ready();
    assert!(readiness.add(Subsystem::new("runtime")).is_err());
    let declared = Readiness::builder()
        .subsystem(Subsystem::new("runtime"))
        .build();
    assert!(
        matches!(declared, Err(tower_readiness::BuildError::Declaration(tower_readiness::DeclareError::Name { source, .. })) if source == NameError::Reserved)
    );
    readiness.watch_runtime(RuntimeWatch::default()).unwrap();
    let snapshot = readiness.snapshot();
    assert!(snapshot.subsystem("runtime").unwrap().is_vital());
}

#[tokio::test]
async fn a_runtime_is_watched_once() {
    let readiness = ready();
    readiness.watch_runtime(RuntimeWatch::default()).unwrap();
    let again = readiness.watch_runtime(RuntimeWatch::default());
    assert!(matches!(
        again,
        Err(WatchError::AlreadyRunning {
            what: "runtime",
            source: DeclareError::Duplicate { .. }
        })
    ));
}

#[test]
fn watching_needs_a_runtime() {
    let watched = ready().watch_runtime(RuntimeWatch::default());
    assert!(matches!(watched, Err(WatchError::NoRuntime)));
}

#[tokio::test]
async fn settings_out_of_bounds_are_errors_that_add_no_subsystem() {
    let readiness = ready();
    let refused = |watch| match readiness.watch_runtime(watch).unwrap_err() {
        WatchError::Setting(SettingError::OutOfBounds { least, .. }) => least,
        error => panic!("{error}"),
    };
    let millis = Duration::from_millis;
    for absurd in [Duration::ZERO, Duration::MAX] {
        let watch = RuntimeWatch::default().degraded_above(absurd);
        assert_eq!(refused(watch), millis(1));
    }
    // Within a few milliseconds a task of an idle runtime may well get no turn.
    for absurd in [Duration::ZERO, millis(1), millis(99), Duration::MAX] {
        let watch = RuntimeWatch::default().stalled_after(absurd);
        assert_eq!(refused(watch), millis(100));
    }
    let error = readiness.watch_runtime(RuntimeWatch::default().stalled_after(millis(2)));
    assert_eq!(
        error.unwrap_err().to_string(),
        "the stall of a runtime is 2ms; give it 100ms to 86400s"
    );
    assert!(readiness.snapshot().subsystem("runtime").is_none());
    let shortest = RuntimeWatch::default().stalled_after(millis(100));
    assert!(readiness.watch_runtime(shortest).is_ok());
}

#[tokio::test]
async fn the_watch_ends_with_the_registry() {
    let readiness = ready();
    readiness.watch_runtime(RuntimeWatch::default()).unwrap();
    let mut subscription = readiness.subscribe();
    drop(readiness);
    crate::support::soon(async { while subscription.changed().await.is_ok() {} }).await;
    let metrics = tokio::runtime::Handle::current().metrics();
    crate::support::until(|| metrics.num_alive_tasks() == 0).await;
}

// === traffic ===

/// Serves one request, which is answered with this status.
async fn serve(layer: &ReadinessLayer, status: u16) -> u16 {
    let service = service_fn(move |_: Request<String>| async move {
        let response = Response::builder().status(status);
        Ok::<_, Infallible>(response.body(Empty::<Bytes>::new()).unwrap())
    });
    let response = layer
        .layer(service)
        .oneshot(Request::new(String::new()))
        .await;
    response.unwrap().status().as_u16()
}

fn traffic(readiness: &Readiness) -> (State, String) {
    let snapshot = readiness.snapshot();
    let view = snapshot.subsystem("traffic").unwrap();
    (view.state(), view.reason().unwrap_or_default().to_owned())
}

#[tokio::test(start_paused = true)]
async fn traffic_is_degraded_while_too_many_requests_fail_and_never_more() {
    let readiness = ready();
    let layer = ReadinessLayer::new(&readiness).observe_outcomes();
    readiness.watch_traffic(TrafficWatch::default()).unwrap();
    assert_eq!(traffic(&readiness).0, State::Ready);
    for status in [200, 500].into_iter().cycle().take(30) {
        assert_eq!(serve(&layer, status).await, status);
    }
    tokio::time::sleep(Duration::from_secs(6)).await;
    let (state, reason) = traffic(&readiness);
    assert_eq!(state, State::Degraded);
    assert_eq!(reason, "15 of 30 requests failed in 5s");
    assert_eq!(readiness.verdict().condition(), Condition::Degraded);
    assert!(readiness.verdict().is_ready());
    for _ in 0..1_000 {
        serve(&layer, 500).await;
    }
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(readiness.verdict().is_ready(), "whatever happens");

    tokio::time::sleep(Duration::from_secs(70)).await;
    assert_eq!(traffic(&readiness).0, State::Ready, "nothing failed lately");
    let again = readiness.watch_traffic(TrafficWatch::default());
    assert!(matches!(
        again,
        Err(WatchError::AlreadyRunning {
            what: "traffic",
            source: DeclareError::Duplicate { .. }
        })
    ));
}

#[cfg(feature = "check")]
#[tokio::test(start_paused = true)]
async fn time_spent_refusing_while_all_checks_pass_is_drift() {
    use std::sync::atomic::{AtomicBool, Ordering};
    use tower_readiness::check::{Check, Outcome};

    let second = Duration::from_secs(1);
    let up = std::sync::Arc::new(AtomicBool::new(true));
    let database = {
        let up = up.clone();
        let check = Check::every(second).jitter(0.0).failures(1);
        Subsystem::new("database").check(check, move || {
            std::future::ready(if up.load(Ordering::Relaxed) {
                Outcome::ready()
            } else {
                Outcome::failing("gone")
            })
        })
    };
    let cache = Check::every(second);
    let cache = Subsystem::new("cache").check(cache, || std::future::ready(Outcome::ready()));
    let readiness = Readiness::builder()
        .subsystem(database)
        .subsystem(cache)
        .subsystem(Subsystem::new("storage"))
        .scope("storage-only", ["storage", "cache"])
        .build()
        .unwrap();
    let _layer = ReadinessLayer::new(&readiness).observe_outcomes();
    let storage = readiness.reporter("storage").unwrap();
    assert!(readiness.drift().is_some());
    let refusing = || readiness.drift().unwrap().refusing();
    tokio::time::sleep(second * 10).await;
    assert_eq!(refusing(), Duration::ZERO, "it has yet to start");
    storage.ready();
    tokio::time::sleep(second * 10).await;
    assert_eq!(refusing(), Duration::ZERO);
    storage.failing("says its reporter");
    tokio::time::sleep(second * 10).await;
    assert_eq!(refusing(), second * 10);
    up.store(false, Ordering::Relaxed);
    tokio::time::sleep(second * 10).await;
    let agreed = refusing();
    assert!(agreed <= second * 11, "the check agrees: {agreed:?}");
    up.store(true, Ordering::Relaxed);
    tokio::time::sleep(second * 5).await;
    assert!(refusing() > agreed);
    // A layer that is made later measures from its beginning.
    let scope = readiness.scope("storage-only").unwrap();
    let _layer = ReadinessLayer::gate(&scope).observe_outcomes();
    tokio::time::sleep(second * 5).await;
    assert_eq!(scope.drift().unwrap().refusing(), second * 5);
    storage.ready();
    let all = refusing();
    tokio::time::sleep(second * 5).await;
    assert_eq!(refusing(), all);
    tokio::time::sleep(second * 400).await;
    assert_eq!(refusing(), Duration::ZERO, "long ago");
}

#[tokio::test(start_paused = true)]
async fn time_spent_refusing_without_a_check_is_no_drift() {
    let builder = Readiness::builder().subsystem(Subsystem::new("storage"));
    let readiness = builder.build().unwrap();
    let _layer = ReadinessLayer::new(&readiness).observe_outcomes();
    let storage = readiness.reporter("storage").unwrap();
    storage.ready();
    storage.failing("says its reporter");
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(readiness.drift().unwrap().refusing(), Duration::ZERO);
}

// === while it drains ===

#[test]
fn a_stall_changes_nothing_while_the_process_drains() {
    let runtime_ = one_worker();
    let readiness = ready();
    let watch = RuntimeWatch::default().stalled_after(Duration::from_millis(100));
    runtime_
        .block_on(async { readiness.watch_runtime(watch) })
        .unwrap();
    readiness.advance(Phase::Draining);
    let go_on = block(&runtime_);
    // The task of the watch publishes its measurements until then.
    let version = readiness.snapshot().version();
    // Longer than `stalled_after`.
    thread::sleep(Duration::from_millis(400));
    assert_eq!(readiness.snapshot().version(), version);
    assert!(readiness.verdict().is_live());
    drop(go_on);
}
