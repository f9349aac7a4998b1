//! Active checks: run off the request path, on tokio's paused clock.

mod support;

use futures_util::FutureExt;
use std::{
    future::{pending, ready},
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Wake, Waker},
};
use tokio::{
    sync::Notify,
    time::{Duration, Instant, advance, sleep},
};
use tower_readiness::{
    BuildError, Claim, DampingProgress, DeclareError, Group, MemberReporter, Readiness,
    ReadinessLayer, SettingError, State, Subsystem,
    check::{Check, CheckHandle, CheckHandleError, Outcome},
};

const SECOND: Duration = Duration::from_secs(1);

/// A check every ten seconds, of which each result counts at once.
fn every_ten() -> Check {
    Check::every(SECOND * 10).jitter(0.0).failures(1)
}

/// A dependency whose answers are set by hand.
#[derive(Clone, Default)]
struct Dependency(Arc<Inner>);

#[derive(Default)]
struct Inner {
    down: AtomicBool,
    asked: AtomicUsize,
}

impl Dependency {
    fn set(&self, up: bool) {
        self.0.down.store(!up, Ordering::Relaxed);
    }

    fn asked(&self) -> usize {
        self.0.asked.load(Ordering::Relaxed)
    }

    fn subsystem(&self, check: Check) -> Subsystem {
        let this = self.clone();
        Subsystem::new("database").check(check, move || {
            this.0.asked.fetch_add(1, Ordering::Relaxed);
            let down = this.0.down.load(Ordering::Relaxed);
            ready(if down {
                Err(io::Error::other("connection refused"))
            } else {
                Ok(())
            })
        })
    }
}

fn build(subsystem: Subsystem) -> Readiness {
    Readiness::builder().subsystem(subsystem).build().unwrap()
}

