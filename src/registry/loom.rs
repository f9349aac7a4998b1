//! Loom models of the protocol between writers, readers and waiting tasks. Run with
//! `RUSTFLAGS="--cfg tower_readiness_loom" cargo test --release --lib loom`.

use super::{
    Readiness, Subsystem,
    timer::{Caller, Reading},
};
use crate::{
    state::{Phase, ScopeId, State, TransitionKind},
    sync::explore,
};
use loom::{future::block_on, thread};
use std::time::{Duration, Instant};

/// Runs the timer at the next deadline, which must exist.
fn run_timer(readiness: &Readiness) {
    run_timer_at(readiness, readiness.registry().timer.due().unwrap());
}

pub(super) fn run_timer_at(readiness: &Readiness, due: Instant) {
    let registry = readiness.registry();
    let reading = Reading {
        now: due,
        real: due,
        is_paused: false,
    };
    registry.run_timer(Caller::TtlTimer, reading);
}

fn state_of(readiness: &Readiness, name: &str) -> State {
    readiness.snapshot().subsystem(name).unwrap().state()
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
    // Two preemptions find nearly every bug (CHESS); a third would take hours with these
    // four threads.
    explore(2, || {
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
    explore(3, || {
        let readiness = two_subsystems();
        let [a, b] = ["a", "b"].map(|name| readiness.reporter(name).unwrap());
        a.ready();
        b.ready();

        // The reader is the thread that loom starts at any step of the writer. (The first
        // thread of a model reads before another one has run.)
        let reader = {
            let readiness = readiness.clone();
            thread::spawn(move || {
                let seen = readiness.snapshot();
                let open = readiness.registry().admit_flag(ScopeId::Process).is_set();
                let later = readiness.snapshot();
                if !seen.verdict().is_ready() && open {
                    assert!(later.version() > seen.version());
                }
            })
        };
        a.failing("down");
        a.ready();
        reader.join().unwrap();
        drop((a, b));
    });
}

#[test]
fn after_a_setter_returns_every_reader_sees_it() {
    explore(3, || {
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
    explore(3, || {
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
    explore(3, || {
        let readiness = Readiness::builder()
            .subsystem(Subsystem::new("a").ttl(Duration::from_secs(4)))
            .build()
            .unwrap();
        let a = readiness.reporter("a").unwrap();
        a.ready();
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

#[test]
fn a_deadline_does_not_change_the_subsystem_that_has_taken_the_slot() {
    explore(3, || {
        let readiness = Readiness::builder()
            .subsystem(Subsystem::new("a").ttl(Duration::from_secs(4)))
            .build()
            .unwrap();
        let a = readiness.reporter("a").unwrap();
        a.ready();
        (0..3).for_each(|_| run_timer(&readiness));
        let timer = {
            let readiness = readiness.clone();
            thread::spawn(move || {
                // Without a deadline, the subsystem has retired already.
                let due = readiness.registry().timer.due();
                due.into_iter()
                    .for_each(|due| run_timer_at(&readiness, due));
            })
        };
        a.retire();
        let next = readiness
            .add(Subsystem::new("next").ttl(Duration::from_secs(4)))
            .unwrap();
        next.ready();
        timer.join().unwrap();
        assert_eq!(state_of(&readiness, "next"), State::Ready);
        assert!(readiness.snapshot().subsystem("a").is_none());
        drop(next);
    });
}

#[test]
fn the_drop_of_a_reporter_is_a_report_before_the_next_claim() {
    explore(3, || {
        let readiness = two_subsystems();
        let a = readiness.reporter("a").unwrap();
        a.ready();
        let dropped = thread::spawn(move || drop(a));
        if let Ok(next) = readiness.reporter("a") {
            next.ready();
            dropped.join().unwrap();
            assert_eq!(state_of(&readiness, "a"), State::Ready);
            next.retire();
        } else {
            dropped.join().unwrap();
            assert_eq!(state_of(&readiness, "a"), State::Failing);
        }
    });
}

#[test]
fn the_last_drop_and_a_retirement_at_the_same_time_both_count() {
    explore(3, || {
        let readiness = two_subsystems();
        let [a, b] = ["a", "b"].map(|name| readiness.reporter(name).unwrap());
        a.ready();
        let dropped = thread::spawn(move || drop(a));
        b.retire();
        dropped.join().unwrap();
        let snapshot = readiness.snapshot();
        assert!(snapshot.subsystem("b").is_none());
        assert_eq!(snapshot.subsystem("a").unwrap().state(), State::Failing);
        assert!(!snapshot.verdict().is_ready());
    });
}

#[test]
fn a_drain_that_meets_reports_begins_once_and_wakes_its_waiters() {
    explore(3, || {
        let readiness = two_subsystems();
        let [a, b] = ["a", "b"].map(|name| readiness.reporter(name).unwrap());
        a.ready();
        b.ready();
        let waiter = {
            let (readiness, draining) = (readiness.clone(), readiness.draining());
            thread::spawn(move || {
                block_on(draining);
                let snapshot = readiness.snapshot();
                assert!(snapshot.phase() >= Phase::Draining && !snapshot.verdict().is_ready());
            })
        };
        let dropped = {
            let readiness = readiness.clone();
            thread::spawn(move || {
                drop(a);
                readiness.drain();
            })
        };
        readiness.drain();
        let before = readiness.snapshot();
        assert_eq!(before.phase(), Phase::Draining);
        dropped.join().unwrap();
        // A lost wake-up makes this hang, which loom reports.
        waiter.join().unwrap();

        // A drop during the drain is no report.
        let seen = before.subsystem("a").unwrap().state();
        assert_eq!(state_of(&readiness, "a"), seen);
        let history = readiness.history();
        assert!(history.is_sorted_by_key(|transition| transition.version()));
        let begins = history.iter().filter(|transition| {
            matches!(transition.kind(), TransitionKind::Phase { to, .. } if *to == Phase::Draining)
        });
        assert_eq!(begins.count(), 1);
        drop(b);
    });
}

#[test]
fn a_held_request_sees_the_last_of_several_changes() {
    explore(3, || {
        let readiness = two_subsystems();
        let [a, b] = ["a", "b"].map(|name| readiness.reporter(name).unwrap());
        b.ready();
        let held = {
            let readiness = readiness.clone();
            thread::spawn(move || {
                // As a gate does: it waits until the verdict differs from the last one,
                // and decides again.
                let mut seen = readiness.verdict();
                while !seen.is_ready() {
                    let differs = readiness.registry().wait_for(|data| {
                        let verdict = data.verdict(ScopeId::Process);
                        (verdict != seen).then_some(verdict)
                    });
                    seen = block_on(differs).unwrap();
                }
            })
        };
        a.ready();
        a.failing("down");
        a.ready();
        // A lost wake-up makes this hang, which loom reports.
        held.join().unwrap();
        drop((a, b));
    });
}

#[test]
fn a_snapshot_keeps_its_history_while_that_of_later_ones_grows() {
    explore(3, || {
        let readiness = two_subsystems();
        let [a, b] = ["a", "b"].map(|name| readiness.reporter(name).unwrap());
        let reader = {
            let readiness = readiness.clone();
            thread::spawn(move || {
                let snapshot = readiness.snapshot();
                let versions = || -> Vec<_> {
                    let history = snapshot.0.history.iter();
                    history.map(|transition| transition.version()).collect()
                };
                let first = versions();
                assert!(first.is_sorted() && first == versions());
                assert!(first.last().is_none_or(|last| *last == snapshot.version()));
            })
        };
        let other = thread::spawn(move || {
            b.ready();
            b
        });
        a.ready();
        a.failing("down");
        let b = other.join().unwrap();
        let of_subsystems = readiness
            .history()
            .into_iter()
            .filter(|transition| matches!(transition.kind(), TransitionKind::Subsystem { .. }));
        assert_eq!(of_subsystems.count(), 3);
        reader.join().unwrap();
        drop((a, b));
    });
}
