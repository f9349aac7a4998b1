use crate::{
    registry::{SettingError, bounded, fraction},
    state::Thresholds,
};
use std::{num::NonZeroU32, time::Duration};

/// When a check runs, and how many of its results count; for
/// [`Subsystem::check`](crate::Subsystem::check).
///
/// A value out of its bounds is an error where the registry is built.
///
/// ```
/// use std::time::Duration;
/// use tower_readiness::check::Check;
///
/// let check = Check::every(Duration::from_secs(5))
///     .timeout(Duration::from_secs(1))
///     .failures(2)
///     .back_off_to(Duration::from_secs(60));
/// ```
#[must_use]
#[derive(Clone, Debug)]
pub struct Check {
    interval: Duration,
    jitter: f64,
    timeout: Option<Duration>,
    failures: u32,
    successes: u32,
    back_off_to: Option<Duration>,
}

impl Check {
    /// Runs every `interval`, from the start of one run to the start of the
    /// next: 1 millisecond to a day.
    pub fn every(interval: Duration) -> Self {
        Self {
            interval,
            jitter: 0.05,
            timeout: None,
            // The default of the kubelet.
            failures: 3,
            successes: 1,
            back_off_to: None,
        }
    }

    /// Lets each run begin up to this part of the interval early, at random, so
    /// that checks and replicas do not run in step: 0 to 1, by default 0.05.
    ///
    /// Unless it is 0, the second run begins after a random part of the
    /// interval, so that checks which begin together spread over all of it at
    /// once.
    pub fn jitter(self, jitter: f64) -> Self {
        Self { jitter, ..self }
    }

    /// Sets the time after which a run has failed and its future is dropped: 1
    /// millisecond to the interval. By default it is a second less than the
    /// interval and at least half of it, but at most 10 seconds.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets how many failures in a row bring the subsystem down: by default 3. Fewer
    /// are only [shown](crate::SubsystemView::damped) (`failing 2/3`).
    pub fn failures(self, failures: u32) -> Self {
        Self { failures, ..self }
    }

    /// Sets how many successes in a row bring the subsystem up again: by default 1.
    /// For the first time up, one is always enough.
    pub fn successes(self, successes: u32) -> Self {
        Self { successes, ..self }
    }

    /// Runs less often while the subsystem is down: twice the interval after
    /// the first failure beyond [`failures`](Self::failures), then four times,
    /// up to `longest`. By default the interval stays the same.
    pub fn back_off_to(mut self, longest: Duration) -> Self {
        self.back_off_to = Some(longest);
        self
    }

    fn timeout_or_default(&self) -> Duration {
        self.timeout.unwrap_or_else(|| {
            let almost = self.interval.saturating_sub(Duration::from_secs(1));
            almost
                .max(self.interval / 2)
                .clamp(Duration::from_millis(1), Duration::from_secs(10))
        })
    }

    fn longest_interval(&self) -> Duration {
        self.back_off_to.unwrap_or(self.interval)
    }

    /// The longest time from one result to the next.
    pub(super) fn result_within(&self) -> Duration {
        self.longest_interval()
            .saturating_add(self.timeout_or_default())
    }

    /// The time without a result after which the check counts as hanging.
    pub(super) fn hangs_after(&self) -> Duration {
        self.result_within().saturating_add(self.longest_interval())
    }

    pub(super) fn schedule(self) -> Result<Schedule, SettingError> {
        let interval = bounded("interval of a check", self.interval)?;
        let timeout = bounded("timeout of a check", self.timeout_or_default())?;
        if timeout > interval {
            return Err(SettingError::LongTimeout { timeout, interval });
        }
        let longest = bounded("back-off of a check", self.longest_interval())?;
        if longest < interval {
            return Err(SettingError::ShortBackOff { longest, interval });
        }
        let threshold = |what, count| NonZeroU32::new(count).ok_or(SettingError::Zero { what });
        Ok(Schedule {
            interval,
            timeout,
            longest,
            jitter: fraction("jitter of a check", self.jitter)?,
            thresholds: Thresholds {
                failures: threshold("failure threshold of a check", self.failures)?,
                successes: threshold("success threshold of a check", self.successes)?,
            },
        })
    }
}

/// A [`Check`] with valid values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    interval: Duration,
    pub(super) timeout: Duration,
    longest: Duration,
    jitter: f64,
    pub(super) thresholds: Thresholds,
}

/// The time to the second run of a check whose subsystem has never been up.
const FIRST_WAIT: Duration = Duration::from_millis(250);

