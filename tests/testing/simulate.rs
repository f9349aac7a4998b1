//! Simulated states.

use super::{SECOND, ready, state};
use std::{sync::mpsc, thread, time::Duration};
use tokio::time::{Instant, advance, sleep};
use tower_readiness::{
    Condition, Group, Readiness, Reporter, State, Subsystem, Transition, testing::SimulateError,
};

#[test]
fn a_simulated_state_counts_until_its_guard_is_dropped() {
    let (readiness, storage) = ready();
    let outage = readiness
        .simulate("storage", State::Failing, "a test")
        .unwrap();
    let simulated = (State::Failing, "simulated: a test".to_owned(), true);
    assert_eq!(state(&readiness), simulated);
    assert_eq!(readiness.verdict().condition(), Condition::Failing);
    assert!(!readiness.snapshot().scope("pages").unwrap().is_ready());
    assert!(readiness.verdict().has_started());

    storage.degraded("slow");
    storage.ready();
    assert_eq!(state(&readiness), simulated, "reports go on beside it");
    drop(outage);
    assert_eq!(state(&readiness), (State::Ready, String::new(), false));
    assert!(readiness.verdict().is_ready());
}

/// The conversion is code of the application.
#[test]
fn the_reason_may_be_made_by_code_that_reports() {
    struct Reporting(Reporter);
    impl AsRef<str> for Reporting {
        fn as_ref(&self) -> &str {
            self.0.failing("disk full");
            "a test"
        }
    }
    let (readiness, storage) = ready();
    let (done, simulated) = mpsc::channel();
    thread::spawn(move || {
        let reason = Reporting(storage);
        let guard = readiness.simulate("storage", State::Dead, &reason);
        done.send(state(&readiness)).unwrap();
        drop(guard);
    });
    let (found, reason, _) = simulated.recv_timeout(SECOND * 60).unwrap();
    assert_eq!(found, State::Dead);
    assert_eq!(reason, "simulated: a test");
}

#[test]
fn a_simulation_never_improves_on_a_report() {
    let (readiness, storage) = ready();
    let slow = readiness.simulate("storage", State::Degraded, "").unwrap();
    assert_eq!(
        state(&readiness),
        (State::Degraded, "simulated".to_owned(), true)
    );
    storage.failing("disk full");
    assert_eq!(
        state(&readiness),
        (State::Failing, "disk full".to_owned(), false)
    );
    drop(slow);
    assert_eq!(
        state(&readiness),
        (State::Failing, "disk full".to_owned(), false)
    );
    let ready = readiness.simulate("storage", State::Ready, "");
    assert_eq!(ready.unwrap_err(), SimulateError::Ready);
}

#[test]
fn the_worst_of_several_simulations_counts() {
    let (readiness, _storage) = ready();
    let failing = readiness
        .simulate("storage", State::Failing, "first")
        .unwrap();
    let dead = readiness
        .simulate("storage", State::Dead, "second")
        .unwrap();
    assert_eq!(state(&readiness).0, State::Dead);
    assert!(!readiness.verdict().is_live(), "it is vital");
    let degraded = readiness
        .simulate("storage", State::Degraded, "third")
        .unwrap();
    drop(dead);
    assert_eq!(
        state(&readiness),
        (State::Failing, "simulated: first".to_owned(), true)
    );
    drop(failing);
    assert_eq!(state(&readiness).0, State::Degraded);
    drop(degraded);
    assert_eq!(state(&readiness).0, State::Ready);
}

#[test]
fn the_history_has_the_begin_and_the_end_of_a_simulation() {
    let (readiness, storage) = ready();
    let before = readiness.history().len();
    let version = readiness.snapshot().version();
    let outage = readiness
        .simulate("storage", State::Failing, "a test")
        .unwrap();
    storage.degraded("slow");
    storage.ready();
    drop(outage);
    let storage = |it: &Transition| it.kind().name() == Some("storage");
    let all = readiness.history();
    let new: Vec<_> = all[before..].iter().filter(|it| storage(it)).collect();
    let words: Vec<_> = new
        .iter()
        .map(|it| (it.kind().words(), it.reason()))
        .collect();
    assert_eq!(
        words,
        [
            ((Some("ready"), Some("failing")), Some("simulated: a test")),
            ((Some("failing"), Some("ready")), None),
        ]
    );
    assert!(readiness.snapshot().version() > version);
}

#[test]
fn an_unknown_subsystem_cannot_be_simulated_and_a_late_guard_changes_nothing() {
    let (readiness, storage) = ready();
    let unknown = readiness.simulate("disk", State::Failing, "").unwrap_err();
    assert_eq!(
        unknown.to_string(),
        r#"there is no subsystem "disk"; there are: "storage", "search""#
    );

    let late = readiness.simulate("storage", State::Failing, "").unwrap();
    storage.retire();
    assert!(readiness.verdict().is_ready());
    let _new = readiness.add(Subsystem::new("storage")).unwrap();
    let version = readiness.snapshot().version();
    drop(late);
    assert_eq!(
        readiness.snapshot().version(),
        version,
        "another subsystem of this name"
    );

    let last = readiness.simulate("search", State::Failing, "").unwrap();
    drop(readiness);
    drop(last);
}

