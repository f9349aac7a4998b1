use crate::registry::timer::{Caller, Reading};
use std::time::{Duration, Instant};

/// Finds the members that are silent for longer than the ttl.
pub(super) struct Silence {
    ttl: Duration,
    /// When the members are looked at next. `None` without members.
    next: Option<Instant>,
    /// The silence before this moment does not count. `None` after a look at which all
    /// silence counted.
    spared: Option<Instant>,
    was_late: bool,
}

impl Silence {
    pub(super) fn new(ttl: Duration) -> Self {
        Self {
            ttl,
            next: None,
            spared: None,
            was_late: false,
        }
    }

    /// How often the members are looked at.
    fn interval(&self) -> Duration {
        self.ttl / 4
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.next
    }

    /// Begins to look at the members. Returns when, unless that is planned already.
    pub(super) fn begin(&mut self, at: Instant) -> Option<Instant> {
        match self.next {
            Some(_) => None,
            None => {
                self.next = Some(at + self.interval());
                self.next
            }
        }
    }

    /// Returns the moment since which a member has to be heard, if the members have to be
    /// looked at now, and plans the next time.
    ///
    /// If this comes late, the process was stopped, and each member gets one more ttl. The
    /// members get it once: until it is over, only the time by which the timer is late does
    /// not count, and then all silence does, since otherwise a runtime that is often late
    /// would hide every silence. A test that has paused the clock is never late.
    pub(super) fn limit(&mut self, reading: Reading, caller: Caller) -> Option<Instant> {
        let now = reading.now;
        let next = self.next.filter(|next| *next <= now)?;
        self.next = Some(now + self.interval());
        let planned = match caller {
            // The timer thread leaves the timer task time.
            Caller::Thread { planned } => planned.max(next),
            Caller::TtlTimer | Caller::Reader => next,
        };
        let late = now.saturating_duration_since(planned);
        let is_late = !reading.is_paused && late > self.interval();
        if is_late {
            match &mut self.spared {
                None if self.was_late => {}
                None => self.spared = Some(now),
                // A reader comes at any time.
                Some(_) if caller == Caller::Reader => {}
                Some(spared) => *spared += late,
            }
        }
        self.was_late = is_late;
        let is_over = |spared: &Instant| now.saturating_duration_since(*spared) >= self.ttl;
        self.spared = self.spared.filter(|spared| !is_over(spared));
        match self.spared {
            Some(_) => None,
            None => now.checked_sub(self.ttl),
        }
    }

    /// Ends until a member reports again. Looks that were late by then do not count.
    pub(super) fn end(&mut self) {
        *self = Self::new(self.ttl);
    }
}