impl Schedule {
    /// The time from the start of one run to the start of the next while the subsystem has
    /// never been up, after this many failures in a row: a process that starts waits for
    /// it. The half of it is random, since many replicas may wait for the same dependency.
    pub(super) fn until_first_up(&self, failures: u32) -> Duration {
        let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
        let wait = FIRST_WAIT.saturating_mul(doubled);
        let jitter = if self.jitter > 0.0 { 0.5 } else { 0.0 };
        let wait = wait.mul_f64(1.0 - jitter * fastrand::f64());
        wait.min(self.until_next(failures))
    }

    /// The time from the start of one run to the start of the next, after this
    /// many failures in a row.
    pub(super) fn until_next(&self, failures: u32) -> Duration {
        let beyond = failures.saturating_sub(self.thresholds.failures.get());
        let backed_off = self
            .interval
            .saturating_mul(2_u32.saturating_pow(beyond))
            .min(self.longest);
        // Only ever earlier, so that each interval has a run.
        backed_off.mul_f64(1.0 - self.jitter * fastrand::f64())
    }

    /// The same from the first run to the second, which sets the phase of all
    /// later runs.
    pub(super) fn until_second(&self, failures: u32) -> Duration {
        let next = self.until_next(failures);
        if self.jitter > 0.0 {
            next.mul_f64(fastrand::f64())
        } else {
            next
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_timeout_fits_into_the_interval() {
        let timeout = |interval| Check::every(interval).timeout_or_default();
        assert_eq!(timeout(SECOND * 60), SECOND * 10);
        assert_eq!(timeout(SECOND * 5), SECOND * 4);
        assert_eq!(timeout(SECOND), SECOND / 2);
        let shortest = Duration::from_millis(1);
        assert_eq!(timeout(shortest), shortest);
        assert!(Check::every(shortest).schedule().is_ok());
    }

    #[test]
    fn a_check_backs_off_while_it_is_down_and_not_before() {
        let check = Check::every(SECOND).jitter(0.0).failures(2);
        let schedule = check.clone().back_off_to(SECOND * 10).schedule().unwrap();
        let intervals = [0, 1, 2, 3, 4, 5, 6, 7, u32::MAX].map(|failures| {
            let interval = schedule.until_next(failures);
            interval.as_secs()
        });
        assert_eq!(intervals, [1, 1, 1, 2, 4, 8, 10, 10, 10]);
        let steady = check.schedule().unwrap();
        assert_eq!(steady.until_next(u32::MAX), SECOND);
    }

    #[test]
    fn the_second_run_of_a_start_comes_within_a_quarter_of_a_second() {
        let schedule = Check::every(SECOND).schedule().unwrap();
        let waits = (0..1_000).map(|_| schedule.until_first_up(1));
        let (shortest, longest) = waits
            .fold((Duration::MAX, Duration::ZERO), |(least, most), it| {
                (least.min(it), most.max(it))
            });
        assert!(shortest >= FIRST_WAIT / 2 && longest <= FIRST_WAIT);
    }

    #[test]
    fn jitter_makes_runs_early_and_never_late() {
        let check = Check::every(SECOND).jitter(0.2).schedule().unwrap();
        let intervals: Vec<_> = (0..1_000).map(|_| check.until_next(0)).collect();
        assert!(
            intervals
                .iter()
                .all(|it| *it > SECOND * 4 / 5 && *it <= SECOND)
        );
        assert!(intervals.iter().any(|it| *it < SECOND * 9 / 10));
    }

    #[test]
    fn values_out_of_bounds_are_refused_with_the_cause() {
        let check = || Check::every(SECOND);
        let refused = |check: Check| check.schedule().unwrap_err();
        assert!(matches!(
            refused(Check::every(Duration::ZERO)),
            SettingError::OutOfBounds {
                what: "interval of a check",
                ..
            }
        ));
        assert!(matches!(
            refused(Check::every(Duration::MAX)),
            SettingError::OutOfBounds {
                what: "interval of a check",
                ..
            }
        ));
        assert!(matches!(
            refused(check().timeout(Duration::ZERO)),
            SettingError::OutOfBounds {
                what: "timeout of a check",
                ..
            }
        ));
        assert_eq!(
            refused(check().timeout(SECOND * 2)),
            SettingError::LongTimeout {
                timeout: SECOND * 2,
                interval: SECOND
            }
        );
        assert_eq!(
            refused(check().back_off_to(SECOND / 2)),
            SettingError::ShortBackOff {
                longest: SECOND / 2,
                interval: SECOND
            }
        );
        assert_eq!(
            refused(check().failures(0)),
            SettingError::Zero {
                what: "failure threshold of a check"
            }
        );
        assert_eq!(
            refused(check().successes(0)),
            SettingError::Zero {
                what: "success threshold of a check"
            }
        );
        for jitter in [-0.1, 1.1, f64::NAN] {
            let message = refused(check().jitter(jitter)).to_string();
            assert!(message.contains(&format!("is {jitter};")), "{message}");
        }
    }
}
