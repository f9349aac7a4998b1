use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering},
};
use tokio::time::{Duration, Instant};

/// What is known of the time between the call to drain and the end.
#[derive(Debug, Default)]
pub(crate) struct LameDuck {
    since: OnceLock<Instant>,
    /// How long after `since` an arrival is late, in nanoseconds.
    late_after: OnceLock<u64>,
    late: AtomicU64,
    /// How long after `since` the last request arrived, in nanoseconds and
    /// one more; zero if none has.
    last: AtomicU64,
    /// How long after `since` the server is told to stop accepting, at most.
    longest_delay: OnceLock<Duration>,
    closing_since: OnceLock<Instant>,
    /// How long after `closing_since` whoever still works is cut off.
    cap: OnceLock<Duration>,
}

impl LameDuck {
    /// The process begins to drain, if it does not drain already.
    pub(crate) fn begin(&self, now: Instant) {
        let _ = self.since.set(now);
    }

    pub(crate) fn since(&self) -> Option<Instant> {
        self.since.get().copied()
    }

    /// Arrivals count as late from this long after the beginning.
    pub(crate) fn late_after(&self, time: Duration) {
        let _ = self.late_after.set(nanos(time));
    }

    /// A request was admitted although the process drains.
    pub(crate) fn arrived(&self) {
        let Some(since) = self.since() else { return };
        let after = nanos(since.elapsed());
        self.last
            .fetch_max(after.saturating_add(1), Ordering::Relaxed);
        if self.late_after.get().is_some_and(|late| after >= *late) {
            self.late.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// When the last request was admitted while draining.
    pub(crate) fn last_arrival(&self) -> Option<Instant> {
        let after = self.last.load(Ordering::Relaxed).checked_sub(1)?;
        self.since()
            .map(|since| since + Duration::from_nanos(after))
    }

    pub(crate) fn late_arrivals(&self) -> u64 {
        self.late.load(Ordering::Relaxed)
    }

    /// The server is told to stop accepting, if it has not been.
    pub(crate) fn close(&self, now: Instant) {
        let _ = self.closing_since.set(now);
    }

    /// How long whoever still works then has.
    pub(crate) fn cap(&self, cap: Duration) {
        let _ = self.cap.set(cap);
    }

    /// How long it takes at most until the server is told to stop accepting.
    pub(crate) fn delayed_at_most(&self, longest: Duration) {
        let _ = self.longest_delay.set(longest);
    }

    /// When all of it is over at the latest, if somebody sees to that.
    #[cfg(all(unix, feature = "systemd"))]
    pub(crate) fn over_at_latest(&self) -> Option<Instant> {
        let open = || Some(self.since()? + *self.longest_delay.get()? + *self.cap.get()?);
        self.cut_off().or_else(open)
    }

    /// When whoever still works is cut off, if ever. Known once the process
    /// closes.
    pub(crate) fn cut_off(&self) -> Option<Instant> {
        let (since, cap) = (self.closing_since.get()?, self.cap.get()?);
        Some(*since + *cap)
    }
}

/// Six centuries fit.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    #[tokio::test(start_paused = true)]
    async fn arrivals_are_late_from_the_moment_that_was_set() {
        let duck = LameDuck::default();
        duck.arrived();
        assert_eq!(duck.last_arrival(), None, "not draining yet");

        duck.begin(Instant::now());
        duck.late_after(Duration::from_secs(4));
        advance(Duration::from_millis(3_999)).await;
        duck.arrived();
        assert_eq!(duck.late_arrivals(), 0);
        advance(Duration::from_millis(1)).await;
        duck.arrived();
        assert_eq!(duck.late_arrivals(), 1);
        assert_eq!(duck.last_arrival(), Some(Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_beginning_changes_nothing() {
        let duck = LameDuck::default();
        let first = Instant::now();
        duck.begin(first);
        advance(Duration::from_secs(1)).await;
        duck.begin(Instant::now());
        assert_eq!(duck.since(), Some(first));
    }
}