#[cfg(all(test, not(tower_readiness_loom)))]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(8);

    fn at(now: Instant) -> Reading {
        Reading {
            now,
            real: now,
            is_paused: false,
        }
    }

    /// A group whose first member reports at the returned time.
    fn begun() -> (Silence, Instant) {
        let base = Instant::now() + TTL;
        let mut silence = Silence::new(TTL);
        silence.begin(base);
        (silence, base)
    }

    /// The intervals after which a member is found that is silent from the start on, if the
    /// members are looked at after each of `looks`.
    fn found(looks: impl Iterator<Item = u32>, caller: Caller) -> Option<u32> {
        let (mut silence, base) = begun();
        let mut look = |number| silence.limit(at(base + TTL / 4 * number), caller);
        looks
            .take(100)
            .find(|number| look(*number).is_some_and(|limit| limit >= base))
    }

    #[test]
    fn the_members_are_looked_at_four_times_in_a_ttl() {
        let base = Instant::now() + TTL;
        let mut silence = Silence::new(TTL);
        let limit = |silence: &mut Silence, now| silence.limit(at(now), Caller::TtlTimer);
        assert_eq!(limit(&mut silence, base), None, "there is no member");
        assert_eq!(silence.begin(base), Some(base + TTL / 4));
        assert_eq!(silence.begin(base), None);
        assert_eq!(limit(&mut silence, base), None, "it is too early");
        let now = base + TTL / 4;
        assert_eq!(limit(&mut silence, now), Some(now - TTL));
        assert_eq!(silence.due(), Some(now + TTL / 4));
    }

    #[test]
    fn after_a_stop_each_member_gets_one_more_ttl() {
        for caller in [Caller::TtlTimer, Caller::Reader] {
            let (mut silence, base) = begun();
            let late = base + TTL * 10;
            let quarter = |quarter| late + TTL / 4 * quarter;
            for number in 0..4 {
                let limit = silence.limit(at(quarter(number)), caller);
                assert_eq!(limit, None, "{number}");
            }
            assert_eq!(silence.limit(at(quarter(4)), caller), Some(late));
        }
        let (mut silence, base) = begun();
        let late = base + TTL * 10;
        let reading = Reading {
            is_paused: true,
            ..at(late)
        };
        let limit = silence.limit(reading, Caller::TtlTimer);
        assert_eq!(limit, Some(late - TTL), "a paused clock");
    }

    #[test]
    fn the_time_of_a_second_stop_does_not_count() {
        let (mut silence, base) = begun();
        let mut limit = |now| silence.limit(at(now), Caller::TtlTimer);
        let first = base + TTL * 10;
        let second = first + TTL * 10;
        assert_eq!(limit(first), None);
        assert_eq!(limit(first + TTL / 4), None);
        assert_eq!(limit(second), None, "half of the ttl is left");
        assert_eq!(limit(second + TTL / 4), None);
        assert_eq!(limit(second + TTL / 2), Some(second - TTL / 2));
    }

    #[test]
    fn a_stop_is_spared_although_a_look_was_late_before_all_members_left() {
        for looks in [1, 5] {
            let (mut silence, base) = begun();
            let late = base + TTL * 10;
            for number in 0..looks {
                silence.limit(at(late + TTL * number), Caller::TtlTimer);
            }
            silence.end();
            let joined = late + TTL * 100;
            silence.begin(joined);
            let stopped = joined + TTL * 10;
            let limit = silence.limit(at(stopped), Caller::TtlTimer);
            assert_eq!(limit, None, "after {looks} looks");
        }
    }

    #[test]
    fn a_look_is_late_by_more_than_an_interval() {
        let (mut silence, base) = begun();
        let now = base + TTL / 4 * 2;
        assert_eq!(silence.limit(at(now), Caller::TtlTimer), Some(now - TTL));
    }

    #[test]
    fn a_reader_that_comes_late_gives_no_more_time() {
        let (mut silence, base) = begun();
        let late = base + TTL * 10;
        let mut look = |quarters| silence.limit(at(late + TTL / 4 * quarters), Caller::Reader);
        assert_eq!([0, 3, 4].map(&mut look), [None, None, Some(late)]);
    }

    #[test]
    fn a_runtime_that_is_always_late_is_spared_once() {
        let (mut silence, base) = begun();
        let mut look = |number| silence.limit(at(base + TTL * number), Caller::TtlTimer);
        let found = (1..100).map(|number| look(number).is_some());
        let found = found.skip_while(|is_found| !is_found);
        let found: Vec<_> = found.collect();
        assert!(found.len() > 50 && found.iter().all(|is_found| *is_found));
    }

    #[test]
    fn a_runtime_that_is_often_late_hides_no_silence() {
        for caller in [Caller::TtlTimer, Caller::Reader] {
            // Intervals between two looks.
            for pattern in [&[4][..], &[4, 1], &[1, 4], &[4, 1, 1], &[10, 3], &[1, 1, 3]] {
                let looks = pattern.iter().cycle().scan(0, |sum, step| {
                    *sum += step;
                    Some(*sum)
                });
                let found = found(looks, caller);
                assert!(found.is_some(), "{pattern:?} of {caller:?}");
            }
        }
    }

    #[test]
    fn the_timer_thread_is_late_by_its_own_plan() {
        let (mut silence, base) = begun();
        let next = base + TTL / 4;
        let planned = next + TTL / 2;
        let limit = silence.limit(at(planned), Caller::Thread { planned });
        assert_eq!(limit, Some(planned - TTL));
        // It planned to come for another deadline.
        let late = planned + TTL * 10;
        let limit = silence.limit(at(late), Caller::Thread { planned });
        assert_eq!(limit, None);
    }
}
