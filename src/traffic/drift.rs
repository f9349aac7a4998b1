use super::window::Totals;
use std::time::Duration;

/// How well the readiness of a scope matched the outcomes of its requests, over
/// the last minutes; see [Readiness drift](crate::gate#readiness-drift).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drift {
    totals: Totals,
    window: Duration,
}

impl Drift {
    pub(super) fn new((totals, window): (Totals, Duration)) -> Self {
        Self { totals, window }
    }

    /// Returns how many requests were admitted while ready and have come to an end.
    pub fn admitted(&self) -> u64 {
        self.totals.answered + self.totals.failed
    }

    /// Returns how many of these failed nevertheless.
    pub fn failed(&self) -> u64 {
        self.totals.failed
    }

    /// Returns the fraction of these requests that failed, from 0 to 1, or `None` if
    /// there were none.
    pub fn failure_ratio(&self) -> Option<f64> {
        let admitted = self.admitted();
        (admitted > 0).then(|| self.failed() as f64 / admitted as f64)
    }

    /// Returns for how long the gate refused although the checks of the subsystems
    /// themselves passed.
    pub fn refusing(&self) -> Duration {
        self.totals.refusing
    }

    /// Returns the time that these counts cover: five minutes and up to five seconds.
    /// It is shorter if observation began later, and longer if samples came late.
    pub fn window(&self) -> Duration {
        self.window
    }
}
