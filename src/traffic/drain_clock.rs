use super::plans::{PlanId, Plans, Times};
use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering},
};
use tokio::time::{Duration, Instant};

/// What is known of the time between the call to drain and the end.
#[derive(Debug)]
pub(crate) struct DrainClock {
    since: OnceLock<Instant>,
    plans: Plans,
    /// How long after `since` an arrival is late, in nanoseconds; `u64::MAX`
    /// where there is no plan. A copy, for requests take no lock.
    late_after: AtomicU64,
    late: AtomicU64,
    /// How long after `since` the last request arrived, in nanoseconds and
    /// one more; zero if none has.
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
    /// Plans the end of the process, until that is [withdrawn](Self::withdraw).
    pub(crate) fn plan(&self, times: Times) -> PlanId {
        let id = self.plans.add(times);
        self.copy_late_after();
        id
    }

    /// The shutdown that had this plan is no longer there to see to it.
    ///
    /// In a process that drains, the plan counts on unless another shutdown has
    /// one: a server that ended has dropped its shutdown, and what it left
    /// behind is still waited for until the cap. In one that closes, the plan
    /// has been carried out so far, and the rest of it stands.
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

    /// The process begins to drain, if it does not drain already.
    pub(crate) fn begin(&self, now: Instant) {
        let _ = self.since.set(now);
    }

    pub(crate) fn since(&self) -> Option<Instant> {
        self.since.get().copied()
    }

    /// A request was admitted although the process drains.
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

    /// The server is told to stop accepting, if it has not been.
    pub(crate) fn close(&self, now: Instant) {
        let _ = self.closing_since.set(now);
    }

    /// When all of it is over at the latest, if there is a plan.
    #[cfg(all(unix, feature = "systemd"))]
    pub(crate) fn over_at_latest(&self) -> Option<Instant> {
        let open = || {
            let times = self.plans.times()?;
            Some(self.since()? + times.longest_delay + times.cap)
        };
        self.cut_off().or_else(open)
    }

    /// When what is still in flight is cut off, if ever. Known once the process
    /// closes.
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

/// Six centuries fit.
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
    async fn arrivals_are_late_from_the_moment_that_was_set() {
        let duck = DrainClock::default();
        duck.arrived();
        assert_eq!(duck.last_arrival(), None, "not draining yet");

        duck.begin(Instant::now());
        duck.plan(LATE_AFTER_FOUR);
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
        let duck = DrainClock::default();
        let first = Instant::now();
        duck.begin(first);
        advance(Duration::from_secs(1)).await;
        duck.begin(Instant::now());
        assert_eq!(duck.since(), Some(first));
    }

    #[tokio::test(start_paused = true)]
    async fn a_plan_can_be_withdrawn_until_the_process_closes() {
        let end = |cap| Instant::now() + Duration::from_secs(cap);
        let plan = |duck: &DrainClock, cap| {
            duck.plan(Times {
                cap: Duration::from_secs(cap),
                ..LATE_AFTER_FOUR
            })
        };
        // Before the drain: as if there had been none.
        let duck = DrainClock::default();
        duck.withdraw(plan(&duck, 100));
        duck.begin(Instant::now());
        advance(Duration::from_secs(60)).await;
        duck.arrived();
        assert_eq!(duck.late_arrivals(), 0);
        duck.close(Instant::now());
        assert_eq!((duck.cut_off(), duck.idle_grace()), (None, None));

        // While draining: another one takes its place.
        let duck = DrainClock::default();
        let first = plan(&duck, 100);
        plan(&duck, 2);
        duck.begin(Instant::now());
        duck.withdraw(first);
        duck.close(Instant::now());
        assert_eq!(duck.cut_off(), Some(end(2)));

        // While draining, and nothing takes its place.
        let duck = DrainClock::default();
        let only = plan(&duck, 100);
        duck.begin(Instant::now());
        duck.withdraw(only);
        duck.close(Instant::now());
        assert_eq!(duck.cut_off(), Some(end(100)));

        // While closing.
        let duck = DrainClock::default();
        let first = plan(&duck, 100);
        plan(&duck, 2);
        duck.begin(Instant::now());
        duck.close(Instant::now());
        duck.withdraw(first);
        assert_eq!(duck.cut_off(), Some(end(100)));
    }
}
