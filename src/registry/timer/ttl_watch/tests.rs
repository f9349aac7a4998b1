use super::{super::frozen_process::TIMER_SLACK, *};
use crate::state::SubsystemMeters;

const TTL: Duration = Duration::from_secs(4);
const ON_TIME: Duration = Duration::ZERO;
const TIMER: Caller = Caller::TtlTimer;

fn watch() -> (TtlWatch, Instant) {
    let declaration = Declaration {
        name: "storage".into(),
        at_build: true,
        awaited: true,
        ttl: Some(TTL),
        hold_down: None,
        ready_within: None,
        check: None,
        meters: SubsystemMeters::default(),
    };
    let mut watch = TtlWatch::new(Arc::new(declaration));
    let now = Instant::now();
    watch.set_ttl(Some(TTL), false, now);
    (watch, now)
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

#[test]
fn the_ttl_passes_exactly_at_its_end() {
    let (mut watch, start) = watch();
    assert_eq!(watch.next(start), Some(start + TTL / 4));
    let before = start + seconds(3.9);
    assert_eq!(watch.check(before, ON_TIME, TIMER), None);
    assert_eq!(watch.next(before), Some(start + TTL));
    let silence = Some(TtlEvent::Silence {
        lasted: TTL,
        seen: 0,
    });
    assert_eq!(watch.check(start + TTL, ON_TIME, TIMER), silence);
    assert_eq!(watch.check(start + 2 * TTL, ON_TIME, TIMER), None, "once");
}

#[test]
fn a_heartbeat_counts_from_when_the_timer_reads_it() {
    let (mut watch, start) = watch();
    watch.heartbeat.beat();
    assert_eq!(watch.check(start + seconds(1.0), ON_TIME, TIMER), None);
    assert_eq!(watch.check(start + seconds(4.9), ON_TIME, TIMER), None);
    let found = watch.check(start + seconds(5.0), ON_TIME, TIMER);
    assert!(matches!(found, Some(TtlEvent::Silence { lasted: TTL, .. })));
    watch.heartbeat.beat();
    assert_eq!(
        watch.check(start + seconds(6.0), ON_TIME, TIMER),
        Some(TtlEvent::Recovered)
    );
    assert_eq!(watch.check(start + seconds(9.9), ON_TIME, TIMER), None);
    let again = watch.check(start + seconds(10.0), ON_TIME, TIMER);
    assert!(matches!(again, Some(TtlEvent::Silence { lasted: TTL, .. })));
}

#[test]
fn a_subsystem_that_is_stale_recovers_by_a_heartbeat_alone() {
    let (mut watch, start) = watch();
    watch.set_ttl(None, false, start);
    watch.set_ttl(Some(TTL), true, start);
    assert_eq!(watch.check(start + 2 * TTL, ON_TIME, TIMER), None);
    watch.heartbeat.beat();
    let found = watch.check(start + 3 * TTL, ON_TIME, TIMER);
    assert_eq!(found, Some(TtlEvent::Recovered));
}

#[test]
fn a_late_check_gives_one_more_ttl_and_no_more() {
    let (mut watch, start) = watch();
    let late = seconds(60.0);
    let woken = start + TTL / 4 + late;
    assert_eq!(watch.check(woken, late, TIMER), None);
    assert_eq!(watch.check(woken + seconds(3.9), ON_TIME, TIMER), None);
    let found = watch.check(woken + TTL, ON_TIME, TIMER);
    assert!(matches!(found, Some(TtlEvent::Silence { .. })));
    watch.heartbeat.beat();
    assert_eq!(
        watch.check(woken + 2 * TTL, ON_TIME, TIMER),
        Some(TtlEvent::Recovered)
    );
    // More than by this check's lateness: the time since the heartbeat is five ttls.
    let found = watch.check(woken + 7 * TTL, 2 * TTL, TIMER);
    assert_eq!(found, None, "a new ttl");
}

#[test]
fn the_time_of_a_second_late_check_does_not_count() {
    let (mut watch, start) = watch();
    let late = seconds(60.0);
    let first = start + TTL / 4 + late;
    assert_eq!(watch.check(first, late, TIMER), None);
    // A second later the check is late for the second time.
    let second = first + TTL / 4 + late;
    assert_eq!(watch.check(second, late, TIMER), None);
    let rest = TTL * 3 / 4;
    let before = second + rest - seconds(0.1);
    assert_eq!(watch.check(before, ON_TIME, TIMER), None);
    let found = watch.check(second + rest, ON_TIME, TIMER);
    assert!(matches!(found, Some(TtlEvent::Silence { .. })));
}

#[test]
fn checks_that_are_always_late_still_find_a_missing_heartbeat() {
    let (mut watch, start) = watch();
    let (mut now, mut checks) = (start, 0);
    loop {
        let due = watch.next(now).unwrap();
        now = due + TTL;
        checks += 1;
        if watch.check(now, TTL, TIMER).is_some() {
            break;
        }
    }
    assert_eq!(
        checks,
        1 + CHECKS_IN_A_TTL,
        "one more ttl, of the time that counts"
    );
}

#[test]
fn only_the_first_late_reader_gives_more_time() {
    let (mut watch, start) = watch();
    let (every, reader) = (seconds(10.0), Caller::Reader);
    let first = watch.check(start + every, every - TTL / 4, reader);
    assert_eq!(first, None);
    let second = watch.check(start + 2 * every, every - TTL / 4, reader);
    assert!(matches!(second, Some(TtlEvent::Silence { .. })));
}

#[test]
fn lateness_before_a_silence_gives_it_no_more_time() {
    let (mut watch, start) = watch();
    let late = seconds(60.0);
    for number in [1, 2] {
        // Both checks are for another deadline, which passed long ago.
        let found = watch.check(start + number * TIMER_SLACK, late, TIMER);
        assert_eq!(found, None);
    }
    let found = watch.check(start + TTL, ON_TIME, TIMER);
    assert!(matches!(found, Some(TtlEvent::Silence { .. })));
}

#[test]
fn a_slightly_late_timer_gives_no_more_time() {
    let (mut watch, start) = watch();
    let late = TTL / CHECKS_IN_A_TTL + TIMER_SLACK;
    let found = watch.check(start + TTL + late, late, TIMER);
    assert!(matches!(found, Some(TtlEvent::Silence { .. })));
}

#[test]
fn setting_the_ttl_again_does_not_restart_it() {
    let (mut watch, start) = watch();
    watch.set_ttl(Some(TTL), false, start + seconds(3.0));
    let found = watch.check(start + TTL, ON_TIME, TIMER);
    assert!(matches!(found, Some(TtlEvent::Silence { .. })));
    watch.set_ttl(None, true, start + TTL);
    assert_eq!(watch.next(start + TTL), None);
}

#[test]
fn a_state_set_without_a_heartbeat_does_not_hide_the_next_silence() {
    let (mut watch, start) = watch();
    let over = start + TTL;
    let silence = watch.check(over, ON_TIME, TIMER);
    assert!(matches!(silence, Some(TtlEvent::Silence { .. })));
    // First `stale` is published, then the state that was set since.
    watch.set_ttl(Some(TTL), true, over);
    assert_eq!(watch.check(over + TTL, ON_TIME, TIMER), None);
    let set = over + 2 * TTL;
    watch.set_ttl(Some(TTL), false, set);
    let before = set + TTL - seconds(0.1);
    assert_eq!(watch.check(before, ON_TIME, TIMER), None);
    let again = watch.check(set + TTL, ON_TIME, TIMER);
    assert!(matches!(again, Some(TtlEvent::Silence { lasted: TTL, .. })));
}

#[test]
fn a_silence_is_late_and_not_over_while_its_witness_shows_progress() {
    use std::sync::atomic::{AtomicU64, Ordering};

    let (mut watch, start) = watch();
    let done = Arc::new(AtomicU64::new(0));
    let shown = Arc::clone(&done);
    watch.witness = Some(Arc::new(move || shown.load(Ordering::Relaxed)));
    watch.set_ttl(None, false, start);
    watch.set_ttl(Some(TTL), false, start);
    let mut findings = Vec::new();
    for quarter in 1..=12 {
        done.fetch_add(1, Ordering::Relaxed);
        let found = watch.check(start + TTL / 4 * quarter, ON_TIME, TIMER);
        findings.extend(found.is_some().then_some((quarter, found)));
    }
    assert_eq!(
        findings,
        [(4, Some(TtlEvent::Late { lasted: TTL }))],
        "once"
    );
    let stalled = start + 4 * TTL;
    assert_eq!(watch.check(stalled - seconds(0.1), ON_TIME, TIMER), None);
    assert!(matches!(
        watch.check(stalled, ON_TIME, TIMER),
        Some(TtlEvent::Silence { .. })
    ));
    done.fetch_add(1, Ordering::Relaxed);
    let later = stalled + TTL / 4;
    let found = watch.check(later, ON_TIME, TIMER);
    assert!(matches!(found, Some(TtlEvent::Late { .. })), "it goes on");
    watch.heartbeat.beat();
    done.fetch_add(1, Ordering::Relaxed);
    assert_eq!(watch.check(later, ON_TIME, TIMER), None);
    // A heartbeat begins a silence anew, with the progress of that time.
    done.fetch_add(1, Ordering::Relaxed);
    let found = watch.check(later + TTL, ON_TIME, TIMER);
    assert_eq!(found, Some(TtlEvent::Late { lasted: TTL }));
    watch.heartbeat.beat();
    done.fetch_add(1, Ordering::Relaxed);
    assert_eq!(watch.check(later + TTL, ON_TIME, TIMER), None);
    let found = watch.check(later + 2 * TTL, ON_TIME, TIMER);
    assert!(matches!(found, Some(TtlEvent::Silence { lasted: TTL, .. })));
}
