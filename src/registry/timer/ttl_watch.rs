use super::{Caller, Witness, heartbeat::Heartbeat};
use crate::state::Declaration;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How often a silence is looked at within the time that it may take.
const LOOKS: u32 = 4;

/// What a timer may be late by without anything being wrong: tokio's have
/// milliseconds.
const TIMER_SLACK: Duration = Duration::from_millis(2);

/// What is known of the time of one subsystem: whether it lives, and when time
/// alone will change it.
pub(super) struct TtlWatch {
    /// Tells it from another one that stands in the same slot later.
    pub(super) declaration: Arc<Declaration>,
    pub(super) heartbeat: Arc<Heartbeat>,
    /// When its view will change by itself.
    pub(super) due: Option<Instant>,
    /// Shows whether anything goes on where the subsystem lives.
    pub(super) witness: Option<Witness>,
    silence: Option<Silence>,
}

/// A silence that is being listened to.
#[derive(Debug)]
struct Silence {
    ttl: Duration,
    /// The last count that was seen, and since when it has been that.
    seen: u64,
    since: Instant,
    /// When it has lasted for too long.
    until: Instant,
    /// What the witness showed last.
    progress: Option<u64>,
    /// The witness alone has kept it from being over.
    late: bool,
    /// It was given its time anew once, and has not been heard since.
    spared: bool,
    /// It has lasted for too long.
    over: bool,
}

/// What a look came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// Nothing new.
    Nothing,
    /// Nothing since this count, for too long.
    Silence { lasted: Duration, seen: u64 },
    /// Nothing for too long, while its witness shows that something goes on.
    Late { lasted: Duration },
    /// A sign of life, after a silence that was too long.
    Life,
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

    /// Listens from `now` on, for signs of life that are `ttl` apart at most,
    /// unless it does already; or no longer.
    ///
    /// `is_stale` is what is published. A silence that is over must not outlive
    /// a state that was set since, by whatever means: it would never be found
    /// again.
    pub(super) fn listen(&mut self, ttl: Option<Duration>, is_stale: bool, now: Instant) {
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

    /// Looks whether it lives, `late` after the moment that was meant for it.
    pub(super) fn look(&mut self, now: Instant, late: Duration, caller: Caller) -> Heard {
        let (count, progress) = (self.heartbeat.count(), self.progress());
        let Some(silence) = &mut self.silence else {
            return Heard::Nothing;
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
                Heard::Life
            } else {
                Heard::Nothing
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
                Heard::Late { lasted }
            } else {
                Heard::Nothing
            };
        }
        if silence.over {
            return Heard::Nothing;
        }
        // It may have begun since.
        let late = late.min(now.saturating_duration_since(silence.since));
        if late > silence.ttl / LOOKS + TIMER_SLACK {
            // Whoever looks has been held up, by a stopped process or a
            // starved runtime, and so may have been who was to be heard. It is
            // given all of its time anew; once, or a runtime that is always late
            // would hide every silence. After that only the time does not count
            // for which a keeper was held up. (A reader that comes late may just
            // not have come sooner.)
            if !silence.spared {
                silence.spared = true;
                silence.until = now + silence.ttl;
            } else if caller != Caller::Reader {
                silence.until += late;
            }
        }
        if now < silence.until {
            return Heard::Nothing;
        }
        silence.over = true;
        Heard::Silence {
            lasted: now.saturating_duration_since(silence.since),
            seen: silence.seen,
        }
    }

    /// When to look next, after a look at `now`.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        let look = self.silence.as_ref().map(|silence| {
            let look = now + silence.ttl / LOOKS;
            if silence.over {
                look
            } else {
                look.min(silence.until)
            }
        });
        look.into_iter().chain(self.due).min()
    }
}

#[cfg(all(test, not(tower_readiness_loom)))]
mod tests {
    use super::*;
    use crate::state::Role;

