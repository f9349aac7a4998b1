use super::{Declaration, Membership, Moment, SubsystemMeters, SubsystemView};
use crate::state::{
    counts::Counts,
    text,
    vocabulary::{Claim, Role, State},
};
use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

pub(super) fn now() -> Moment {
    Moment {
        wall: SystemTime::now(),
        monotonic: Instant::now(),
    }
}

pub(super) fn declaration(role: Role, at_build: bool) -> Declaration {
    Declaration {
        name: "storage".into(),
        at_build,
        awaited: at_build && role == Role::Required,
        ttl: None,
        hold_down: None,
        ready_within: None,
        check: None,
        meters: SubsystemMeters::default(),
    }
}

pub(super) fn declared(
    role: Role,
    vital: bool,
    declaration: Declaration,
    at: Moment,
) -> SubsystemView {
    let membership = Membership {
        declaration: Arc::new(declaration),
        role,
        vital,
        scopes: Box::default(),
    };
    SubsystemView::declared(membership, at)
}

pub(super) fn view(role: Role, vital: bool, at_build: bool) -> SubsystemView {
    declared(role, vital, declaration(role, at_build), now()).with_claim(Claim::Held)
}

pub(super) fn counts(view: &SubsystemView) -> (State, Option<&str>) {
    (view.state(), view.reason())
}

pub(super) fn in_state(view: &SubsystemView, state: State) -> SubsystemView {
    view.report(state, None, now())
}

const DOWN: [State; 4] = [State::Starting, State::Failing, State::Stale, State::Dead];

#[test]
fn a_required_subsystem_holds_up_the_start_and_fails_while_down() {
    let view = view(Role::Required, false, true);
    for state in DOWN {
        let effect = in_state(&view, state).effect_on_process();
        assert_eq!((effect.absent, effect.failing), (1, 1), "{state}");
        assert_eq!(effect.vital_dead, 0, "{state}");
    }
    assert_eq!(
        in_state(&view, State::Ready).effect_on_process(),
        Counts::default()
    );
    let degraded = in_state(&view, State::Degraded).effect_on_process();
    assert_eq!((degraded.degraded, degraded.absent), (1, 0));
}

#[test]
fn a_shared_subsystem_is_awaited_once_and_only_degrades_afterwards() {
    let view = view(Role::Shared, false, true);
    for state in DOWN {
        let before = in_state(&view, state).effect_on_process();
        assert_eq!((before.awaited, before.absent, before.failing), (1, 0, 0));
        let up = in_state(&view, State::Degraded);
        let after = in_state(&up, state).effect_on_process();
        assert_eq!((after.awaited, after.degraded, after.failing), (0, 1, 0));
    }
}

#[test]
fn an_optional_subsystem_only_degrades() {
    let view = view(Role::Optional, false, true);
    for state in DOWN {
        let effect = in_state(&view, state).effect_on_process();
        let only_degrades = Counts {
            degraded: 1,
            ..Counts::default()
        };
        assert_eq!(effect, only_degrades, "{state}");
    }
}

#[test]
fn an_informative_subsystem_never_counts() {
    for at_build in [true, false] {
        let declaration = Declaration {
            check: Some(AssertUnwindSafe(Arc::new(()))),
            ..declaration(Role::Informative, at_build)
        };
        let view = declared(Role::Informative, false, declaration, now());
        for state in DOWN.into_iter().chain([State::Ready, State::Degraded]) {
            let effect = in_state(&view, state).effect_on_process();
            assert_eq!(effect, Counts::default(), "{state}");
        }
    }
}

#[test]
fn a_vital_subsystem_turns_liveness_red_when_dead_or_stale_and_not_when_failing() {
    let view = view(Role::Required, true, true);
    for (state, kills) in [
        (State::Starting, 0),
        (State::Failing, 0),
        (State::Stale, 1),
        (State::Dead, 1),
    ] {
        assert_eq!(
            in_state(&view, state).effect_on_process().vital_dead,
            kills,
            "{state}"
        );
    }
}

#[test]
fn a_subsystem_added_while_running_is_pending_until_first_up_and_then_counts() {
    let view = view(Role::Required, true, false);
    assert!(view.is_pending());
    for state in DOWN {
        let effect = in_state(&view, state).effect_on_process();
        assert_eq!(
            (effect.degraded, effect.failing, effect.vital_dead),
            (1, 0, 0)
        );
    }
    let up = in_state(&view, State::Ready);
    assert!(!up.is_pending());
    let down = in_state(&up, State::Dead).effect_on_process();
    assert_eq!((down.failing, down.absent, down.vital_dead), (1, 0, 1));
}

#[test]
fn every_role_counts_inside_a_named_scope() {
    for role in Role::ALL {
        let view = view(*role, false, true);
        for state in DOWN {
            let effect = in_state(&view, state).effect_on_scope();
            assert_eq!((effect.absent, effect.failing), (1, 1), "{role} {state}");
        }
    }
}

