use super::{drift::Drift, outcomes::Outcomes, window::Window};
use crate::state::ScopeId;
use thiserror::Error;
use tokio::time::{Duration, Instant};

/// The thresholds at which failures of requests that were admitted while ready make
/// the subsystem `traffic` degraded; for
/// [`Readiness::watch_traffic`](crate::Readiness::watch_traffic).
///
/// The subsystem becomes degraded, and never failing: a failing process gets no
/// traffic, and a fault in a shared dependency would take out all replicas at once.
///
/// ```
/// # fn main() -> Result<(), tower_readiness::watch::TrafficWatchError> {
/// use std::time::Duration;
/// use tower_readiness::watch::TrafficWatch;
///
/// let watch = TrafficWatch::default()
///     .window(Duration::from_secs(30))?
///     .thresholds(0.2, 0.1)?
///     .minimum(100)?;
/// # let _ = watch;
/// # Ok(())
/// # }
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
    /// The time between two judgements.
    pub(crate) const EVERY: Duration = Window::EVERY;

    /// Sets the length of the window to judge by.
    ///
    /// # Errors
    ///
    /// When it is shorter than 5 seconds, which is how often samples are taken,
    /// or longer than the 5 minutes that are remembered.
    pub fn window(self, window: Duration) -> Result<Self, TrafficWatchError> {
        if window < Window::EVERY {
            return Err(TrafficWatchError::ShortWindow { window });
        }
        if window > Window::LENGTH {
            return Err(TrafficWatchError::LongWindow { window });
        }
        Ok(Self { window, ..self })
    }

    /// Sets the ratios of failures: from `degraded` on the subsystem is degraded, and
    /// at `recovered` or below it is ready again.
    ///
    /// # Errors
    ///
    /// When a ratio is not within 0 and 1, or `recovered` is not below `degraded`.
    pub fn thresholds(self, degraded: f64, recovered: f64) -> Result<Self, TrafficWatchError> {
        for ratio in [degraded, recovered] {
            if !(0.0..=1.0).contains(&ratio) {
                return Err(TrafficWatchError::Ratio { ratio });
            }
        }
        if recovered >= degraded {
            return Err(TrafficWatchError::Reversed {
                degraded,
                recovered,
            });
        }
        Ok(Self {
            degraded,
            recovered,
            ..self
        })
    }

    /// Sets how many requests the window must have for the subsystem to become
    /// degraded.
    ///
    /// # Errors
    ///
    /// When it is zero.
    pub fn minimum(self, minimum: u64) -> Result<Self, TrafficWatchError> {
        if minimum == 0 {
            return Err(TrafficWatchError::NoMinimum);
        }
        Ok(Self { minimum, ..self })
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

/// Why the values of a [`TrafficWatch`] are not valid.
#[derive(Clone, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum TrafficWatchError {
    /// The window is shorter than the time between two samples.
    #[error("the window is at least {:?}, not {window:?}", Window::EVERY)]
    ShortWindow {
        /// The window that was given.
        window: Duration,
    },
    /// The window is longer than the time that samples are kept.
    #[error("the window is at most {:?}, not {window:?}", Window::LENGTH)]
    LongWindow {
        /// The window that was given.
        window: Duration,
    },
    /// A threshold is not a number from 0 to 1.
    #[error("a threshold is a number from 0 to 1, not {ratio}")]
    Ratio {
        /// The number that was given.
        ratio: f64,
    },
    /// `recovered` is not below `degraded`. The gap between them keeps the subsystem
    /// from flapping.
    #[error(
        "the threshold for ready must be below the threshold for degraded, {degraded}, not {recovered}"
    )]
    Reversed {
        /// The threshold for degraded.
        degraded: f64,
        /// The threshold for ready.
        recovered: f64,
    },
    /// The minimum is zero, but a window without requests has no ratio.
    #[error("the minimum is at least 1 request, not 0")]
    NoMinimum,
}

/// The new state of the subsystem `traffic`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Degraded,
    Ready,
}

/// Decides by the drift when the subsystem `traffic` becomes degraded and ready.
#[derive(Debug)]
pub(crate) struct DriftJudge {
    watch: TrafficWatch,
    degraded: bool,
}

impl DriftJudge {
    /// The subsystem is ready at first.
    pub(crate) fn new(watch: TrafficWatch) -> Self {
        Self {
            watch,
            degraded: false,
        }
    }

    /// Returns a change at `now`, and the drift that caused it. Call it whenever a
    /// [sample](Outcomes::sample) was taken.
    pub(crate) fn update(&mut self, outcomes: &Outcomes, now: Instant) -> Option<(Change, Drift)> {
        let drift = outcomes.drift_over(ScopeId::Process, self.watch.window, now)?;
        let change = self.judge(drift.admitted(), drift.failed())?;
        Some((change, drift))
    }

    /// Returns a change after `admitted` requests in the window, of which `failed`
    /// failed.
    ///
    /// The minimum applies only to becoming degraded: a degraded subsystem recovers
    /// when requests stop, because then no failure is left in the window.
    pub(crate) fn judge(&mut self, admitted: u64, failed: u64) -> Option<Change> {
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
    fn invalid_watches_are_errors() {
        let watch = TrafficWatch::default;
        for window in [Duration::ZERO, Duration::from_millis(4_999)] {
            let error = TrafficWatchError::ShortWindow { window };
            assert_eq!(watch().window(window), Err(error));
        }
        let window = Duration::from_secs(301);
        let error = TrafficWatchError::LongWindow { window };
        assert_eq!(watch().window(window), Err(error));
        assert!(watch().window(Duration::from_secs(300)).is_ok());
        assert!(watch().window(Duration::from_secs(5)).is_ok());

        for ratio in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert!(watch().thresholds(ratio, 0.0).is_err(), "{ratio}");
            assert!(watch().thresholds(1.0, ratio).is_err(), "{ratio}");
        }
        for (degraded, recovered) in [(0.2, 0.3), (0.2, 0.2), (0.0, 0.0)] {
            let error = TrafficWatchError::Reversed {
                degraded,
                recovered,
            };
            assert_eq!(watch().thresholds(degraded, recovered), Err(error));
        }
        assert!(watch().thresholds(1.0, 0.0).is_ok());
        assert_eq!(watch().minimum(0), Err(TrafficWatchError::NoMinimum));
    }
}