    const TTL: Duration = Duration::from_secs(4);
    const ON_TIME: Duration = Duration::ZERO;
    const KEEPER: Caller = Caller::TtlTimer;

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
        watch.listen(Some(TTL), false, now);
        (watch, now)
    }

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn a_silence_is_over_the_limit_at_the_limit() {
        let (mut watch, start) = watch();
        assert_eq!(watch.next(start), Some(start + TTL / 4));
        let before = start + seconds(3.9);
        assert_eq!(watch.look(before, ON_TIME, KEEPER), Heard::Nothing);
        assert_eq!(watch.next(before), Some(start + TTL));
        let silence = Heard::Silence {
            lasted: TTL,
            seen: 0,
        };
        assert_eq!(watch.look(start + TTL, ON_TIME, KEEPER), silence);
        assert_eq!(
            watch.look(start + 2 * TTL, ON_TIME, KEEPER),
            Heard::Nothing,
            "once"
        );
    }

    #[test]
    fn a_beat_counts_from_when_it_was_seen() {
        let (mut watch, start) = watch();
        watch.heartbeat.beat();
        assert_eq!(
            watch.look(start + seconds(1.0), ON_TIME, KEEPER),
            Heard::Nothing
        );
        assert_eq!(
            watch.look(start + seconds(4.9), ON_TIME, KEEPER),
            Heard::Nothing
        );
        let look = watch.look(start + seconds(5.0), ON_TIME, KEEPER);
        assert!(matches!(look, Heard::Silence { lasted: TTL, .. }));
        watch.heartbeat.beat();
        assert_eq!(
            watch.look(start + seconds(6.0), ON_TIME, KEEPER),
            Heard::Life
        );
        assert_eq!(
            watch.look(start + seconds(9.9), ON_TIME, KEEPER),
            Heard::Nothing
        );
    }

    #[test]
    fn whoever_looks_too_late_gives_one_more_ttl_and_no_more() {
        let (mut watch, start) = watch();
        let late = seconds(60.0);
        let woken = start + TTL / 4 + late;
        assert_eq!(watch.look(woken, late, KEEPER), Heard::Nothing);
        assert_eq!(
            watch.look(woken + seconds(3.9), ON_TIME, KEEPER),
            Heard::Nothing
        );
        let look = watch.look(woken + TTL, ON_TIME, KEEPER);
        assert!(matches!(look, Heard::Silence { .. }));
        watch.heartbeat.beat();
        assert_eq!(watch.look(woken + 2 * TTL, ON_TIME, KEEPER), Heard::Life);
        assert_eq!(
            watch.look(woken + 5 * TTL, late, KEEPER),
            Heard::Nothing,
            "anew"
        );
    }

    #[test]
    fn being_held_up_again_does_not_count_either() {
        let (mut watch, start) = watch();
        let late = seconds(60.0);
        let first = start + TTL / 4 + late;
        assert_eq!(watch.look(first, late, KEEPER), Heard::Nothing);
        // A second later it is held up for the second time.
        let second = first + TTL / 4 + late;
        assert_eq!(watch.look(second, late, KEEPER), Heard::Nothing);
        let rest = TTL * 3 / 4;
        let before = second + rest - seconds(0.1);
        assert_eq!(watch.look(before, ON_TIME, KEEPER), Heard::Nothing);
        let look = watch.look(second + rest, ON_TIME, KEEPER);
        assert!(matches!(look, Heard::Silence { .. }));
    }

    #[test]
    fn always_being_held_up_hides_no_silence() {
        let (mut watch, start) = watch();
        let (mut now, mut looks) = (start, 0);
        loop {
            let due = watch.next(now).unwrap();
            now = due + TTL;
            looks += 1;
            if watch.look(now, TTL, KEEPER) != Heard::Nothing {
                break;
            }
        }
        assert_eq!(looks, 1 + LOOKS, "one more ttl, of time that counts");
    }

    #[test]
    fn only_the_first_reader_that_comes_late_gives_more_time() {
        let (mut watch, start) = watch();
        let (every, reader) = (seconds(10.0), Caller::Reader);
        let first = watch.look(start + every, every - TTL / 4, reader);
        assert_eq!(first, Heard::Nothing);
        let second = watch.look(start + 2 * every, every - TTL / 4, reader);
        assert!(matches!(second, Heard::Silence { .. }));
    }

    #[test]
    fn what_was_late_before_a_silence_gives_it_no_more_time() {
        let (mut watch, start) = watch();
        let late = seconds(60.0);
        for look in [1, 2] {
            // Both look at something else that has been due for long.
            let look = watch.look(start + look * TIMER_SLACK, late, KEEPER);
            assert_eq!(look, Heard::Nothing);
        }
        let look = watch.look(start + TTL, ON_TIME, KEEPER);
        assert!(matches!(look, Heard::Silence { .. }));
    }

    #[test]
    fn a_timer_that_is_a_little_late_gives_nothing() {
        let (mut watch, start) = watch();
        let late = TTL / LOOKS + TIMER_SLACK;
        let look = watch.look(start + TTL + late, late, KEEPER);
        assert!(matches!(look, Heard::Silence { .. }));
    }

    #[test]
    fn listening_again_is_not_listening_anew() {
        let (mut watch, start) = watch();
        watch.listen(Some(TTL), false, start + seconds(3.0));
        let look = watch.look(start + TTL, ON_TIME, KEEPER);
        assert!(matches!(look, Heard::Silence { .. }));
        watch.listen(None, true, start + TTL);
        assert_eq!(watch.next(start + TTL), None);
    }

    #[test]
    fn a_state_that_was_set_without_a_beat_does_not_hide_the_next_silence() {
        let (mut watch, start) = watch();
        let over = start + TTL;
        let silence = watch.look(over, ON_TIME, KEEPER);
        assert!(matches!(silence, Heard::Silence { .. }));
        // What is published of it follows, and then what was set since.
        watch.listen(Some(TTL), true, over);
        assert_eq!(watch.look(over + TTL, ON_TIME, KEEPER), Heard::Nothing);
        let set = over + 2 * TTL;
        watch.listen(Some(TTL), false, set);
        let before = set + TTL - seconds(0.1);
        assert_eq!(watch.look(before, ON_TIME, KEEPER), Heard::Nothing);
        let again = watch.look(set + TTL, ON_TIME, KEEPER);
        assert!(matches!(again, Heard::Silence { lasted: TTL, .. }));
    }

    #[test]
    fn a_silence_is_late_and_not_over_while_its_witness_shows_progress() {
        use std::sync::atomic::{AtomicU64, Ordering};

        let (mut watch, start) = watch();
        let done = Arc::new(AtomicU64::new(0));
        let shown = Arc::clone(&done);
        watch.witness = Some(Arc::new(move || shown.load(Ordering::Relaxed)));
        watch.listen(None, false, start);
        watch.listen(Some(TTL), false, start);
        let mut heard = Vec::new();
        for quarter in 1..=12 {
            done.fetch_add(1, Ordering::Relaxed);
            let look = watch.look(start + TTL / 4 * quarter, ON_TIME, KEEPER);
            heard.extend((look != Heard::Nothing).then_some((quarter, look)));
        }
        assert_eq!(heard, [(4, Heard::Late { lasted: TTL })], "once");
        let stalled = start + 4 * TTL;
        assert!(matches!(
            watch.look(stalled, ON_TIME, KEEPER),
            Heard::Silence { .. }
        ));
        done.fetch_add(1, Ordering::Relaxed);
        let later = stalled + TTL / 4;
        let look = watch.look(later, ON_TIME, KEEPER);
        assert!(matches!(look, Heard::Late { .. }), "it goes on");
        watch.heartbeat.beat();
        assert_eq!(watch.look(later, ON_TIME, KEEPER), Heard::Nothing);
    }
}
