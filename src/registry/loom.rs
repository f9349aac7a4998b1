//! Loom models of the protocol between writers, readers and waiting tasks. Run with
//! `RUSTFLAGS="--cfg tower_readiness_loom" cargo test --release --lib loom`.

use super::{
    Readiness, Subsystem,
    timer::{Caller, Reading},
};
use crate::state::{Moment, ScopeId, State};
use loom::{future::block_on, thread};
use std::time::{Duration, SystemTime};

fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    // Two preemptions find nearly every bug (CHESS); more would take hours.
    builder.preemption_bound = Some(2);
    builder.check(model);
}

fn two_subsystems() -> Readiness {
    Readiness::builder()
        .subsystem(Subsystem::new("a"))
        .subsystem(Subsystem::new("b"))
        .build()
        .unwrap()
}

#[test]
fn a_waiter_misses_no_last_state_and_versions_only_grow() {
    explore(|| {
        let readiness = two_subsystems();
        let writers = ["a", "b"].map(|name| {
            let reporter = readiness.reporter(name).unwrap();
            thread::spawn(move || {
                reporter.ready();
                reporter
            })
        });
        let waiter = {
            let mut subscription = readiness.subscribe();
            thread::spawn(move || {
                let mut version = 0;
                loop {
                    let snapshot = block_on(subscription.changed()).unwrap();
                    assert!(snapshot.version() > version);
                    version = snapshot.version();
                    if snapshot.verdict().is_ready() {
                        break;
                    }
                }
            })
        };
        let before = readiness.snapshot();
        let after = readiness.snapshot();
        assert!(after.version() >= before.version());

        let reporters = writers.map(|writer| writer.join().unwrap());
        // A lost wake-up makes this hang, which loom reports.
        waiter.join().unwrap();
        drop(reporters);
    });
}

#[test]
fn an_admit_flag_is_never_older_than_a_snapshot_read_before() {
    explore(|| {
        let readiness = two_subsystems();
        let [a, b] = ["a", "b"].map(|name| readiness.reporter(name).unwrap());
        a.ready();
        b.ready();

        let writer = thread::spawn(move || {
            a.failing("down");
            a.ready();
            a
        });
        let seen = readiness.snapshot();
        let open = readiness.registry().admit_flag(ScopeId::Process).is_set();
        let later = readiness.snapshot();
        if !seen.verdict().is_ready() && open {
            assert!(later.version() > seen.version());
        }
        drop((writer.join().unwrap(), b));
    });
}

#[test]
fn after_a_setter_returns_every_reader_sees_it() {
    explore(|| {
        let readiness = two_subsystems();
        let [a, b] = ["a", "b"].map(|name| readiness.reporter(name).unwrap());
        a.ready();
        let other = thread::spawn(move || {
            b.ready();
            b
        });
        a.failing("down");
        assert!(!readiness.registry().admit_flag(ScopeId::Process).is_set());
        let snapshot = readiness.snapshot();
        assert_eq!(snapshot.subsystem("a").unwrap().state(), State::Failing);

        let b = other.join().unwrap();
        a.ready();
        assert!(readiness.registry().admit_flag(ScopeId::Process).is_set());
        assert!(readiness.snapshot().verdict().is_ready());
        drop((a, b));
    });
}

#[test]
fn a_subscription_ends_with_the_last_handle_and_not_before_the_last_snapshot() {
    explore(|| {
        let readiness = two_subsystems();
        let a = readiness.reporter("a").unwrap();
        let mut subscription = readiness.subscribe();
        let waiter = thread::spawn(move || {
            let mut last = None;
            while let Ok(snapshot) = block_on(subscription.changed()) {
                last = Some(snapshot);
            }
            last.unwrap().subsystem("a").unwrap().state()
        });
        drop(readiness);
        // The drop of the last handle is the last report.
        drop(a);
        assert_eq!(waiter.join().unwrap(), State::Failing);
    });
}

#[test]
fn a_report_is_not_overwritten_by_the_silence_before_it() {
    explore(|| {
        let readiness = Readiness::builder()
            .subsystem(Subsystem::new("a").ttl(Duration::from_secs(4)))
            .build()
            .unwrap();
        let a = readiness.reporter("a").unwrap();
        a.ready();
        let run_timer = |readiness: &Readiness| {
            let registry = readiness.registry();
            let due = registry.timer.due().unwrap();
            let moment = Moment {
                wall: SystemTime::UNIX_EPOCH,
                monotonic: due,
            };
            let reading = Reading {
                now: due,
                real: due,
                is_paused: false,
            };
            registry.run_timer(Caller::TtlTimer, moment, reading);
        };
        // The fourth run finds that the ttl has passed.
        (0..3).for_each(|_| run_timer(&readiness));
        let timer = {
            let readiness = readiness.clone();
            thread::spawn(move || run_timer(&readiness))
        };
        a.ready();
        timer.join().unwrap();
        let snapshot = readiness.snapshot();
        assert_eq!(snapshot.subsystem("a").unwrap().state(), State::Ready);
        drop(a);
    });
}