/// Lets time pass, and all due tasks run.
async fn pass(time: Duration) {
    let step = Duration::from_millis(250);
    let mut left = time;
    settle().await;
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

/// The published state, its reason, and the damped state.
fn shown(readiness: &Readiness) -> (State, String, Option<(State, DampingProgress)>) {
    let mut subscription = readiness.subscribe();
    let snapshot = subscription.changed().now_or_never().unwrap().unwrap();
    let view = snapshot.subsystem("database").unwrap();
    let damped = view.damped().map(|it| (it.state(), it.progress()));
    let reason = view.reason().unwrap_or_default().to_owned();
    (view.state(), reason, damped)
}

fn state(readiness: &Readiness) -> State {
    shown(readiness).0
}

// === when it runs ===

#[tokio::test(start_paused = true)]
async fn a_check_is_asked_at_once_and_then_at_every_interval() {
    let database = Dependency::default();
    let readiness = build(database.subsystem(every_ten()));
    settle().await;
    assert_eq!((database.asked(), state(&readiness)), (1, State::Ready));
    pass(SECOND * 9).await;
    assert_eq!(database.asked(), 1);
    pass(SECOND * 2).await;
    assert_eq!(database.asked(), 2);
    pass(SECOND * 100).await;
    assert_eq!(database.asked(), 12);
}

#[tokio::test(start_paused = true)]
async fn until_it_has_been_up_a_subsystem_is_asked_more_often_than_at_the_interval() {
    let begun = Instant::now();
    let starts = Arc::new(Mutex::new(Vec::new()));
    let is_up = Arc::new(AtomicBool::new(false));
    let subsystem = {
        let (starts, is_up) = (Arc::clone(&starts), Arc::clone(&is_up));
        Subsystem::new("database").check(every_ten(), move || {
            starts.lock().unwrap().push(begun.elapsed());
            ready(is_up.load(Ordering::Relaxed).then_some(()).ok_or("down"))
        })
    };
    let readiness = build(subsystem);
    pass(SECOND * 30).await;
    assert_eq!(state(&readiness), State::Failing);
    is_up.store(true, Ordering::Relaxed);
    pass(SECOND * 30).await;
    assert_eq!(state(&readiness), State::Ready);
    let starts = starts.lock().unwrap();
    let starts: Vec<_> = starts.iter().map(Duration::as_millis).collect();
    let doubling = [
        0, 250, 750, 1_750, 3_750, 7_750, 15_750, 25_750, 35_750, 45_750, 55_750,
    ];
    assert_eq!(starts, doubling);
}

#[tokio::test(start_paused = true)]
async fn many_replicas_that_wait_for_one_dependency_do_not_ask_in_step() {
    let begun = Instant::now();
    let starts = Arc::new(Mutex::new(Vec::new()));
    let replicas: Vec<_> = (0..200)
        .map(|_| {
            let starts = Arc::clone(&starts);
            let check = Check::every(SECOND * 10);
            build(Subsystem::new("database").check(check, move || {
                starts.lock().unwrap().push(begun.elapsed());
                ready(Err::<(), _>("down"))
            }))
        })
        .collect();
    settle().await;
    let asked = || starts.lock().unwrap().len();
    assert_eq!(asked(), 200, "the first time at once");
    let mut most = 0;
    for _ in 0..100 {
        let before = asked();
        advance(Duration::from_millis(10)).await;
        settle().await;
        most = most.max(asked() - before);
    }
    // In one second each is asked some three times; 200 of them would be all at once.
    assert!((300..1_000).contains(&asked()), "{}", asked());
    assert!(most < 40, "{most} in 10 ms");
    drop(replicas);
}

#[tokio::test(start_paused = true)]
async fn an_event_asks_for_a_run_before_it_is_due() {
    let database = Dependency::default();
    let readiness = build(database.subsystem(every_ten()));
    let handle = readiness.check_handle("database").unwrap();
    settle().await;
    pass(SECOND).await;
    assert_eq!(database.asked(), 1);
    database.set(false);
    for _ in 0..100 {
        handle.ask_now();
    }
    settle().await;
    assert_eq!((database.asked(), state(&readiness)), (2, State::Failing));
    handle.ask_now();
    settle().await;
    assert_eq!(database.asked(), 2, "at most one in 100 ms");
    advance(Duration::from_millis(101)).await;
    settle().await;
    assert_eq!(database.asked(), 3);
    pass(SECOND * 9).await;
    assert_eq!(database.asked(), 3, "the interval begins anew");
    pass(SECOND * 2).await;
    assert_eq!(database.asked(), 4);
}

#[tokio::test(start_paused = true)]
async fn outcomes_of_the_application_count_as_results_and_spare_a_busy_dependency() {
    let database = Dependency::default();
    let readiness = build(database.subsystem(every_ten().failures(3)));
    let handle = readiness.check_handle("database").unwrap();
    settle().await;
    assert_eq!(database.asked(), 1);
    for _ in 0..60 {
        handle.report_outcome(Ok::<(), io::Error>(()));
        pass(SECOND).await;
    }
    assert_eq!((database.asked(), state(&readiness)), (1, State::Ready));
    pass(SECOND * 15).await;
    assert_eq!(database.asked(), 2, "it is asked once it is idle");

    for failed in 1..3 {
        handle.report_outcome(Err::<(), _>("refused"));
        let (found, _, damped) = shown(&readiness);
        let progress = DampingProgress::Count {
            count: failed,
            needed: 3,
        };
        assert_eq!(
            (found, damped),
            (State::Ready, Some((State::Failing, progress)))
        );
    }
    handle.report_outcome(Err::<(), _>("refused"));
    assert_eq!(state(&readiness), State::Failing);
    let asked = database.asked();
    pass(SECOND * 11).await;
    assert_eq!(database.asked(), asked + 1, "a failure postpones no run");
    assert_eq!(state(&readiness), State::Ready);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_an_outcome_spares_makes_no_subsystem_stale() {
    let database = Dependency::default();
    let check = every_ten().timeout(SECOND);
    let readiness = build(database.subsystem(check).ttl(SECOND * 12));
    pass(SECOND * 11).await;
    assert_eq!(database.asked(), 2);
    let handle = readiness.check_handle("database").unwrap();
    handle.report_outcome(Ok::<(), io::Error>(()));
    for _ in 0..19 {
        pass(SECOND).await;
        assert_eq!(state(&readiness), State::Ready);
    }
    assert_eq!(database.asked(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_is_older_than_a_failure_spares_no_run() {
    for (failures, expected) in [(1, State::Failing), (2, State::Ready)] {
        let asked = Arc::new(AtomicUsize::new(0));
        let check = every_ten().timeout(SECOND * 5).failures(failures);
        let readiness = build(Subsystem::new("database").check(check, {
            let asked = Arc::clone(&asked);
            move || {
                let is_first = asked.fetch_add(1, Ordering::Relaxed) == 0;
                async move {
                    if !is_first {
                        pending::<()>().await;
                    }
                    Ok::<(), io::Error>(())
                }
            }
        }));
        let handle = readiness.check_handle("database").unwrap();
        // The run of the tenth second goes on, and times out.
        pass(SECOND * 11).await;
        handle.report_outcome(Ok::<(), io::Error>(()));
        pass(SECOND * 5).await;
        let (found, _, damped) = shown(&readiness);
        assert_eq!((found, damped.is_some()), (expected, failures == 2));
        pass(SECOND * 5).await;
        assert_eq!(asked.load(Ordering::Relaxed), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_does_not_bring_a_subsystem_up_spares_no_run() {
    let database = Dependency::default();
    let readiness = build(database.subsystem(every_ten().successes(2)));
    let handle = readiness.check_handle("database").unwrap();
    pass(SECOND).await;
    handle.report_outcome(Outcome::failing("refused"));
    handle.report_outcome(Ok::<(), io::Error>(()));
    assert_eq!((database.asked(), state(&readiness)), (1, State::Failing));
    pass(SECOND * 10).await;
    assert_eq!((database.asked(), state(&readiness)), (2, State::Ready));
}

#[tokio::test(start_paused = true)]
async fn an_event_while_a_check_waits_for_its_turn_asks_for_a_run() {
    let database = Dependency::default();
    let builder = Readiness::builder().checks_at_once(1);
    let readiness = builder.subsystem(database.subsystem(every_ten())).build();
    let readiness = readiness.unwrap();
    let handle = readiness.check_handle("database").unwrap();
    pass(SECOND * 9).await;
    assert_eq!(database.asked(), 1);
    let slow = Subsystem::new("upstream").check(every_ten(), async || {
        sleep(SECOND * 4).await;
        Ok::<(), io::Error>(())
    });
    let _upstream = readiness.add(slow).unwrap();
    // The run that is due after ten seconds waits for its turn.
    handle.report_outcome(Ok::<(), io::Error>(()));
    pass(SECOND * 2).await;
    handle.ask_now();
    pass(SECOND * 3).await;
    assert_eq!(database.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_outcome_brings_a_subsystem_up_before_its_first_run_ends() {
    let subsystem = Subsystem::new("database");
    let readiness = build(subsystem.check(every_ten(), pending::<Result<(), io::Error>>));
    settle().await;
    assert_eq!(state(&readiness), State::Starting);
    let handle = readiness.check_handle("database").unwrap();
    handle.report_outcome(Outcome::degraded("slow"));
    assert_eq!(state(&readiness), State::Degraded);
}

#[test]
fn a_handle_needs_a_check_and_outlives_its_subsystem() {
    let builder = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        .subsystem(Dependency::default().subsystem(every_ten()));
    let readiness = builder.build().unwrap();
    let error = readiness.check_handle("storage").unwrap_err();
    assert!(
        matches!(error, CheckHandleError::Unchecked { .. }),
        "{error}"
    );
    let error = readiness.check_handle("disk").unwrap_err();
    assert!(matches!(error, CheckHandleError::Unknown { .. }), "{error}");
    let handle = readiness.check_handle("database").unwrap();
    readiness.reporter("database").unwrap().retire();
    let version = readiness.snapshot().version();
    handle.ask_now();
    handle.report_outcome(Outcome::failing("down"));
    assert_eq!(readiness.snapshot().version(), version);
    drop(readiness);
    handle.report_outcome(Outcome::ready());
}

/// A task that waits for a change may ask before the call that adds the subsystem returns.
#[test]
fn a_check_has_a_handle_as_soon_as_its_subsystem_is_seen() {
    struct Asks {
        readiness: Readiness,
        found: Mutex<Vec<Result<(), CheckHandleError>>>,
    }

    impl Wake for Asks {
        fn wake(self: Arc<Self>) {
            let found = self.readiness.check_handle("database").map(drop);
            self.found.lock().unwrap().push(found);
        }
    }

    type Add = fn(&Readiness, Subsystem);
    let ways: [Add; 2] = [
        |readiness, database| {
            readiness
                .reconfigure(|plan| {
                    plan.add(database);
                })
                .unwrap();
        },
        |readiness, database| readiness.add(database).unwrap().leave_ready(),
    ];
    for add in ways {
        let readiness = Readiness::builder().allow_empty().build().unwrap();
        let asks = Arc::new(Asks {
            readiness: readiness.clone(),
            found: Mutex::default(),
        });
        let waker = Waker::from(Arc::clone(&asks));
        let mut subscription = readiness.subscribe();
        let mut change = Box::pin(async {
            for _ in 0..2 {
                subscription.changed().await.unwrap();
            }
        });
        assert!(
            change
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
        add(&readiness, Dependency::default().subsystem(every_ten()));
        assert_eq!(*asks.found.lock().unwrap(), [Ok(())]);
    }
}

#[tokio::test(start_paused = true)]
async fn checks_that_hang_do_not_keep_others_from_their_turn() {
    let mut builder = Readiness::builder();
    for index in 0..200 {
        let subsystem = Subsystem::new(format!("upstream-{index}")).optional();
        builder = builder.subsystem(subsystem.check(every_ten(), pending::<Result<(), &str>>));
    }
    let database = Dependency::default();
    let readiness = builder.subsystem(database.subsystem(every_ten()));
    let readiness = readiness.build().unwrap();
    settle().await;
    assert_eq!((database.asked(), state(&readiness)), (1, State::Ready));
}

#[tokio::test(start_paused = true)]
async fn at_most_so_many_checks_run_at_once() {
    let running = Arc::new(AtomicUsize::new(0));
    let asked = Arc::new(AtomicUsize::new(0));
    let mut builder = Readiness::builder().checks_at_once(3);
    for index in 0..20 {
        let (running, asked) = (Arc::clone(&running), Arc::clone(&asked));
        let subsystem = Subsystem::new(format!("upstream-{index}"));
        builder = builder.subsystem(subsystem.check(every_ten(), move || {
            asked.fetch_add(1, Ordering::Relaxed);
            assert!(running.fetch_add(1, Ordering::Relaxed) < 3);
            let running = Arc::clone(&running);
            async move {
                sleep(SECOND).await;
                running.fetch_sub(1, Ordering::Relaxed);
                Ok::<(), io::Error>(())
            }
        }));
    }
    let readiness = builder.build().unwrap();
    settle().await;
    assert_eq!(asked.load(Ordering::Relaxed), 3);
    pass(SECOND * 8).await;
    assert!(readiness.verdict().is_ready());
    assert_eq!(asked.load(Ordering::Relaxed), 20);

    let none = Readiness::builder().checks_at_once(0).allow_empty().build();
    assert_eq!(none.unwrap_err(), BuildError::NoChecksAtOnce);
}

#[tokio::test(start_paused = true)]
async fn runs_never_overlap_and_intervals_count_from_start_to_start() {
    let running = Arc::new(AtomicUsize::new(0));
    let starts = Arc::new(Mutex::new(Vec::new()));
    let subsystem = {
        let (running, starts) = (Arc::clone(&running), Arc::clone(&starts));
        Subsystem::new("database").check(every_ten(), move || {
            starts.lock().unwrap().push(Instant::now());
            assert_eq!(running.fetch_add(1, Ordering::Relaxed), 0, "overlap");
            let running = Arc::clone(&running);
            async move {
                sleep(SECOND * 8).await;
                running.fetch_sub(1, Ordering::Relaxed);
                Ok::<(), io::Error>(())
            }
        })
    };
    let readiness = build(subsystem);
    pass(SECOND * 35).await;
    assert_eq!(state(&readiness), State::Ready);
    let starts = starts.lock().unwrap();
    let apart: Vec<_> = starts.windows(2).map(|two| two[1] - two[0]).collect();
    assert_eq!(apart, [SECOND * 10; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_check_that_is_down_is_asked_less_often_if_it_backs_off() {
    let database = Dependency::default();
    let readiness = build(database.subsystem(every_ten().back_off_to(SECOND * 40)));
    pass(SECOND * 5).await;
    assert_eq!((database.asked(), state(&readiness)), (1, State::Ready));
    database.set(false);
    // At 10, 20, 40, 80 and 120 seconds.
    pass(SECOND * 110).await;
    assert_eq!((database.asked(), state(&readiness)), (5, State::Failing));
    database.set(true);
    pass(SECOND * 10).await;
    assert_eq!((database.asked(), state(&readiness)), (6, State::Ready));
    pass(SECOND * 10).await;
    assert_eq!(database.asked(), 7, "back to the interval");
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_brings_a_subsystem_up_ends_the_back_off() {
    let database = Dependency::default();
    let readiness = build(database.subsystem(every_ten().back_off_to(SECOND * 40)));
    pass(SECOND * 5).await;
    database.set(false);
    // At 0, 10, 20, 40 and 80 seconds.
    pass(SECOND * 110).await;
    assert_eq!((database.asked(), state(&readiness)), (5, State::Failing));
    database.set(true);
    let handle = readiness.check_handle("database").unwrap();
    handle.report_outcome(Ok::<(), io::Error>(()));
    pass(SECOND * 10).await;
    assert_eq!((database.asked(), state(&readiness)), (5, State::Ready));
    // The run at 120 seconds is spared.
    pass(SECOND * 10).await;
    assert_eq!(database.asked(), 6, "back to the interval");
}

#[test]
fn a_report_of_a_handle_or_a_member_starts_a_check_on_its_runtime() {
    type Report = fn(&CheckHandle, &MemberReporter);
    let reports: [Report; 3] = [
        |check, _| check.ask_now(),
        |check, _| check.report_outcome(Outcome::failing("down")),
        |_, member| member.ready(),
    ];
    for (number, report) in reports.into_iter().enumerate() {
        let database = Dependency::default();
        let readiness = Readiness::builder()
            .subsystem(database.subsystem(every_ten()))
            .group(Group::new("upstream"))
            .build()
            .unwrap();
        let check = readiness.check_handle("database").unwrap();
        let member = readiness.group("upstream").unwrap().add("a").unwrap();
        member.ready();
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().build().unwrap();
        runtime.block_on(async {
            report(&check, &member);
            settle().await;
        });
        assert_eq!(database.asked(), 1, "{number}");
    }
}

#[test]
fn a_check_starts_on_the_first_runtime_that_is_met() {
    let database = Dependency::default();
    let readiness = build(database.subsystem(every_ten()));
    assert_eq!(database.asked(), 0, "there is none yet");
    for run in 1..=2 {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            let _layer = ReadinessLayer::new(&readiness);
            support::until(|| database.asked() == run).await;
        });
        // When that runtime ends, it starts on the next.
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_for_readiness_is_enough_to_start_it() {
    let database = Dependency::default();
    let subsystem = database.subsystem(every_ten());
    let readiness = std::thread::spawn(|| build(subsystem)).join().unwrap();
    assert_eq!(database.asked(), 0);
    support::soon(readiness.wait_ready()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn checks_that_begin_together_do_not_ask_in_step() {
    const CHECKS: usize = 200;
    let begun = Instant::now();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let subsystems = (0..CHECKS).map(|index| {
        let asked = Arc::clone(&asked);
        Subsystem::new(format!("database-{index}")).check(Check::every(SECOND), move || {
            asked.lock().unwrap().push(begun.elapsed());
            ready(Outcome::ready())
        })
    });
    let builder = subsystems.fold(Readiness::builder(), |builder, subsystem| {
        builder.subsystem(subsystem)
    });
    let readiness = builder.build().unwrap();
    for _ in 0..3_100 {
        advance(Duration::from_millis(10)).await;
        settle().await;
    }
    let asked = asked.lock().unwrap();
    for interval in [0, 1, 2, 10, 30] {
        let mut tenths = [0; 10];
        for time in asked.iter() {
            let tenth = time.as_millis() / 100;
            if tenth / 10 == interval && !(interval == 0 && tenth == 0) {
                tenths[usize::try_from(tenth % 10).unwrap()] += 1;
            }
        }
        let fullest = tenths.iter().max().unwrap();
        assert!(*fullest < CHECKS * 3 / 10, "{interval}: {tenths:?}");
        assert!(tenths.iter().sum::<usize>() > CHECKS / 2, "{tenths:?}");
    }
    drop(readiness);
}

// === results ===

#[tokio::test(start_paused = true)]
async fn it_takes_several_failures_in_a_row_to_be_down_and_they_show() {
    let database = Dependency::default();
    let readiness = build(database.subsystem(every_ten().failures(3).successes(2)));
    settle().await;
    let count = |count, needed| DampingProgress::Count { count, needed };
    let damped = |state, progress| (state, Some(progress));
    let mut seen = Vec::new();
    for up in [false, false, true, false, false, false, true, true] {
        database.set(up);
        pass(SECOND * 10).await;
        let (state, _, damped) = shown(&readiness);
        seen.push((state, damped.map(|(_, progress)| progress)));
    }
    assert_eq!(
        seen,
        [
            damped(State::Ready, count(1, 3)),
            damped(State::Ready, count(2, 3)),
            (State::Ready, None),
            damped(State::Ready, count(1, 3)),
            damped(State::Ready, count(2, 3)),
            (State::Failing, None),
            damped(State::Failing, count(1, 2)),
            (State::Ready, None),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn the_same_result_again_publishes_nothing() {
    let database = Dependency::default();
    let readiness = build(database.subsystem(every_ten()));
    settle().await;
    for up in [true, false] {
        database.set(up);
        pass(SECOND * 10).await;
        let version = readiness.snapshot().version();
        pass(SECOND * 100).await;
        assert_eq!(readiness.snapshot().version(), version);
    }
}

#[tokio::test(start_paused = true)]
async fn an_outcome_can_be_degraded_and_carry_attributes() {
    let lag = Arc::new(AtomicUsize::new(3));
    let subsystem = {
        let lag = Arc::clone(&lag);
        Subsystem::new("database").check(every_ten(), move || {
            let lag = lag.load(Ordering::Relaxed);
            ready(match lag {
                0..10 => Outcome::ready().attribute("lag", lag.to_string()),
                10..100 => Outcome::degraded("replica lags").attribute("lag", lag.to_string()),
                _ => Ok(Outcome::failing("replica is lost")),
            })
        })
    };
    let readiness = build(subsystem);
    let lag_shown = || {
        let snapshot = readiness.snapshot();
        let view = snapshot.subsystem("database").unwrap();
        view.attribute("lag").unwrap().to_owned()
    };
    settle().await;
    assert_eq!((state(&readiness), lag_shown()), (State::Ready, "3".into()));
    lag.store(4, Ordering::Relaxed);
    pass(SECOND * 10).await;
    assert_eq!(lag_shown(), "4", "although it is ready as before");
    lag.store(40, Ordering::Relaxed);
    pass(SECOND * 10).await;
    let (now, reason, _) = shown(&readiness);
    assert_eq!((now, &*reason), (State::Degraded, "replica lags"));
    assert_eq!(lag_shown(), "40");
    lag.store(400, Ordering::Relaxed);
    pass(SECOND * 10).await;
    assert_eq!(state(&readiness), State::Failing);
}

// === failures of a check ===

#[tokio::test(start_paused = true)]
async fn a_check_that_hangs_has_failed_and_its_future_is_dropped() {
    struct Dropped(Arc<AtomicUsize>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let dropped = Arc::new(AtomicUsize::new(0));
    let subsystem = {
        let dropped = Arc::clone(&dropped);
        Subsystem::new("database").check(every_ten().timeout(SECOND * 2), move || {
            let guard = Dropped(Arc::clone(&dropped));
            async move {
                let _guard = guard;
                pending::<Result<(), io::Error>>().await
            }
        })
    };
    let readiness = build(subsystem);
    pass(SECOND).await;
    assert_eq!(dropped.load(Ordering::Relaxed), 0);
    pass(SECOND * 2).await;
    assert_eq!(dropped.load(Ordering::Relaxed), 1);
    let (now, reason, _) = shown(&readiness);
    assert_eq!((now, &*reason), (State::Failing, "no answer within 2s"));
    // Asked again after 250 ms, and then after 500.
    pass(SECOND * 2).await;
    assert_eq!(dropped.load(Ordering::Relaxed), 2);
    pass(SECOND * 2).await;
    assert_eq!(dropped.load(Ordering::Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn a_check_that_panics_has_failed_and_is_asked_again() {
    let asked = Arc::new(AtomicUsize::new(0));
    let subsystem = {
        let asked = Arc::clone(&asked);
        Subsystem::new("database").check(every_ten(), move || {
            let run = asked.fetch_add(1, Ordering::Relaxed);
            assert_ne!(run, 1, "in the closure, as part of the test");
            async move {
                assert_ne!(run, 2, "in the future, as part of the test");
                Ok::<(), io::Error>(())
            }
        })
    };
    let readiness = build(subsystem);
    settle().await;
    assert_eq!(state(&readiness), State::Ready);
    for place in ["closure", "future"] {
        pass(SECOND * 10).await;
        let (now, reason, _) = shown(&readiness);
        assert_eq!(now, State::Failing);
        assert!(reason.starts_with("check panicked: "), "{reason}");
        assert!(reason.contains(place), "{reason}");
    }
    pass(SECOND * 10).await;
    assert_eq!(state(&readiness), State::Ready);
}

#[tokio::test(start_paused = true)]
async fn a_check_that_panics_every_time_keeps_being_asked() {
    let asked = Arc::new(AtomicUsize::new(0));
    let subsystem = {
        let asked = Arc::clone(&asked);
        Subsystem::new("database").check(every_ten(), move || -> std::future::Ready<Outcome> {
            asked.fetch_add(1, Ordering::Relaxed);
            panic!("as part of the test")
        })
    };
    let readiness = build(subsystem);
    // Six times in the first 8 seconds, then at 15.75, and each 10 seconds from there.
    pass(SECOND * 95).await;
    assert_eq!(asked.load(Ordering::Relaxed), 14);
    assert_eq!(state(&readiness), State::Failing);
}

/// A blocked thread polls no check, yet the silence of the check is found. A reporter
/// beside the check does not hide that silence.
#[test]
fn a_check_that_blocks_its_thread_for_good_turns_stale() {
    let none = |_: &Readiness| None;
    let claimed = |readiness: &Readiness| Some(readiness.reporter("database").unwrap());
    let left_ready = |readiness: &Readiness| {
        readiness.reporter("database").unwrap().leave_ready();
        None
    };
    let dropped = |readiness: &Readiness| {
        drop(readiness.reporter("database").unwrap());
        None
    };
    let all = [none, claimed, left_ready, dropped];
    let cases = all
        .into_iter()
        .flat_map(|beside| [(beside, false), (beside, true)]);
    for (beside, when_stale) in cases {
        let blocked = Arc::new((Mutex::new(false), std::sync::Condvar::new()));
        let asked = Arc::new(AtomicUsize::new(0));
        let subsystem = {
            let (blocked, asked) = (Arc::clone(&blocked), Arc::clone(&asked));
            let check = Check::every(Duration::from_millis(20)).failures(1);
            Subsystem::new("database").check(check, move || {
                let (blocked, asked) = (Arc::clone(&blocked), Arc::clone(&asked));
                async move {
                    if asked.fetch_add(1, Ordering::Relaxed) == 1 {
                        // A blocking call in a task.
                        let (released, freed) = &*blocked;
                        let released = released.lock().unwrap();
                        drop(freed.wait_while(released, |released| !*released).unwrap());
                    }
                    Ok::<(), io::Error>(())
                }
            })
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_time()
            .build()
            .unwrap();
        let readiness = runtime.block_on(async { build(subsystem) });
        let becomes = |what: &dyn Fn() -> bool| {
            (0..30_000).any(|_| {
                std::thread::sleep(Duration::from_millis(1));
                what()
            })
        };
        let is_stale = || {
            let snapshot = readiness.snapshot();
            snapshot.subsystem("database").unwrap().state() == State::Stale
        };
        let is_asked = becomes(&|| asked.load(Ordering::Relaxed) == 2);
        let was_stale = !when_stale || becomes(&is_stale);
        // Whatever state this reporter sets, the silence of the check counts.
        let reporter = beside(&readiness);
        let is_stale = becomes(&is_stale);
        let asked = asked.load(Ordering::Relaxed);
        *blocked.0.lock().unwrap() = true;
        blocked.1.notify_all();
        assert!(is_asked && was_stale && is_stale);
        assert_eq!(asked, 2, "it is not asked again");
        drop(reporter);
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_whose_words_vary_is_published_at_most_once_a_second() {
    let asked = Arc::new(AtomicUsize::new(0));
    let subsystem = {
        let asked = Arc::clone(&asked);
        let check = Check::every(Duration::from_millis(10)).failures(2);
        Subsystem::new("database").check(check, move || {
            let run = asked.fetch_add(1, Ordering::Relaxed);
            ready(Outcome::failing(format!("port {run} refused")).attribute("run", run.to_string()))
        })
    };
    let readiness = build(subsystem);
    pass(SECOND).await;
    let (version, runs) = (
        readiness.snapshot().version(),
        asked.load(Ordering::Relaxed),
    );
    for _ in 0..1_000 {
        advance(Duration::from_millis(10)).await;
        settle().await;
    }
    assert!(asked.load(Ordering::Relaxed) > runs + 900);
    let published = readiness.snapshot().version() - version;
    assert!((9..=11).contains(&published), "{published}");
    let (state, reason, _) = shown(&readiness);
    assert_eq!(state, State::Failing);
    let port: usize = reason.split(' ').nth(1).unwrap().parse().unwrap();
    assert!(port + 110 > asked.load(Ordering::Relaxed), "{reason}");
}

// === on a thread ===

/// A call that blocks until the test releases it.
#[derive(Default)]
struct Calls {
    begun: AtomicUsize,
    released: Mutex<usize>,
    changed: std::sync::Condvar,
}

impl Calls {
    fn call(&self) -> Result<(), io::Error> {
        let call = self.begun.fetch_add(1, Ordering::Relaxed);
        let released = self.released.lock().unwrap();
        let released = self
            .changed
            .wait_while(released, |released| *released <= call);
        drop(released.unwrap());
        Ok(())
    }

    fn release(&self, calls: usize) {
        *self.released.lock().unwrap() = calls;
        self.changed.notify_all();
    }
}

/// Real time, because a paused clock does not wait for a thread.
#[tokio::test]
async fn a_blocking_check_that_hangs_takes_one_thread_and_is_called_again_after_its_end() {
    let calls = Arc::new(Calls::default());
    let subsystem = {
        let calls = Arc::clone(&calls);
        let check = Check::every(Duration::from_millis(20)).timeout(Duration::from_millis(10));
        let ask = Check::blocking(move || calls.call());
        Subsystem::new("database").check(check.failures(1), ask)
    };
    let readiness = build(subsystem);
    let reason = || shown(&readiness).1;
    support::until(|| reason() == "no answer within 10ms").await;
    let version = readiness.snapshot().version();
    // Other runs have failed meanwhile: each run sends a heartbeat.
    let reporter = readiness.reporter("database").unwrap();
    for _ in 0..3 {
        reporter.degraded("asked by hand");
        support::until(|| reason() == "no answer within 10ms").await;
    }
    drop(reporter);
    assert!(readiness.snapshot().version() > version);
    assert_eq!(calls.begun.load(Ordering::Relaxed), 1);
    calls.release(1);
    support::until(|| calls.begun.load(Ordering::Relaxed) == 2).await;
    calls.release(usize::MAX);
    support::until(|| state(&readiness) == State::Ready).await;
}

#[tokio::test]
async fn a_blocking_check_that_panics_has_failed() {
    let ask = Check::blocking(|| -> Outcome { panic!("as part of the test") });
    let check = Check::every(SECOND * 3_600);
    let readiness = build(Subsystem::new("database").check(check.failures(1), ask));
    let reason = "check panicked: as part of the test";
    support::until(|| shown(&readiness).1 == reason).await;
}

#[tokio::test]
async fn a_check_that_panics_with_a_value_whose_drop_panics_has_failed() {
    struct Payload;

    impl Drop for Payload {
        fn drop(&mut self) {
            panic!("as part of the test");
        }
    }

    let panics = || -> Outcome { std::panic::panic_any(Payload) };
    for blocks in [true, false] {
        let check = Check::every(SECOND * 3_600).failures(1);
        let database = Subsystem::new("database");
        let readiness = build(if blocks {
            database.check(check, Check::blocking(panics))
        } else {
            database.check(check, move || async move { panics() })
        });
        let reason = "check panicked: (no message)";
        support::until(|| shown(&readiness).1 == reason).await;
    }
}

#[test]
fn a_runtime_ends_while_a_blocking_check_hangs() {
    let calls = Arc::new(Calls::default());
    let subsystem = {
        let calls = Arc::clone(&calls);
        let ask = Check::blocking(move || calls.call());
        Subsystem::new("database").check(every_ten(), ask)
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let _readiness = build(subsystem);
        support::until(|| calls.begun.load(Ordering::Relaxed) == 1).await;
    });
    drop(runtime);
    calls.release(usize::MAX);
}

#[test]
fn a_check_whose_runtime_ends_fails_unless_the_process_drains() {
    for (drains, expected) in [
        (false, (State::Failing, "its runtime has ended")),
        (true, (State::Ready, "")),
    ] {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let readiness = runtime.block_on(async {
            let readiness = build(Dependency::default().subsystem(every_ten()));
            support::until(|| state(&readiness) == State::Ready).await;
            readiness
        });
        if drains {
            readiness.drain();
        }
        drop(runtime);
        let (state, reason, _) = shown(&readiness);
        assert_eq!((state, &*reason), expected);
    }
}

// === beside a reporter ===

#[test]
fn the_first_result_on_the_next_runtime_is_shown_although_it_fails_as_the_last_one_did() {
    let database = Dependency::default();
    database.set(false);
    let readiness = build(database.subsystem(every_ten()));
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_time().start_paused(true).build().unwrap()
    };
    let reason_on = |runtime: &tokio::runtime::Runtime| {
        runtime.block_on(async {
            drop(readiness.snapshot());
            settle().await;
            shown(&readiness).1
        })
    };
    let [first, second] = [runtime(), runtime()];
    assert_eq!(reason_on(&first), "connection refused");
    drop(first);
    assert_eq!(shown(&readiness).1, "its runtime has ended");
    assert_eq!(reason_on(&second), "connection refused");
}

#[tokio::test(start_paused = true)]
async fn a_reporter_may_report_beside_a_check() {
    let database = Dependency::default();
    let readiness = build(database.subsystem(every_ten().failures(3)));
    settle().await;
    let claim = || {
        let snapshot = readiness.snapshot();
        snapshot.subsystem("database").unwrap().claim()
    };
    assert_eq!(claim(), Claim::Checked);
    let reporter = readiness.reporter("database").unwrap();
    assert_eq!(claim(), Claim::Held);
    reporter.failing("a request could not reach it");
    assert_eq!(state(&readiness), State::Failing, "at once");
    pass(SECOND * 10).await;
    assert_eq!(state(&readiness), State::Ready, "the next result");
    drop(reporter);
    assert_eq!(state(&readiness), State::Failing);
    pass(SECOND * 10).await;
    assert_eq!((state(&readiness), claim()), (State::Ready, Claim::Checked));
}

#[tokio::test(start_paused = true)]
async fn a_result_that_is_older_than_a_report_is_discarded() {
    let answer = Arc::new(Notify::new());
    let subsystem = {
        let answer = Arc::clone(&answer);
        Subsystem::new("database").check(every_ten(), move || {
            let answer = Arc::clone(&answer);
            async move {
                answer.notified().await;
                Ok::<(), io::Error>(())
            }
        })
    };
    let readiness = build(subsystem);
    let reporter = readiness.reporter("database").unwrap();
    settle().await;
    reporter.failing("disk gone");
    answer.notify_one();
    settle().await;
    assert_eq!(
        state(&readiness),
        State::Failing,
        "asked before it was said"
    );
    pass(SECOND * 10).await;
    answer.notify_one();
    settle().await;
    assert_eq!(state(&readiness), State::Ready, "asked after it was said");
}

#[tokio::test(start_paused = true)]
async fn a_repeated_report_discards_no_result() {
    let check = every_ten().timeout(SECOND * 5);
    let readiness =
        build(Subsystem::new("database").check(check, pending::<Result<(), io::Error>>));
    let reporter = readiness.reporter("database").unwrap();
    reporter.ready();
    for _ in 0..6 {
        pass(SECOND).await;
        reporter.ready();
    }
    // The report after the result changes the state again.
    assert_eq!(state(&readiness), State::Ready);
    let transitions = readiness
        .snapshot()
        .subsystem("database")
        .unwrap()
        .transitions();
    assert_eq!(transitions, 3, "ready, failing, ready");
}

#[tokio::test(start_paused = true)]
async fn an_attribute_too_many_is_no_news() {
    let subsystem = Subsystem::new("database").check(every_ten(), || {
        let keys = (0..33).map(|key| key.to_string());
        ready(keys.fold(Outcome::ready(), |outcome, key| {
            outcome.attribute(key, "1").unwrap()
        }))
    });
    let readiness = build(subsystem);
    settle().await;
    let version = readiness.snapshot().version();
    pass(SECOND * 100).await;
    assert_eq!(readiness.snapshot().version(), version);
}

// === its end ===

#[tokio::test(start_paused = true)]
async fn a_check_ends_with_its_subsystem_and_with_the_registry() {
    let metrics = tokio::runtime::Handle::current().metrics();
    let database = Dependency::default();
    let readiness = Readiness::builder().allow_empty().build().unwrap();
    let hour = Check::every(SECOND * 3_600);
    let reporter = readiness.add(database.subsystem(hour.clone())).unwrap();
    settle().await;
    assert_eq!((database.asked(), state(&readiness)), (1, State::Ready));
    reporter.retire();
    // The timer task stays.
    support::until(|| metrics.num_alive_tasks() == 1).await;

    let reporter = readiness.add(database.subsystem(hour)).unwrap();
    settle().await;
    assert_eq!((database.asked(), metrics.num_alive_tasks()), (2, 2));
    drop((readiness, reporter));
    support::until(|| metrics.num_alive_tasks() == 0).await;
}

#[test]
fn a_check_that_panics_when_it_is_dropped_keeps_no_subscription_open() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }
    let subsystem = |name| {
        let panics = Panics;
        Subsystem::new(name).check(every_ten(), move || {
            let _ = &panics;
            ready(Outcome::ready())
        })
    };
    let builder = Readiness::builder().subsystem(subsystem("first"));
    let readiness = builder.subsystem(subsystem("second")).build().unwrap();
    let mut subscription = readiness.subscribe();
    // Without a runtime, the registry drops the checks itself.
    drop(readiness);
    let ended = (0..10).any(|_| matches!(subscription.changed().now_or_never(), Some(Err(_))));
    assert!(ended);
}

#[tokio::test(start_paused = true)]
async fn a_registry_can_be_dropped_while_its_checks_run() {
    let metrics = tokio::runtime::Handle::current().metrics();
    let begun = Arc::new(Notify::new());
    let subsystem = {
        let begun = Arc::clone(&begun);
        Subsystem::new("database").check(every_ten(), move || {
            begun.notify_one();
            pending::<Outcome>()
        })
    };
    let readiness = build(subsystem);
    support::soon(begun.notified()).await;
    drop(readiness);
    support::until(|| metrics.num_alive_tasks() == 0).await;
}

#[tokio::test(start_paused = true)]
async fn an_old_check_does_not_report_for_a_reused_slot() {
    let database = Dependency::default();
    let readiness = Readiness::builder().allow_empty().build().unwrap();
    let old = readiness.add(database.subsystem(every_ten())).unwrap();
    settle().await;
    old.retire();
    let new = readiness.add(Subsystem::new("database")).unwrap();
    pass(SECOND * 30).await;
    assert_eq!((database.asked(), state(&readiness)), (1, State::Starting));
    drop(new);
}

// === bad input ===

#[test]
fn a_ttl_that_is_over_between_two_results_is_refused_where_it_is_put_to_use() {
    let database = Dependency::default();
    let minute = || Check::every(SECOND * 60).timeout(SECOND * 10);
    let told = |check: Check, ttl: u32| database.subsystem(check).ttl(SECOND * ttl);
    let refused = |subsystem| match Readiness::builder().subsystem(subsystem).build() {
        Err(BuildError::Declaration(DeclareError::Setting { source, .. })) => source,
        built => panic!("{built:?}"),
    };
    let short = |ttl, slowest| SettingError::ShortTtl {
        ttl: SECOND * ttl,
        slowest: SECOND * slowest,
    };
    assert_eq!(refused(told(minute(), 10)), short(10, 70));
    assert_eq!(refused(told(minute(), 69)), short(69, 70));
    let backs_off = || minute().back_off_to(SECOND * 120);
    assert_eq!(refused(told(backs_off(), 129)), short(129, 130));
    // In either order of the settings.
    let ask = || ready(Outcome::ready());
    let subsystem = || Subsystem::new("database").ttl(SECOND * 69);
    assert_eq!(refused(subsystem().check(minute(), ask)), short(69, 70));
    assert_eq!(
        short(10, 70).to_string(),
        "the ttl is 10s, and the check has a result every 70s; give a ttl that is not shorter"
    );

    let readiness = Readiness::builder().allow_empty().build().unwrap();
    let added = readiness.add(told(minute(), 69));
    assert!(matches!(added, Err(DeclareError::Setting { source, .. }) if source == short(69, 70)));
    for (check, ttl) in [(minute(), 70), (backs_off(), 130)] {
        readiness.add(told(check, ttl)).unwrap().retire();
    }
    // The last check counts, and so does its ttl.
    let seconds = Check::every(SECOND);
    let subsystem = Subsystem::new("database").check(seconds, ask);
    let subsystem = subsystem.check(minute(), ask);
    readiness.add(subsystem).unwrap().retire();
}

#[tokio::test(start_paused = true)]
async fn a_check_that_is_well_is_not_silent_for_as_long_as_the_shortest_ttl() {
    let asked = Arc::new(AtomicUsize::new(0));
    let subsystem = {
        let asked = Arc::clone(&asked);
        let check = every_ten().timeout(SECOND * 5);
        let subsystem = Subsystem::new("database").ttl(SECOND * 15);
        subsystem.check(check, move || {
            let slow = asked.fetch_add(1, Ordering::Relaxed) % 2 == 1;
            async move {
                sleep(Duration::from_millis(if slow { 4_900 } else { 0 })).await;
                Outcome::ready()
            }
        })
    };
    let readiness = build(subsystem);
    pass(SECOND * 120).await;
    assert_eq!(asked.load(Ordering::Relaxed), 13);
    let snapshot = readiness.snapshot();
    assert_eq!(snapshot.subsystem("database").unwrap().transitions(), 1);
}

#[test]
fn a_check_that_makes_no_sense_is_refused_where_the_registry_is_built() {
    let database = Dependency::default();
    let refused = |check| {
        let subsystem = database.subsystem(check);
        match Readiness::builder().subsystem(subsystem).build() {
            Err(BuildError::Declaration(DeclareError::Setting { name, source })) => {
                assert_eq!(name, "database");
                source
            }
            built => panic!("{built:?}"),
        }
    };
    let timeout = SECOND * 11;
    assert_eq!(
        refused(every_ten().timeout(timeout)),
        SettingError::LongTimeout {
            timeout,
            interval: SECOND * 10
        }
    );
    let zero = |what| SettingError::Zero { what };
    assert_eq!(
        refused(every_ten().failures(0)),
        zero("failure threshold of a check")
    );
    assert_eq!(
        refused(every_ten().successes(0)),
        zero("success threshold of a check")
    );
    assert_eq!(
        refused(every_ten().jitter(2.0)),
        SettingError::Fraction {
            what: "jitter of a check",
            given: 2.0
        }
    );
    for interval in [Duration::ZERO, Duration::MAX] {
        let error = refused(Check::every(interval));
        assert!(matches!(error, SettingError::OutOfBounds { .. }), "{error}");
    }
}
