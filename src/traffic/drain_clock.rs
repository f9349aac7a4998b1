use super::plans::{PlanId, Plans, Times};
use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering},
};
use tokio::time::{Duration, Instant};

/// Records the times between the call to drain and the end of the process, and
/// the requests that arrive between them.
#[derive(Debug)]
pub(crate) struct DrainClock {
    since: OnceLock<Instant>,
    plans: Plans,
    /// How long after `since` an arrival is late, in nanoseconds; `u64::MAX`
    /// without a plan. A copy of the value in `plans`, so that requests take no
    /// lock.
    late_after: AtomicU64,
    late: AtomicU64,
    /// How long after `since` the last request arrived, in nanoseconds plus 1; zero
    /// if no request has.
    last: AtomicU64,
    closing_since: OnceLock<Instant>,
}

impl Default for DrainClock {
    fn default() -> Self {
        Self {
            since: OnceLock::new(),
            plans: Plans::default(),
            late_after: AtomicU64::new(u64::MAX),
            late: AtomicU64::new(0),
            last: AtomicU64::new(0),
            closing_since: OnceLock::new(),
        }
    }
}

impl DrainClock {
    /// Adds a plan for the end of the process, until it is
    /// [withdrawn](Self::withdraw).
    pub(crate) fn plan(&self, times: Times) -> PlanId {
        let id = self.plans.add(times);
        self.copy_late_after();
        id
    }

    /// Withdraws a plan, because its shutdown was dropped.
    ///
    /// While the process drains, the plan stays in force as long as no other
    /// shutdown has a plan: a server that ended has dropped its shutdown, and the
    /// process waits for the remaining requests until the cap. Once the process
    /// closes, the plan stays in force.
    pub(crate) fn withdraw(&self, id: PlanId) {
        if self.closing_since.get().is_some() {
            return;
        }
        if self.since.get().is_some() {
            self.plans.abandon(id);
        } else {
            self.plans.remove(id);
        }
        self.copy_late_after();
    }

    fn copy_late_after(&self) {
        let late_after = self.plans.times().map(|times| nanos(times.late_after));
        self.late_after
            .store(late_after.unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Records the beginning of the drain. Later calls have no effect.
    pub(crate) fn begin(&self, now: Instant) {
        let _ = self.since.set(now);
    }

    pub(crate) fn since(&self) -> Option<Instant> {
        self.since.get().copied()
    }

    /// Records a request that was admitted, if the process drains.
    pub(crate) fn arrived(&self) {
        let Some(since) = self.since() else { return };
        let after = nanos(since.elapsed());
        self.last
            .fetch_max(after.saturating_add(1), Ordering::Relaxed);
        if after >= self.late_after.load(Ordering::Relaxed) {
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

    /// Records when the server was asked to stop accepting. Later calls have no
    /// effect.
    pub(crate) fn close(&self, now: Instant) {
        let _ = self.closing_since.set(now);
    }

    /// The latest end of the process, if there is a plan.
    #[cfg(all(unix, feature = "systemd"))]
    pub(crate) fn over_at_latest(&self) -> Option<Instant> {
        let open = || {
            let times = self.plans.times()?;
            Some(self.since()? + times.longest_delay + times.cap)
        };
        self.cut_off().or_else(open)
    }

    /// When the requests still in flight are cut off. `None` without a plan, and
    /// until the process closes.
    pub(crate) fn cut_off(&self) -> Option<Instant> {
        let closing_since = self.closing_since.get()?;
        Some(*closing_since + self.plans.times()?.cap)
    }

    /// How long a server with nothing in flight has to end once the process is
    /// closed, if there is a plan.
    pub(crate) fn idle_grace(&self) -> Option<Duration> {
        Some(self.plans.times()?.idle_grace)
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

    const LATE_AFTER_FOUR: Times = Times {
        late_after: Duration::from_secs(4),
        longest_delay: Duration::from_secs(5),
        cap: Duration::from_secs(20),
        idle_grace: Duration::ZERO,
    };

    #[tokio::test(start_paused = true)]
    async fn arrivals_are_late_from_the_planned_time_on() {
        let clock = DrainClock::default();
        clock.arrived();
        assert_eq!(clock.last_arrival(), None, "not draining yet");

        clock.begin(Instant::now());
        clock.plan(LATE_AFTER_FOUR);
        advance(Duration::from_millis(3_999)).await;
        clock.arrived();
        assert_eq!(clock.late_arrivals(), 0);
        advance(Duration::from_millis(1)).await;
        clock.arrived();
        assert_eq!(clock.late_arrivals(), 1);
        assert_eq!(clock.last_arrival(), Some(Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_beginning_changes_nothing() {
        let clock = DrainClock::default();
        let first = Instant::now();
        clock.begin(first);
        advance(Duration::from_secs(1)).await;
        clock.begin(Instant::now());
        assert_eq!(clock.since(), Some(first));
    }

    #[tokio::test(start_paused = true)]
    async fn a_plan_can_be_withdrawn_until_the_process_closes() {
        let end = |cap| Instant::now() + Duration::from_secs(cap);
        let plan = |clock: &DrainClock, cap| {
            clock.plan(Times {
                cap: Duration::from_secs(cap),
                ..LATE_AFTER_FOUR
            })
        };
        // Before the drain, a withdrawn plan does not count.
        let clock = DrainClock::default();
        clock.withdraw(plan(&clock, 100));
        clock.begin(Instant::now());
        advance(Duration::from_secs(60)).await;
        clock.arrived();
        assert_eq!(clock.late_arrivals(), 0);
        clock.close(Instant::now());
        assert_eq!((clock.cut_off(), clock.idle_grace()), (None, None));

        // While draining, another plan replaces it.
        let clock = DrainClock::default();
        let first = plan(&clock, 100);
        plan(&clock, 2);
        clock.begin(Instant::now());
        clock.withdraw(first);
        clock.close(Instant::now());
        assert_eq!(clock.cut_off(), Some(end(2)));

        // While draining, it counts without another plan.
        let clock = DrainClock::default();
        let only = plan(&clock, 100);
        clock.begin(Instant::now());
        clock.withdraw(only);
        clock.close(Instant::now());
        assert_eq!(clock.cut_off(), Some(end(100)));

        // While closing, it counts.
        let clock = DrainClock::default();
        let first = plan(&clock, 100);
        plan(&clock, 2);
        clock.begin(Instant::now());
        clock.close(Instant::now());
        clock.withdraw(first);
        assert_eq!(clock.cut_off(), Some(end(100)));
    }
}