#[test]
fn of_equal_simulations_the_first_counts() {
    let (readiness, _storage) = ready();
    let simulate = |reason| {
        let guard = readiness.simulate("storage", State::Failing, reason);
        guard.unwrap()
    };
    let first = simulate("first");
    let second = simulate("second");
    assert_eq!(state(&readiness).1, "simulated: first");
    drop(first);
    assert_eq!(state(&readiness).1, "simulated: second");
    let third = simulate("third");
    assert_eq!(state(&readiness).1, "simulated: second");
    drop(second);
    assert_eq!(state(&readiness).1, "simulated: third");
    drop(third);
    assert!(readiness.verdict().is_ready());
}

#[tokio::test(start_paused = true)]
async fn a_report_beside_a_simulation_leaves_its_age_alone() {
    let (readiness, storage) = ready();
    let view = || readiness.snapshot().subsystem("storage").unwrap().clone();
    let age = || view().age(Instant::now().into_std());
    let outage = readiness.simulate("storage", State::Failing, "").unwrap();
    let transitions = view().transitions();
    advance(2 * SECOND).await;
    storage.degraded("slow");
    advance(SECOND).await;
    assert_eq!((age(), view().transitions()), (3 * SECOND, transitions));
    storage.dead("panicked");
    assert_eq!(age(), Duration::ZERO, "it is worse");
    storage.degraded("slow");
    advance(SECOND).await;
    drop(outage);
    assert_eq!(state(&readiness).0, State::Degraded);
    assert_eq!(
        (age(), view().transitions()),
        (Duration::ZERO, transitions + 3)
    );
}

/// A test of a start can report ready at once and hold up the rest.
#[test]
fn a_subsystem_has_not_been_up_before_its_simulation_ends() {
    let builder = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        .subsystem(Subsystem::new("database").shared());
    let readiness = builder.build().unwrap();
    let condition = || readiness.verdict().condition();
    let simulate = |name| readiness.simulate(name, State::Starting, "").unwrap();
    let (storage, database) = (simulate("storage"), simulate("database"));
    for name in ["storage", "database"] {
        readiness.reporter(name).unwrap().leave_ready();
    }
    assert!(!readiness.verdict().has_started());
    drop(storage);
    assert!(readiness.verdict().has_started());
    let been_up = || {
        let snapshot = readiness.snapshot();
        snapshot.subsystem("database").unwrap().has_been_up()
    };
    assert_eq!((condition(), been_up()), (Condition::Starting, false));
    drop(database);
    assert_eq!((condition(), been_up()), (Condition::Ready, true));
    let _again = simulate("database");
    assert_eq!(condition(), Condition::Degraded, "it has been up");
    let failing = readiness.simulate("storage", State::Starting, "").unwrap();
    assert_eq!(condition(), Condition::Failing, "it has been up");
    drop(failing);

    let late = readiness.add(Subsystem::new("late")).unwrap();
    let late_starts = simulate("late");
    late.ready();
    let is_pending = || {
        let snapshot = readiness.snapshot();
        snapshot.subsystem("late").unwrap().is_pending()
    };
    assert!(is_pending());
    drop(late_starts);
    assert!(!is_pending());
}

#[test]
fn a_group_is_simulated_as_a_whole_and_its_members_go_on() {
    let upstream = Group::new("upstream").failing_below(0.5);
    let builder = Readiness::builder().allow_empty().group(upstream);
    let readiness = builder.build().unwrap();
    let group = readiness.group("upstream").unwrap();
    let [first, second] = ["a:80", "b:80"].map(|name| group.add(name).unwrap());
    first.ready();
    second.ready();
    let outage = readiness.simulate("upstream", State::Failing, "a test");
    let view = || readiness.snapshot().subsystem("upstream").unwrap().clone();
    assert_eq!(view().state(), State::Failing);
    first.dead("gone");
    second.dead("gone");
    assert_eq!(view().members().unwrap().in_state(State::Dead), 2);
    first.ready();
    assert_eq!(view().reason(), Some("simulated: a test"));
    drop(outage);
    assert!(view().state().is_up(), "{:?}", view());
    let member = readiness.simulate("a:80", State::Failing, "");
    assert!(matches!(member, Err(SimulateError::Unknown { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_ttl_and_a_drop_of_the_reporter_go_on_beside_a_simulation() {
    let builder = Readiness::builder().subsystem(Subsystem::new("storage").ttl(8 * SECOND));
    let readiness = builder.build().unwrap();
    let storage = readiness.reporter("storage").unwrap();
    storage.ready();
    let stale = readiness.simulate("storage", State::Stale, "").unwrap();
    storage.heartbeat();
    sleep(7 * SECOND).await;
    let simulated = (State::Stale, "simulated".to_owned(), true);
    assert_eq!(state(&readiness), simulated, "a heartbeat does not end it");
    sleep(4 * SECOND).await;
    assert!(!state(&readiness).2, "{:?}", state(&readiness));
    drop(stale);
    assert_eq!(state(&readiness).0, State::Stale, "it has been silent");

    let failing = readiness.simulate("storage", State::Failing, "").unwrap();
    storage.ready();
    assert_eq!(state(&readiness).0, State::Failing);
    drop(storage);
    drop(failing);
    let (state, reason, _) = state(&readiness);
    assert_eq!(state, State::Failing);
    assert!(
        reason.starts_with("reporter dropped; was ready"),
        "{reason}"
    );
}