#[test]
fn a_dropped_reporter_never_leaves_green_and_never_improves_on_dead() {
    let plain = in_state(&view(Role::Required, false, true), State::Ready);
    let dropped = plain.drop_reporter(false, now());
    let hint = "reporter dropped; was ready; keep the reporter, or call leave_ready()";
    assert_eq!(counts(&dropped), (State::Failing, Some(hint)));
    assert_eq!(dropped.claim(), Claim::Dropped);

    let vital = in_state(&view(Role::Required, true, true), State::Ready);
    let dropped = vital.drop_reporter(false, now());
    assert_eq!(counts(&dropped), (State::Dead, Some(hint)));

    let dead = plain.report(State::Dead, Some("disk gone"), now());
    let dropped = dead.drop_reporter(false, now());
    let reason = "reporter dropped; last report: disk gone";
    assert_eq!(counts(&dropped), (State::Dead, Some(reason)));
    let again = dropped.drop_reporter(false, now());
    assert_eq!(
        counts(&again),
        (State::Dead, Some(reason)),
        "it does not grow"
    );

    let endless = "x".repeat(text::MAX_BYTES);
    let dead = plain.report(State::Dead, Some(&endless), now());
    let reason = dead.drop_reporter(false, now());
    assert_eq!(reason.reason().map(str::len), Some(text::MAX_BYTES));
}

#[test]
fn a_reporter_dropped_while_draining_changes_no_state() {
    for vital in [false, true] {
        let ready = in_state(&view(Role::Required, vital, true), State::Ready);
        let dropped = ready.drop_reporter(true, now());
        assert_eq!(dropped.state(), State::Ready);
        assert_eq!(dropped.claim(), Claim::Dropped);
    }
}

#[test]
fn transitions_and_since_follow_the_state_and_not_the_reason() {
    let starting = view(Role::Required, false, true);
    let later = Moment {
        wall: SystemTime::now(),
        monotonic: starting.since.monotonic + Duration::from_secs(5),
    };
    let failing = starting.report(State::Failing, Some("one"), later);
    assert_eq!(failing.transitions(), 1);
    assert_eq!(failing.age(later.monotonic), Duration::ZERO);

    let even_later = Moment {
        monotonic: later.monotonic + Duration::from_secs(5),
        ..later
    };
    let same = failing.report(State::Failing, Some("two"), even_later);
    assert_eq!(same.transitions(), 1);
    assert_eq!(same.age(even_later.monotonic), Duration::from_secs(5));
}

#[test]
fn the_last_attribute_removed_leaves_none() {
    let view = view(Role::Required, false, true);
    let view = view.with_attribute("version", "7").unwrap().unwrap();
    assert!(view.with_attribute("version", "7").unwrap().is_none());
    assert_eq!(view.attribute("version"), Some("7"));
    assert_eq!(view.attributes().collect::<Vec<_>>(), [("version", "7")]);
    let view = view.without_attribute("version").unwrap();
    assert_eq!(view.attributes().count(), 0);
    assert!(view.without_attribute("version").is_none());
}

// === staleness ===

#[test]
fn the_last_report_counts_again_after_staleness() {
    let degraded = view(Role::Required, false, true).report(State::Degraded, Some("slow"), now());
    let silent = degraded.become_stale(Duration::from_secs(5), now());
    let reason = "silent for 5s; last report: degraded (slow)";
    assert_eq!(counts(&silent), (State::Stale, Some(reason)));
    assert_eq!(silent.damped(), None, "nothing is damped");
    assert!(
        !silent.is_repeat(State::Degraded, Some("slow")),
        "the report is new"
    );
    let again = silent.end_staleness(now()).unwrap();
    assert_eq!(counts(&again), (State::Degraded, Some("slow")));
    assert!(again.end_staleness(now()).is_none());
    assert!(again.is_repeat(State::Degraded, Some("slow")));
}

#[test]
fn the_ttl_applies_after_a_report_while_a_reporter_holds_the_subsystem() {
    let declaration = Declaration {
        ttl: Some(Duration::from_secs(1)),
        ..declaration(Role::Required, true)
    };
    let unclaimed = declared(Role::Required, false, declaration, now());
    let claimed = unclaimed.with_claim(Claim::Held);
    let reported = claimed.report(State::Starting, None, now());
    let dropped = reported.drop_reporter(false, now());
    let again = dropped.with_claim(Claim::Held);
    let left = reported.leave_ready(now());
    let awaits = |view: &SubsystemView| view.active_ttl().is_some();
    assert_eq!(
        [&unclaimed, &claimed, &reported, &dropped, &again, &left].map(awaits),
        [false, false, true, false, false, false]
    );
    // The first report is new even if it repeats the initial state.
    assert!(!claimed.is_repeat(State::Starting, None));
}
