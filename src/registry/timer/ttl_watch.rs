use super::{Caller, Witness, heartbeat::Heartbeat};
use crate::state::Declaration;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How often the timer reads the heartbeat counter in a ttl.
const CHECKS_IN_A_TTL: u32 = 4;

/// How late the timer may be and still count as on time: tokio's timers have a
/// resolution of 1 ms.
const TIMER_SLACK: Duration = Duration::from_millis(2);

/// The deadlines of one subsystem: of its heartbeat, and of its view.
pub(super) struct TtlWatch {
    /// Identifies the subsystem, since another may take its slot later.
    pub(super) declaration: Arc<Declaration>,
    pub(super) heartbeat: Arc<Heartbeat>,
    /// When its view changes without a report.
    pub(super) due: Option<Instant>,
    /// Shows whether the runtime of the subsystem makes progress.
    pub(super) witness: Option<Witness>,
    silence: Option<Silence>,
}

/// The time since the last heartbeat.
#[derive(Debug)]
struct Silence {
    ttl: Duration,
    /// The last count of heartbeats, and since when it has not changed.
    seen: u64,
    since: Instant,
    /// When the ttl has passed.
    until: Instant,
    /// The last value of the witness.
    progress: Option<u64>,
    /// The ttl has passed, but the witness shows progress.
    late: bool,
    /// The subsystem got a new ttl once, and has sent no heartbeat since.
    spared: bool,
    /// The ttl has passed, and the subsystem is stale.
    over: bool,
}

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// No change.
    Nothing,
    /// The ttl has passed without a heartbeat since this count.
    Silence { lasted: Duration, seen: u64 },
    /// The ttl has passed without a heartbeat, while the witness shows progress.
    Late { lasted: Duration },
    /// A heartbeat after the ttl had passed.
    Recovered,
}

impl TtlWatch {
    pub(super) fn new(declaration: Arc<Declaration>) -> Self {
        Self {
            declaration,
            heartbeat: Arc::new(Heartbeat::new()),
            due: None,
            witness: None,
            silence: None,
        }
    }

    fn progress(&self) -> Option<u64> {
        self.witness.as_ref().map(|witness| witness())
    }

    /// Expects a heartbeat in every `ttl` from `now` on, unless it does already.
    /// Without a `ttl`, it expects none.
    ///
    /// `is_stale` is the published state. If the state was set to another since,
    /// this starts a new ttl; otherwise the next missing heartbeat would never be
    /// found.
    pub(super) fn set_ttl(&mut self, ttl: Option<Duration>, is_stale: bool, now: Instant) {
        let Some(ttl) = ttl else {
            self.silence = None;
            return;
        };
        if !is_stale {
            self.silence.take_if(|silence| silence.over);
        }
        let (seen, progress) = (self.heartbeat.count(), self.progress());
        let silence = self.silence.get_or_insert(Silence {
            ttl,
            seen,
            since: now,
            until: now + ttl,
            progress,
            late: false,
            spared: false,
            over: false,
        });
        silence.over |= is_stale;
    }

    /// Checks for a heartbeat, `late` after the planned time.
    pub(super) fn check(&mut self, now: Instant, late: Duration, caller: Caller) -> Finding {
        let (count, progress) = (self.heartbeat.count(), self.progress());
        let Some(silence) = &mut self.silence else {
            return Finding::Nothing;
        };
        if count != silence.seen {
            let was_over = silence.over;
            *silence = Silence {
                seen: count,
                since: now,
                until: now + silence.ttl,
                progress,
                late: false,
                spared: false,
                over: false,
                ..*silence
            };
            return if was_over {
                Finding::Recovered
            } else {
                Finding::Nothing
            };
        }
        if silence.progress != progress {
            let lasted = now.saturating_duration_since(silence.since);
            let news = silence.over || (lasted >= silence.ttl && !silence.late);
            *silence = Silence {
                until: now + silence.ttl,
                progress,
                late: silence.late || news,
                over: false,
                ..*silence
            };
            return if news {
                Finding::Late { lasted }
            } else {
                Finding::Nothing
            };
        }
        if silence.over {
            return Finding::Nothing;
        }
        // The silence may have begun after the planned time.
        let late = late.min(now.saturating_duration_since(silence.since));
        if late > silence.ttl / CHECKS_IN_A_TTL + TIMER_SLACK {
            // The caller is late because the process was stopped or the runtime
            // is starved, and the reporter may be late for the same reason. The
            // subsystem gets a new ttl, but only once, since otherwise a runtime
            // that is always late would hide every missing heartbeat. Afterwards
            // only the time by which the timer was late does not count. (A reader
            // is not late: it comes at any time.)
            if !silence.spared {
                silence.spared = true;
                silence.until = now + silence.ttl;
            } else if caller != Caller::Reader {
                silence.until += late;
            }
        }
        if now < silence.until {
            return Finding::Nothing;
        }
        silence.over = true;
        Finding::Silence {
            lasted: now.saturating_duration_since(silence.since),
            seen: silence.seen,
        }
    }

