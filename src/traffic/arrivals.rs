use crate::sync::{AtomicU64, OnceLock, Ordering};
use tokio::time::{Duration, Instant};

/// The part of a delay that has to pass without a request: its last fifth.
pub(crate) fn quiet(delay: Duration) -> Duration {
    delay / 5
}

/// Counts the requests that are admitted while the process drains.
#[derive(Debug)]
pub(crate) struct Arrivals {
    /// When the drain began.
    since: OnceLock<Instant>,
    /// The planned delay of the drain in nanoseconds, in whose [`quiet`] part an arrival is
    /// late; `u64::MAX` if none is planned.
    delay: AtomicU64,
    late: AtomicU64,
    /// How many requests were admitted.
    admitted: AtomicU64,
    /// How long after `since` the last request arrived, in nanoseconds plus 1; zero
    /// if no request has.
    last: AtomicU64,
}

impl Default for Arrivals {
    fn default() -> Self {
        Self {
            since: OnceLock::new(),
            delay: AtomicU64::new(u64::MAX),
            late: AtomicU64::new(0),
            admitted: AtomicU64::new(0),
            last: AtomicU64::new(0),
        }
    }
}

impl Arrivals {
    /// Records the beginning of the drain. Later calls have no effect.
    pub(crate) fn begin(&self, now: Instant) {
        let _ = self.since.set(now);
    }

    /// When the drain began.
    pub(crate) fn since(&self) -> Option<Instant> {
        self.since.get().copied()
    }

    /// Sets the planned delay of the drain.
    pub(crate) fn set_delay(&self, delay: Option<Duration>) {
        let delay = delay.map_or(u64::MAX, nanos);
        self.delay.store(delay, Ordering::Relaxed);
    }

    /// The planned delay of the drain, without a lock, since requests ask for it.
    pub(crate) fn delay(&self) -> Option<Duration> {
        let delay = self.delay.load(Ordering::Relaxed);
        (delay < u64::MAX).then(|| Duration::from_nanos(delay))
    }

    /// Records a request that was admitted, if the process drains.
    pub(crate) fn record(&self) {
        let Some(since) = self.since() else { return };
        self.admitted.fetch_add(1, Ordering::Relaxed);
        let after = nanos(since.elapsed());
        self.last
            .fetch_max(after.saturating_add(1), Ordering::Relaxed);
        let late_after = self.delay().map(|delay| nanos(delay - quiet(delay)));
        if late_after.is_some_and(|late_after| after >= late_after) {
            self.late.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// When the last request was admitted while draining.
    pub(crate) fn last(&self) -> Option<Instant> {
        let after = self.last.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.since()? + Duration::from_nanos(after))
    }

    /// How many requests were admitted since the drain began.
    #[cfg(feature = "tracing")]
    pub(crate) fn admitted(&self) -> u64 {
        self.admitted.load(Ordering::Relaxed)
    }

    /// How many requests were late.
    pub(crate) fn late(&self) -> u64 {
        self.late.load(Ordering::Relaxed)
    }
}

/// The time in nanoseconds. A `u64` holds 584 years.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    #[tokio::test(start_paused = true)]
    async fn arrivals_are_late_in_the_last_fifth_of_the_delay() {
        let arrivals = Arrivals::default();
        arrivals.record();
        assert_eq!(arrivals.last(), None, "not draining yet");

        arrivals.begin(Instant::now());
        arrivals.set_delay(Some(Duration::from_secs(5)));
        advance(Duration::from_millis(3_999)).await;
        arrivals.record();
        assert_eq!(arrivals.late(), 0);
        advance(Duration::from_millis(1)).await;
        arrivals.record();
        assert_eq!(arrivals.late(), 1);
        assert_eq!(arrivals.last(), Some(Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_beginning_changes_nothing() {
        let arrivals = Arrivals::default();
        let first = Instant::now();
        arrivals.begin(first);
        advance(Duration::from_secs(1)).await;
        arrivals.begin(Instant::now());
        assert_eq!(arrivals.since(), Some(first));
    }
}
