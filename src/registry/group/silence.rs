use std::time::{Duration, Instant};

/// Finds the members that are silent for longer than the ttl.
pub(super) struct Silence {
    ttl: Duration,
    /// When the members are looked at next. `None` without members.
    next: Option<Instant>,
    /// The silence before this moment does not count.
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
    /// If this comes late, the process was stopped, and each member gets one more ttl.
    /// Only the first of several times in a row counts as late, since otherwise a runtime
    /// that is always late would hide every silence. A test that has paused the clock is
    /// never late.
    pub(super) fn limit(&mut self, now: Instant, is_paused: bool) -> Option<Instant> {
        let planned = self.next.filter(|next| *next <= now)?;
        self.next = Some(now + self.interval());
        let is_late = !is_paused && now.saturating_duration_since(planned) > self.interval();
        if is_late && !self.was_late {
            self.spared = Some(now);
        }
        self.was_late = is_late;
        let is_over = |spared: &Instant| now.saturating_duration_since(*spared) >= self.ttl;
        self.spared = self.spared.filter(|spared| !is_over(spared));
        match self.spared {
            Some(_) => None,
            None => now.checked_sub(self.ttl),
        }
    }

    /// Ends until a member reports again.
    pub(super) fn end(&mut self) {
        self.next = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(8);

    #[test]
    fn the_members_are_looked_at_four_times_in_a_ttl() {
        let base = Instant::now() + TTL;
        let mut silence = Silence::new(TTL);
        assert_eq!(silence.limit(base, false), None, "there is no member");
        assert_eq!(silence.begin(base), Some(base + TTL / 4));
        assert_eq!(silence.begin(base), None);
        assert_eq!(silence.limit(base, false), None, "it is too early");
        let now = base + TTL / 4;
        assert_eq!(silence.limit(now, false), Some(now - TTL));
        assert_eq!(silence.due(), Some(now + TTL / 4));
    }

    #[test]
    fn after_a_stop_each_member_gets_one_more_ttl() {
        let base = Instant::now() + TTL;
        let late = base + TTL * 10;
        let at = |quarter| late + TTL / 4 * quarter;
        let mut silence = Silence::new(TTL);
        silence.begin(base);
        for quarter in 0..4 {
            assert_eq!(silence.limit(at(quarter), false), None, "{quarter}");
        }
        assert_eq!(silence.limit(at(4), false), Some(late));

        let mut silence = Silence::new(TTL);
        silence.begin(base);
        assert_eq!(
            silence.limit(late, true),
            Some(late - TTL),
            "a paused clock"
        );
    }

    #[test]
    fn a_runtime_that_is_always_late_hides_no_silence() {
        let base = Instant::now() + TTL;
        let mut silence = Silence::new(TTL);
        silence.begin(base);
        let limits = (1..=4).map(|time| silence.limit(base + TTL * time, false).is_some());
        assert_eq!(limits.collect::<Vec<_>>(), [false, true, true, true]);
    }
}