    /// When to check next, after a check at `now`.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        let check = self.silence.as_ref().map(|silence| {
            let check = now + silence.ttl / CHECKS_IN_A_TTL;
            if silence.over {
                check
            } else {
                check.min(silence.until)
            }
        });
        check.into_iter().chain(self.due).min()
    }
}

#[cfg(all(test, not(tower_readiness_loom)))]
mod tests {
    use super::*;
    use crate::state::Role;

    const TTL: Duration = Duration::from_secs(4);
    const ON_TIME: Duration = Duration::ZERO;
    const TIMER: Caller = Caller::TtlTimer;

    fn watch() -> (TtlWatch, Instant) {
        let declaration = Declaration {
            name: "storage".into(),
            role: Role::Required,
            vital: false,
            at_build: true,
            scopes: Box::default(),
            ttl: Some(TTL),
            hold_down: None,
            ready_within: None,
            checked: false,
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
        assert_eq!(watch.check(before, ON_TIME, TIMER), Finding::Nothing);
        assert_eq!(watch.next(before), Some(start + TTL));
        let silence = Finding::Silence {
            lasted: TTL,
            seen: 0,
        };
        assert_eq!(watch.check(start + TTL, ON_TIME, TIMER), silence);
        assert_eq!(
            watch.check(start + 2 * TTL, ON_TIME, TIMER),
            Finding::Nothing,
            "once"
        );
    }

    #[test]
    fn a_heartbeat_counts_from_when_the_timer_reads_it() {
        let (mut watch, start) = watch();
        watch.heartbeat.beat();
        assert_eq!(
            watch.check(start + seconds(1.0), ON_TIME, TIMER),
            Finding::Nothing
        );
        assert_eq!(
            watch.check(start + seconds(4.9), ON_TIME, TIMER),
            Finding::Nothing
        );
        let found = watch.check(start + seconds(5.0), ON_TIME, TIMER);
        assert!(matches!(found, Finding::Silence { lasted: TTL, .. }));
        watch.heartbeat.beat();
        assert_eq!(
            watch.check(start + seconds(6.0), ON_TIME, TIMER),
            Finding::Recovered
        );
        assert_eq!(
            watch.check(start + seconds(9.9), ON_TIME, TIMER),
            Finding::Nothing
        );
    }

    #[test]
    fn a_late_check_gives_one_more_ttl_and_no_more() {
        let (mut watch, start) = watch();
        let late = seconds(60.0);
        let woken = start + TTL / 4 + late;
        assert_eq!(watch.check(woken, late, TIMER), Finding::Nothing);
        assert_eq!(
            watch.check(woken + seconds(3.9), ON_TIME, TIMER),
            Finding::Nothing
        );
        let found = watch.check(woken + TTL, ON_TIME, TIMER);
        assert!(matches!(found, Finding::Silence { .. }));
        watch.heartbeat.beat();
        assert_eq!(
            watch.check(woken + 2 * TTL, ON_TIME, TIMER),
            Finding::Recovered
        );
        assert_eq!(
            watch.check(woken + 5 * TTL, late, TIMER),
            Finding::Nothing,
            "a new ttl"
        );
    }

    #[test]
    fn the_time_of_a_second_late_check_does_not_count() {
        let (mut watch, start) = watch();
        let late = seconds(60.0);
        let first = start + TTL / 4 + late;
        assert_eq!(watch.check(first, late, TIMER), Finding::Nothing);
        // A second later the check is late for the second time.
        let second = first + TTL / 4 + late;
        assert_eq!(watch.check(second, late, TIMER), Finding::Nothing);
        let rest = TTL * 3 / 4;
        let before = second + rest - seconds(0.1);
        assert_eq!(watch.check(before, ON_TIME, TIMER), Finding::Nothing);
        let found = watch.check(second + rest, ON_TIME, TIMER);
        assert!(matches!(found, Finding::Silence { .. }));
    }

    #[test]
    fn checks_that_are_always_late_still_find_a_missing_heartbeat() {
        let (mut watch, start) = watch();
        let (mut now, mut checks) = (start, 0);
        loop {
            let due = watch.next(now).unwrap();
            now = due + TTL;
            checks += 1;
            if watch.check(now, TTL, TIMER) != Finding::Nothing {
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
        assert_eq!(first, Finding::Nothing);
        let second = watch.check(start + 2 * every, every - TTL / 4, reader);
        assert!(matches!(second, Finding::Silence { .. }));
    }

    #[test]
    fn lateness_before_a_silence_gives_it_no_more_time() {
        let (mut watch, start) = watch();
        let late = seconds(60.0);
        for number in [1, 2] {
            // Both checks are for another deadline, which passed long ago.
            let found = watch.check(start + number * TIMER_SLACK, late, TIMER);
            assert_eq!(found, Finding::Nothing);
        }
        let found = watch.check(start + TTL, ON_TIME, TIMER);
        assert!(matches!(found, Finding::Silence { .. }));
    }

    #[test]
    fn a_slightly_late_timer_gives_no_more_time() {
        let (mut watch, start) = watch();
        let late = TTL / CHECKS_IN_A_TTL + TIMER_SLACK;
        let found = watch.check(start + TTL + late, late, TIMER);
        assert!(matches!(found, Finding::Silence { .. }));
    }

    #[test]
    fn setting_the_ttl_again_does_not_restart_it() {
        let (mut watch, start) = watch();
        watch.set_ttl(Some(TTL), false, start + seconds(3.0));
        let found = watch.check(start + TTL, ON_TIME, TIMER);
        assert!(matches!(found, Finding::Silence { .. }));
        watch.set_ttl(None, true, start + TTL);
        assert_eq!(watch.next(start + TTL), None);
    }

    #[test]
    fn a_state_set_without_a_heartbeat_does_not_hide_the_next_silence() {
        let (mut watch, start) = watch();
        let over = start + TTL;
        let silence = watch.check(over, ON_TIME, TIMER);
        assert!(matches!(silence, Finding::Silence { .. }));
        // First `stale` is published, then the state that was set since.
        watch.set_ttl(Some(TTL), true, over);
        assert_eq!(watch.check(over + TTL, ON_TIME, TIMER), Finding::Nothing);
        let set = over + 2 * TTL;
        watch.set_ttl(Some(TTL), false, set);
        let before = set + TTL - seconds(0.1);
        assert_eq!(watch.check(before, ON_TIME, TIMER), Finding::Nothing);
        let again = watch.check(set + TTL, ON_TIME, TIMER);
        assert!(matches!(again, Finding::Silence { lasted: TTL, .. }));
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
            findings.extend((found != Finding::Nothing).then_some((quarter, found)));
        }
        assert_eq!(findings, [(4, Finding::Late { lasted: TTL })], "once");
        let stalled = start + 4 * TTL;
        assert!(matches!(
            watch.check(stalled, ON_TIME, TIMER),
            Finding::Silence { .. }
        ));
        done.fetch_add(1, Ordering::Relaxed);
        let later = stalled + TTL / 4;
        let found = watch.check(later, ON_TIME, TIMER);
        assert!(matches!(found, Finding::Late { .. }), "it goes on");
        watch.heartbeat.beat();
        assert_eq!(watch.check(later, ON_TIME, TIMER), Finding::Nothing);
    }
}
