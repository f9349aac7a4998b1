use super::{
    DampingProgress, Declaration, Membership, Moment, SubsystemMeters, SubsystemView, Thresholds,
};
use crate::state::{
    counts::Counts,
    text,
    vocabulary::{Claim, Role, State},
};
use std::{
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

fn now() -> Moment {
    Moment {
        wall: SystemTime::now(),
        monotonic: Instant::now(),
    }
}

fn declaration(role: Role, at_build: bool) -> Declaration {
    Declaration {
        name: "storage".into(),
        at_build,
        awaited: at_build && role == Role::Required,
        ttl: None,
        hold_down: None,
        ready_within: None,
        checked: false,
        meters: SubsystemMeters::default(),
    }
}

fn declared(role: Role, vital: bool, declaration: Declaration, at: Moment) -> SubsystemView {
    let membership = Membership {
        declaration: Arc::new(declaration),
        role,
        vital,
        scopes: Box::default(),
    };
    SubsystemView::declared(membership, at)
}

fn view(role: Role, vital: bool, at_build: bool) -> SubsystemView {
    declared(role, vital, declaration(role, at_build), now()).with_claim(Claim::Held)
}

fn counts(view: &SubsystemView) -> (State, Option<&str>) {
    (view.state(), view.reason())
}

fn in_state(view: &SubsystemView, state: State) -> SubsystemView {
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
            checked: true,
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

// === damping ===

const HOLD_DOWN: Duration = Duration::from_secs(10);

fn held_down() -> SubsystemView {
    let declaration = Declaration {
        hold_down: Some(HOLD_DOWN),
        ..declaration(Role::Required, true)
    };
    declared(Role::Required, false, declaration, now()).with_claim(Claim::Held)
}

fn after(at: Moment, time: Duration) -> Moment {
    Moment {
        monotonic: at.monotonic + time,
        ..at
    }
}

#[test]
fn a_report_of_being_down_counts_only_when_it_has_lasted() {
    let at = now();
    let up = held_down().report(State::Ready, None, at);
    assert_eq!(up.state(), State::Ready, "the first ready is not damped");
    let down = up.report(State::Failing, Some("flap"), at);
    assert_eq!(down.state(), State::Ready);
    let damped = down.damped().unwrap();
    assert_eq!(
        (damped.state(), damped.reason()),
        (State::Failing, Some("flap"))
    );
    let until = at.monotonic + HOLD_DOWN;
    assert_eq!(damped.progress(), DampingProgress::Until(until));
    assert_eq!(down.due(), Some(until));
    assert!(down.effect_on_process() == Counts::default());

    // Still down, for another reason: the time goes on.
    let later = after(at, Duration::from_secs(6));
    let still = down.report(State::Starting, Some("reconnecting"), later);
    assert_eq!(still.due(), Some(until));
    let almost = after(at, HOLD_DOWN - Duration::from_nanos(1));
    assert!(still.pass_time(almost).is_none());
    let counts_now = still.pass_time(after(at, HOLD_DOWN)).unwrap();
    assert_eq!(counts(&counts_now), (State::Starting, Some("reconnecting")));
    assert_eq!((counts_now.due(), counts_now.damped()), (None, None));
    assert_eq!(counts_now.transitions(), up.transitions() + 1);
}

#[test]
fn a_flap_that_is_over_in_time_never_counts() {
    let at = now();
    let up = held_down().report(State::Ready, None, at);
    let back = up.report(State::Failing, None, at).report(
        State::Degraded,
        Some("slow"),
        after(at, HOLD_DOWN / 2),
    );
    assert_eq!(back.state(), State::Degraded);
    assert_eq!((back.due(), back.damped()), (None, None));
}

#[test]
fn dead_dropped_and_stale_are_never_held_down() {
    let up = held_down().report(State::Ready, None, now());
    for view in [up.clone(), up.report(State::Failing, Some("flap"), now())] {
        assert_eq!(view.report(State::Dead, None, now()).state(), State::Dead);
        assert_eq!(view.drop_reporter(false, now()).state(), State::Failing);
        let silent = view.become_stale(HOLD_DOWN, now());
        assert_eq!((silent.state(), silent.due()), (State::Stale, None));
    }
    let never_up = held_down().report(State::Failing, None, now());
    assert_eq!(never_up.state(), State::Failing, "it is not up anyway");
}

#[test]
fn a_repeated_report_changes_nothing_while_it_is_held_down() {
    let down =
        held_down()
            .report(State::Ready, None, now())
            .report(State::Failing, Some("flap"), now());
    assert!(down.is_repeat(State::Failing, Some("flap")));
    assert!(!down.is_repeat(State::Ready, None));
}

fn thresholds(failures: u32, successes: u32) -> Thresholds {
    let number = |number| NonZeroU32::new(number).unwrap();
    Thresholds {
        failures: number(failures),
        successes: number(successes),
    }
}

fn checked() -> SubsystemView {
    let declaration = Declaration {
        checked: true,
        ..declaration(Role::Required, true)
    };
    declared(Role::Required, false, declaration, now())
}

#[test]
fn a_check_has_to_find_the_same_several_times_in_a_row() {
    let thresholds = thresholds(3, 2);
    let find = |view: &SubsystemView, up: bool| {
        let state = if up { State::Ready } else { State::Failing };
        view.check(state, None, thresholds, now())
    };
    let shown = |view: &SubsystemView| {
        let damped = view.damped();
        let damped = damped.map(|it| match it.progress() {
            DampingProgress::Count { count, needed } => format!("{} {count}/{needed}", it.state()),
            DampingProgress::Until(_) => panic!("checks count"),
        });
        (view.state(), damped.unwrap_or_default())
    };
    let mut view = checked();
    for (up, state, damped) in [
        (false, State::Failing, ""), // not up anyway
        (true, State::Ready, ""),    // the first time
        (false, State::Ready, "failing 1/3"),
        (false, State::Ready, "failing 2/3"),
        (true, State::Ready, ""), // not in a row
        (false, State::Ready, "failing 1/3"),
        (false, State::Ready, "failing 2/3"),
        (false, State::Failing, ""),
        (false, State::Failing, ""),
        (true, State::Failing, "ready 1/2"),
        (false, State::Failing, ""),
        (true, State::Failing, "ready 1/2"),
        (true, State::Ready, ""),
    ] {
        view = find(&view, up);
        assert_eq!(shown(&view), (state, damped.to_owned()));
    }
}

#[test]
fn a_report_beside_a_check_counts_at_once() {
    let up = checked().check(State::Ready, None, thresholds(3, 3), now());
    let damped = up.check(State::Failing, Some("timeout"), thresholds(3, 3), now());
    assert!(!damped.is_repeat(State::Failing, Some("timeout")));
    let reported = damped.report(State::Failing, Some("timeout"), now());
    assert_eq!(reported.state(), State::Failing);
    assert_ne!(reported.pushes(), damped.pushes());
    assert_eq!(
        up.pushes(),
        damped.pushes(),
        "a result of a check is no push"
    );
}

#[test]
fn any_report_counts_as_one_also_after_the_next_claim() {
    let check = |view: &SubsystemView, state| view.check(state, None, Thresholds::FIRST, now());
    let (reported, was_up) = (
        in_state(&view(Role::Required, false, true), State::Starting),
        check(&checked(), State::Ready),
    );
    for (view, has_reported) in [
        (checked(), false),
        (checked().with_claim(Claim::Held), false),
        (check(&checked(), State::Starting), true),
        (reported.with_claim(Claim::Held), true),
        (was_up.with_claim(Claim::Held), true),
    ] {
        assert_eq!(view.has_reported(), has_reported, "{view:?}");
    }
}

#[test]
fn a_lost_check_fails_and_hides_no_worse_state() {
    let declaration = || Declaration {
        checked: true,
        ttl: Some(Duration::from_secs(1)),
        ..declaration(Role::Required, true)
    };
    let unclaimed = || declared(Role::Required, false, declaration(), now());
    let check = |view: &SubsystemView, state| view.check(state, None, Thresholds::FIRST, now());
    let lose = |view: &SubsystemView| view.lose_check("panicked", now());

    let up = check(&unclaimed(), State::Ready);
    let lost = lose(&up).unwrap();
    assert_eq!(counts(&lost), (State::Failing, Some("panicked")));
    assert!(lose(&lost).is_none(), "it is known");
    let dead = check(&up, State::Dead);
    let stale = up.become_stale(Duration::from_secs(1), now());
    assert!(lose(&dead).is_none() && lose(&stale).is_none());

    // A reporter goes on where there is one.
    let held = check(&unclaimed().with_claim(Claim::Held), State::Ready);
    let has_ttl = |view: &SubsystemView| view.active_ttl().is_some();
    assert!(has_ttl(&up) && !has_ttl(&lost));
    assert!(has_ttl(&held) && has_ttl(&lose(&held).unwrap()));
}

#[test]
fn a_check_that_agrees_with_a_report_does_not_delay_it() {
    let declaration = Declaration {
        checked: true,
        hold_down: Some(HOLD_DOWN),
        ..declaration(Role::Required, true)
    };
    let at = now();
    let up = declared(Role::Required, false, declaration, at).report(State::Ready, None, at);
    let down = up.report(State::Failing, Some("reset"), at);
    let until = Some(at.monotonic + HOLD_DOWN);
    let agreed = down.check(State::Failing, Some("timeout"), thresholds(3, 1), at);
    assert_eq!((agreed.due(), agreed.state()), (until, State::Ready));
    let back = down.check(State::Ready, None, thresholds(3, 1), at);
    assert_eq!(
        (back.due(), back.damped()),
        (None, None),
        "a success of the check ends the damping"
    );
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

// === pending ===

#[test]
fn a_subsystem_added_while_running_counts_once_its_time_is_over() {
    let at = now();
    let declaration = Declaration {
        ready_within: Some(HOLD_DOWN),
        ..declaration(Role::Required, false)
    };
    let pending = declared(Role::Required, false, declaration, at).with_claim(Claim::Held);
    let failing = pending.report(State::Failing, Some("no route"), at);
    assert_eq!(failing.effect_on_process().failing, 0);
    let over = failing.pass_time(after(at, HOLD_DOWN)).unwrap();
    assert!(!over.is_pending());
    assert_eq!(over.effect_on_process().failing, 1);
    assert_eq!(over.due(), None);
    let up = pending.report(State::Ready, None, at);
    assert_eq!(up.due(), None, "up in time");
}
