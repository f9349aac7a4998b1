use super::error::WatchError;
use crate::{
    registry::{not_zero, within},
    state::ScopeId,
    traffic::{Drift, OutcomeWindow, Outcomes},
};
use tokio::time::{Duration, Instant};

/// The thresholds at which failures of requests that were admitted while ready make
/// the subsystem `traffic` degraded; for
/// [`Readiness::watch_traffic`](crate::Readiness::watch_traffic).
///
/// The subsystem becomes degraded, and never failing: a failing process gets no
/// traffic, and a fault in a shared dependency would take out all replicas at once.
///
/// ```
/// use std::time::Duration;
/// use tower_readiness::watch::TrafficWatch;
///
/// let watch = TrafficWatch::default()
///     .window(Duration::from_secs(30))
///     .thresholds(0.2, 0.1)
///     .minimum(100);
/// # let _ = watch;
/// ```
#[must_use]
#[derive(Clone, Debug, PartialEq)]
pub struct TrafficWatch {
    window: Duration,
    degraded: f64,
    recovered: f64,
    minimum: u64,
}

impl TrafficWatch {
    /// Sets the length of the window to judge by: 5 seconds, which is how often samples
    /// are taken, to 5 minutes, which is how long they are remembered.
    pub fn window(self, window: Duration) -> Self {
        Self { window, ..self }
    }

    /// Sets the ratios of failures, two numbers from 0 to 1: from `degraded` on the
    /// subsystem is degraded, and at `recovered` or below it is ready again. `recovered`
    /// is the smaller, which keeps the subsystem from flapping.
    pub fn thresholds(mut self, degraded: f64, recovered: f64) -> Self {
        self.degraded = degraded;
        self.recovered = recovered;
        self
    }

    /// Sets how many requests the window must have for the subsystem to become
    /// degraded, at least 1.
    pub fn minimum(self, minimum: u64) -> Self {
        Self { minimum, ..self }
    }

    pub(super) fn check(&self) -> Result<(), WatchError> {
        let range = OutcomeWindow::EVERY..=OutcomeWindow::LENGTH;
        within(range, "window of traffic", self.window)?;
        let Self {
            degraded,
            recovered,
            ..
        } = *self;
        let is_ratio = |ratio: f64| (0.0..=1.0).contains(&ratio);
        if !(is_ratio(degraded) && is_ratio(recovered) && recovered < degraded) {
            return Err(WatchError::Thresholds {
                degraded,
                recovered,
            });
        }
        not_zero(
            "minimum of requests for traffic to become degraded",
            self.minimum,
        )?;
        Ok(())
    }
}

/// Degraded when at least half of 20 or more requests in the last minute failed,
/// ready again when at most a quarter failed.
impl Default for TrafficWatch {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(60),
            degraded: 0.5,
            recovered: 0.25,
            minimum: 20,
        }
    }
}

/// The new state of the subsystem `traffic`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Degraded,
    Ready,
}

/// Decides by the drift when the subsystem `traffic` becomes degraded and ready.
#[derive(Debug)]
pub(super) struct DriftJudge {
    watch: TrafficWatch,
    degraded: bool,
}

impl DriftJudge {
    /// The subsystem is ready at first.
    pub(super) fn new(watch: TrafficWatch) -> Self {
        Self {
            watch,
            degraded: false,
        }
    }

    /// Returns a change at `now`, and the drift that caused it. Call it whenever a
    /// [sample](Outcomes::sample) was taken.
    pub(super) fn update(&mut self, outcomes: &Outcomes, now: Instant) -> Option<(Change, Drift)> {
        let drift = outcomes.drift_over(ScopeId::Process, self.watch.window, now)?;
        let change = self.judge(drift.admitted(), drift.failed())?;
        Some((change, drift))
    }

