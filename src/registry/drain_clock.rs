use crate::{mutex::Mutex, state::Phase, traffic::Arrivals};
use std::{
    fmt,
    sync::{Arc, OnceLock},
};
use tokio::time::{Duration, Instant};

/// Plans and records the times between the call to drain and the end of the
/// process.
#[derive(Debug)]
pub(crate) struct DrainClock {
    /// Also records when the drain began.
    arrivals: Arc<Arrivals>,
    closing_since: OnceLock<Instant>,
    /// The plans of all shutdowns, in the order in which they were made.
    plans: Mutex<Vec<PlannedDrain>>,
    /// The time after which systemd kills the process, unless the process extends it.
    #[cfg(all(unix, feature = "systemd"))]
    stop_timeout: OnceLock<Duration>,
}

/// The drain delay of a shutdown that sets none.
pub(crate) const DEFAULT_DELAY: Duration = Duration::from_secs(5);

/// The times by which one shutdown plans the end of the process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// From the beginning of the drain until the server has to stop accepting, if the
    /// delay is not extended.
    pub(crate) delay: Duration,
    /// The longest time from the beginning of the drain until the server has to stop
    /// accepting.
    pub(crate) longest_delay: Duration,
    /// From then until the requests still in flight are cut off.
    pub(crate) cap: Duration,
    /// From `Closed` until the shutdown stops waiting for a server that has nothing
    /// in flight.
    pub(crate) idle_grace: Duration,
}

impl Times {
    /// The longest time that the drain may take.
    fn total(&self) -> Duration {
        self.longest_delay + self.cap
    }
}

/// Shows how long the end of the process may take, for comparison with the time that
/// its supervisor allows.
impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [delay, cap, allow] =
            [self.longest_delay, self.cap, self.total()].map(|time| time.as_secs_f64());
        write!(
            f,
            "serves {delay} s after the signal to drain, finishes for up to {cap} s: allow more \
             than {allow} s (terminationGracePeriodSeconds, TimeoutStopSec)"
        )
    }
}

/// The plan that counts, and how far the process has come.
#[cfg(feature = "gate")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct DrainStatus {
    pub(crate) times: Times,
    /// The time left of the phase, while the process drains or closes.
    pub(crate) left: Option<Duration>,
}

#[derive(Debug)]
struct PlannedDrain {
    times: Arc<Times>,
    /// Whether its shutdown was dropped while the process drained.
    abandoned: bool,
}

impl DrainClock {
    pub(super) fn new(arrivals: &Arc<Arrivals>) -> Self {
        Self {
            arrivals: Arc::clone(arrivals),
            closing_since: OnceLock::new(),
            plans: Mutex::default(),
            #[cfg(all(unix, feature = "systemd"))]
            stop_timeout: OnceLock::new(),
        }
    }

    /// Notes after which time systemd kills the process. Logs a warning if a drain as
    /// planned may take longer.
    #[cfg(all(unix, feature = "systemd"))]
    pub(crate) fn set_stop_timeout(&self, timeout: Duration) {
        let _ = self.stop_timeout.set(timeout);
        self.compare_with_stop_timeout(self.times());
    }

    #[cfg(all(unix, feature = "systemd"))]
    fn compare_with_stop_timeout(&self, times: Option<Times>) {
        if let (Some(times), Some(timeout)) = (times, self.stop_timeout.get()) {
            if *timeout <= times.total() {
                crate::log::line!(
                    warn, "stop_timeout_short",
                    { timeout: timeout.as_secs_f64(), total: times.total().as_secs_f64() },
                    timeout, total,
                    "TimeoutStopSec is {timeout} s, but the drain may take {total} s: systemd \
                     would kill the process before its end. Set it to more than {total} s, or call \
                     SystemdOptions::extend_stop"
                );
            }
        }
    }

    #[cfg(not(all(unix, feature = "systemd")))]
    fn compare_with_stop_timeout(&self, _: Option<Times>) {}

    /// Adds a plan for the end of the process, until it is
    /// [withdrawn](Self::withdraw).
    pub(crate) fn plan(&self, times: Times) -> Arc<Times> {
        let times = Arc::new(times);
        self.change(|plans| {
            plans.push(PlannedDrain {
                times: Arc::clone(&times),
                abandoned: false,
            });
        });
        self.compare_with_stop_timeout(self.times());
        times
    }

