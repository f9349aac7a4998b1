use super::{
    super::tests::{counts, declaration, declared, in_state, now, view},
    DampingProgress,
};
use crate::state::{
    counts::Counts,
    view::{Declaration, Moment, SubsystemView, Thresholds},
    vocabulary::{Claim, Phase, Role, State},
};
use std::{num::NonZeroU32, panic::AssertUnwindSafe, sync::Arc, time::Duration};

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
    assert!(still.pass_time(Phase::Started, almost).is_none());
    let counts_now = still
        .pass_time(Phase::Started, after(at, HOLD_DOWN))
        .unwrap();
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
        check: Some(AssertUnwindSafe(Arc::new(()))),
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
fn a_report_that_repeats_a_result_from_before_its_claim_is_no_repeat() {
    let checked = checked().check(State::Ready, None, Thresholds::FIRST, now());
    assert!(checked.is_repeat(State::Ready, None));
    let claimed = checked.with_claim(Claim::Held);
    assert!(!claimed.is_repeat(State::Ready, None));
    // A result of a run that has begun before the report is discarded by this number.
    let reported = claimed.report(State::Ready, None, now());
    assert_ne!(reported.pushes(), claimed.pushes());
}

#[test]
fn silence_makes_no_result_count_that_did_not() {
    let thresholds = thresholds(3, 3);
    let up = checked().check(State::Ready, None, thresholds, now());
    let down = up.report(State::Failing, Some("reset"), now());
    for (view, result) in [(&up, State::Failing), (&down, State::Ready)] {
        let damped = view.check(result, Some("once"), thresholds, now());
        let stale = damped.become_stale(HOLD_DOWN, now());
        let recovered = stale.end_staleness(now()).unwrap();
        assert_eq!(counts(&recovered), counts(view));
    }
}

#[test]
fn a_subsystem_that_was_down_before_its_silence_needs_as_many_successes() {
    let thresholds = thresholds(3, 3);
    let check = |view: &SubsystemView, state| view.check(state, None, thresholds, now());
    let silent = |view: &SubsystemView| view.become_stale(HOLD_DOWN, now());
    let up = check(&checked(), State::Ready);
    let down = up.report(State::Failing, Some("reset"), now());

    let once = check(&silent(&down), State::Ready);
    assert_eq!(counts(&once), (State::Failing, Some("reset")));
    let twice = check(&once, State::Ready);
    assert_eq!(counts(&twice), (State::Failing, Some("reset")));
    assert_eq!(check(&twice, State::Ready).state(), State::Ready);
    let was_up = check(&silent(&up), State::Ready);
    assert_eq!(was_up.state(), State::Ready);
    let damped = up.check(State::Failing, Some("reset"), thresholds, now());
    let silent_after = silent(&damped);
    let reason = silent_after.reason().unwrap();
    assert!(reason.ends_with("last report: failing (reset)"), "{reason}");
    let fails = check(&silent(&up), State::Failing);
    assert_eq!(fails.state(), State::Failing, "it is not up");
    let never_up = checked().report(State::Failing, None, now());
    let first = check(&silent(&never_up), State::Ready);
    assert_eq!(first.state(), State::Ready, "the first time");
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
        check: Some(AssertUnwindSafe(Arc::new(()))),
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
    let once = lost.check(State::Ready, None, thresholds(1, 2), now());
    assert!(once.damped().is_some());
    let again = lose(&once).unwrap();
    assert!(again.damped().is_none(), "its next success is the first");
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
        check: Some(AssertUnwindSafe(Arc::new(()))),
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
    let over = failing
        .pass_time(Phase::Started, after(at, HOLD_DOWN))
        .unwrap();
    assert!(!over.is_pending());
    assert_eq!(over.effect_on_process().failing, 1);
    assert_eq!(over.due(), None);
    let up = pending.report(State::Ready, None, at);
    assert_eq!(up.due(), None, "up in time");
}