    /// Returns a change after `admitted` requests in the window, of which `failed`
    /// failed.
    ///
    /// The minimum applies only to becoming degraded: a degraded subsystem recovers
    /// when requests stop, because then no failure is left in the window.
    pub(super) fn judge(&mut self, admitted: u64, failed: u64) -> Option<Change> {
        let ratio = if admitted == 0 {
            0.0
        } else {
            failed as f64 / admitted as f64
        };
        let change = if self.degraded {
            (ratio <= self.watch.recovered).then_some(Change::Ready)
        } else {
            let enough = admitted >= self.watch.minimum;
            (enough && ratio >= self.watch.degraded).then_some(Change::Degraded)
        };
        if change.is_some() {
            self.degraded = !self.degraded;
        }
        change
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge() -> DriftJudge {
        DriftJudge::new(TrafficWatch::default())
    }

    #[test]
    fn few_failures_are_no_evidence() {
        let mut judge = judge();
        assert_eq!(judge.judge(0, 0), None);
        assert_eq!(judge.judge(19, 19), None);
        assert_eq!(judge.judge(20, 9), None);
        assert_eq!(judge.judge(20, 10), Some(Change::Degraded));
        assert_eq!(judge.judge(20, 20), None, "degraded already");
    }

    #[test]
    fn between_the_thresholds_nothing_changes() {
        let mut judge = judge();
        assert_eq!(judge.judge(100, 49), None);
        assert_eq!(judge.judge(100, 50), Some(Change::Degraded));
        for failed in [49, 60, 26] {
            assert_eq!(judge.judge(100, failed), None);
        }
        assert_eq!(judge.judge(100, 25), Some(Change::Ready));
        for failed in [26, 49] {
            assert_eq!(judge.judge(100, failed), None);
        }
        assert_eq!(judge.judge(100, 50), Some(Change::Degraded));
    }

    #[test]
    fn a_subsystem_without_traffic_recovers() {
        let mut judge = judge();
        judge.judge(20, 20);
        assert_eq!(judge.judge(3, 3), None, "what is left still fails");
        assert_eq!(judge.judge(0, 0), Some(Change::Ready));
        assert_eq!(judge.judge(0, 0), None);
    }

    #[test]
    fn it_judges_by_its_own_part_of_the_window() {
        let (outcomes, begin) = (Outcomes::default(), Instant::now());
        let at = |second| begin + Duration::from_secs(second);
        let mut judge = judge();
        assert_eq!(judge.update(&outcomes, begin), None, "no layer observes");
        let shards = outcomes.observe(ScopeId::Process, false, None, begin);
        for _ in 0..20 {
            shards.enter().observed().unwrap().count_failed();
        }
        outcomes.sample(at(5));
        let (change, drift) = judge.update(&outcomes, at(5)).unwrap();
        assert_eq!((change, drift.failed()), (Change::Degraded, 20));
        assert_eq!(judge.update(&outcomes, at(64)), None);
        let (change, drift) = judge.update(&outcomes, at(65)).unwrap();
        assert_eq!((change, drift.admitted()), (Change::Ready, 0));
    }

    #[test]
    fn settings_out_of_their_bounds_are_errors_that_name_them() {
        let message = |watch: TrafficWatch| watch.check().unwrap_err().to_string();
        let watch = TrafficWatch::default;
        for window in [
            Duration::ZERO,
            Duration::from_millis(4_999),
            Duration::from_secs(301),
        ] {
            let message = message(watch().window(window));
            assert!(message.contains("window of traffic"), "{message}");
            assert!(message.contains(&format!("{window:?}")), "{message}");
        }
        for window in [5, 300] {
            watch().window(Duration::from_secs(window)).check().unwrap();
        }
        for ratio in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            let message = message(watch().thresholds(ratio, 0.0));
            assert!(message.contains(&ratio.to_string()), "{message}");
            assert!(watch().thresholds(1.0, ratio).check().is_err(), "{ratio}");
        }
        for (degraded, recovered) in [(0.2, 0.3), (0.2, 0.2), (0.0, 0.0)] {
            let message = message(watch().thresholds(degraded, recovered));
            assert!(message.contains(&recovered.to_string()), "{message}");
        }
        watch().thresholds(1.0, 0.0).check().unwrap();
        assert!(message(watch().minimum(0)).contains("minimum"));
    }
}
