//! Loom models of the members of a group. Run with
//! `RUSTFLAGS="--cfg tower_readiness_loom" cargo test --release --lib loom`.

use super::{Group, MemberReporter, pace::INTERVAL};
use crate::{
    registry::{Readiness, loom::run_timer_at},
    state::{MemberCounts, State},
    sync::explore,
};
use loom::thread;
use std::time::Instant;

/// A group with two members, whose counts are not published yet.
fn two_members() -> (Readiness, [MemberReporter; 2]) {
    let readiness = Readiness::builder()
        .allow_empty()
        .group(Group::new("upstream"))
        .build()
        .unwrap();
    let group = readiness.group("upstream").unwrap();
    let members = ["a", "b"].map(|name| group.add(name).unwrap());
    (readiness, members)
}

/// Runs the timer after the interval, if it has a deadline by then.
fn run_timer(readiness: &Readiness) {
    run_timer_at(readiness, Instant::now() + INTERVAL);
}

/// Begins to run the timer at any step of the other threads.
fn timer(readiness: &Readiness) -> thread::JoinHandle<()> {
    let readiness = readiness.clone();
    thread::spawn(move || run_timer(&readiness))
}

/// The published state and counts of the group.
fn published(readiness: &Readiness) -> (State, MemberCounts) {
    readiness.registry().read(|data| {
        let view = data.subsystem("upstream").unwrap();
        (view.state(), *view.members().unwrap())
    })
}

fn counts(states: &[State]) -> MemberCounts {
    let mut counts = MemberCounts::default();
    states.iter().for_each(|state| counts.add(*state));
    counts
}

#[test]
fn the_last_change_of_the_members_is_published_within_the_interval() {
    explore(3, || {
        let (readiness, [a, b]) = two_members();
        let timer = timer(&readiness);
        let other = thread::spawn(move || {
            a.failing("down");
            a
        });
        b.failing("down");
        let a = other.join().unwrap();
        timer.join().unwrap();
        run_timer(&readiness);
        let failing = counts(&[State::Failing, State::Failing]);
        assert_eq!(published(&readiness), (State::Degraded, failing));
        drop((a, b));
    });
}

#[test]
fn a_report_that_turns_a_group_is_published_before_it_returns() {
    explore(3, || {
        let (readiness, [a, b]) = two_members();
        [&a, &b].map(MemberReporter::ready);
        let timer = timer(&readiness);
        let other = thread::spawn(move || a.retire());
        b.failing("down");
        let (state, members) = published(&readiness);
        assert_eq!(
            (state, members.in_state(State::Failing)),
            (State::Degraded, 1)
        );
        other.join().unwrap();
        timer.join().unwrap();
        run_timer(&readiness);
        let failing = counts(&[State::Failing]);
        assert_eq!(published(&readiness), (State::Degraded, failing));
        drop(b);
    });
}