    /// Withdraws a plan, because its shutdown was dropped.
    ///
    /// While the process drains, the plan stays in force as long as no other
    /// shutdown has a plan: a server that ended has dropped its shutdown, and the
    /// process waits for the remaining requests until the cap. Once the process
    /// closes, the plan stays in force.
    pub(crate) fn withdraw(&self, times: &Arc<Times>) {
        if self.closing_since.get().is_some() {
            return;
        }
        let is_it = |plan: &PlannedDrain| Arc::ptr_eq(&plan.times, times);
        let drains = self.arrivals.since().is_some();
        self.change(|plans| {
            if !drains {
                plans.retain(|plan| !is_it(plan));
            } else if let Some(plan) = plans.iter_mut().find(|plan| is_it(plan)) {
                plan.abandoned = true;
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut Vec<PlannedDrain>)) {
        let mut plans = self.plans.lock();
        change(&mut plans);
        self.arrivals
            .set_delay(times(&plans).map(|times| times.delay));
    }

    fn times(&self) -> Option<Times> {
        times(&self.plans.lock())
    }

    /// Records when the process drains, and when it closes. Later calls have no
    /// effect.
    pub(super) fn record(&self, phase: Phase, now: Instant) {
        self.arrivals.begin(now);
        if phase >= Phase::Closing {
            let _ = self.closing_since.set(now);
        }
    }

    /// When the drain began, and its delay: the default, if no shutdown plans one.
    /// `None` while the process does not drain.
    #[cfg(feature = "connections")]
    pub(crate) fn begun(&self) -> Option<(Instant, Duration)> {
        let since = self.arrivals.since()?;
        Some((since, self.arrivals.delay().unwrap_or(DEFAULT_DELAY)))
    }

    /// The latest end of the process, if there is a plan.
    #[cfg(all(unix, feature = "systemd"))]
    pub(crate) fn over_at_latest(&self) -> Option<Instant> {
        let open = || {
            let times = self.times()?;
            Some(self.arrivals.since()? + times.total())
        };
        self.cut_off().or_else(open)
    }

    /// When the requests still in flight are cut off. `None` without a plan, and
    /// until the process closes.
    pub(crate) fn cut_off(&self) -> Option<Instant> {
        Some(*self.closing_since.get()? + self.times()?.cap)
    }

    /// The plan and the time left in `phase`, if there is a plan.
    #[cfg(feature = "gate")]
    pub(crate) fn status(&self, phase: Phase, now: Instant) -> Option<DrainStatus> {
        let times = self.times()?;
        let end = match phase {
            Phase::Draining => self.arrivals.since().map(|since| since + times.delay),
            Phase::Closing => self.cut_off(),
            _ => None,
        };
        let left = end.map(|end| end.saturating_duration_since(now));
        Some(DrainStatus { times, left })
    }

    /// How long a server with nothing in flight has to end once the process is
    /// closed, if there is a plan.
    pub(crate) fn idle_grace(&self) -> Option<Duration> {
        Some(self.times()?.idle_grace)
    }
}

/// The times that count, or `None` without a plan. Abandoned plans count only where
/// there are no others. The delay is the shortest, because its shutdown completes
/// first; the other times are those of the oldest plan.
fn times(plans: &[PlannedDrain]) -> Option<Times> {
    let all_abandoned = plans.iter().all(|plan| plan.abandoned);
    plans
        .iter()
        .filter(|plan| all_abandoned || !plan.abandoned)
        .map(|plan| *plan.times)
        .reduce(|first, other| Times {
            delay: first.delay.min(other.delay),
            longest_delay: first.longest_delay.min(other.longest_delay),
            ..first
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    fn clock() -> DrainClock {
        DrainClock::new(&Arc::default())
    }

    fn plan(clock: &DrainClock, delay: u64, cap: u64) -> Arc<Times> {
        clock.plan(Times {
            delay: Duration::from_secs(delay),
            longest_delay: Duration::from_secs(delay),
            cap: Duration::from_secs(cap),
            idle_grace: Duration::ZERO,
        })
    }

    /// The delay and the cap that count.
    fn counting(clock: &DrainClock) -> Option<(u64, u64)> {
        let times = clock.times()?;
        assert_eq!(times.delay, times.longest_delay);
        Some((times.longest_delay.as_secs(), times.cap.as_secs()))
    }

    #[test]
    fn the_shortest_delay_counts_and_the_cap_of_the_first() {
        let clock = clock();
        assert_eq!(counting(&clock), None);
        for (delay, cap) in [(5, 20), (3, 10), (7, 30)] {
            plan(&clock, delay, cap);
        }
        assert_eq!(counting(&clock), Some((3, 20)));
    }

    #[cfg(feature = "gate")]
    #[tokio::test(start_paused = true)]
    async fn the_status_has_the_time_left_of_the_phase() {
        let clock = clock();
        let left = |phase| {
            let status = clock.status(phase, Instant::now());
            status.map(|status| status.left.map(|left| left.as_secs()))
        };
        assert_eq!(left(Phase::Started), None, "there is no plan");
        plan(&clock, 5, 20);
        assert_eq!(left(Phase::Started), Some(None));
        clock.record(Phase::Draining, Instant::now());
        advance(Duration::from_secs(2)).await;
        assert_eq!(left(Phase::Draining), Some(Some(3)));
        advance(Duration::from_secs(10)).await;
        assert_eq!(left(Phase::Draining), Some(Some(0)), "it was extended");
        clock.record(Phase::Closing, Instant::now());
        advance(Duration::from_secs(2)).await;
        assert_eq!(left(Phase::Closing), Some(Some(18)));
        assert_eq!(left(Phase::Closed), Some(None));
    }

    #[test]
    fn a_plan_that_is_withdrawn_before_the_drain_does_not_count() {
        let clock = clock();
        let first = plan(&clock, 1, 100);
        plan(&clock, 5, 2);
        clock.withdraw(&first);
        assert_eq!(counting(&clock), Some((5, 2)));
    }

    #[test]
    fn a_plan_that_is_withdrawn_during_the_drain_counts_where_there_is_no_other() {
        let clock = clock();
        let first = plan(&clock, 1, 100);
        clock.record(Phase::Draining, Instant::now());
        clock.withdraw(&first);
        assert_eq!(counting(&clock), Some((1, 100)));
        let second = plan(&clock, 5, 2);
        assert_eq!(counting(&clock), Some((5, 2)));
        clock.withdraw(&second);
        assert_eq!(counting(&clock), Some((1, 100)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_plan_can_be_withdrawn_until_the_process_closes() {
        let end = |cap| Instant::now() + Duration::from_secs(cap);
        let records = |clock: &DrainClock, phase| clock.record(phase, Instant::now());
        // Before the drain, a withdrawn plan does not count.
        let withdrawn = clock();
        withdrawn.withdraw(&plan(&withdrawn, 4, 100));
        records(&withdrawn, Phase::Draining);
        advance(Duration::from_secs(60)).await;
        withdrawn.arrivals.record();
        assert_eq!(withdrawn.arrivals.late(), 0);
        records(&withdrawn, Phase::Closing);
        assert_eq!((withdrawn.cut_off(), withdrawn.idle_grace()), (None, None));

        // While draining, another plan replaces it.
        let replaced = clock();
        let first = plan(&replaced, 4, 100);
        plan(&replaced, 4, 2);
        records(&replaced, Phase::Draining);
        replaced.withdraw(&first);
        records(&replaced, Phase::Closing);
        assert_eq!(replaced.cut_off(), Some(end(2)));

        // While draining, it counts without another plan.
        let alone = clock();
        let only = plan(&alone, 4, 100);
        records(&alone, Phase::Draining);
        alone.withdraw(&only);
        records(&alone, Phase::Closing);
        assert_eq!(alone.cut_off(), Some(end(100)));

        // While closing, it counts.
        let closing = clock();
        let first = plan(&closing, 4, 100);
        plan(&closing, 4, 2);
        records(&closing, Phase::Closing);
        closing.withdraw(&first);
        assert_eq!(closing.cut_off(), Some(end(100)));
    }
}
