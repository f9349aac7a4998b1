//! Results of checks, which count after enough equal ones in a row.

use super::{Moment, SubsystemView, damping::DampingProgress};
use crate::state::vocabulary::{Claim, State};
use std::num::NonZeroU32;

/// How many equal results of a check in a row bring a subsystem up or down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Thresholds {
    /// From up to down.
    pub(crate) failures: NonZeroU32,
    /// From down to up. The first time, one result is enough.
    pub(crate) successes: NonZeroU32,
}

#[cfg(test)]
impl Thresholds {
    /// Each result counts.
    pub(crate) const FIRST: Self = Self {
        failures: NonZeroU32::MIN,
        successes: NonZeroU32::MIN,
    };
}

impl SubsystemView {
    /// Applies a result of a check. It is damped until enough equal ones came
    /// in a row.
    pub(crate) fn check(
        &self,
        state: State,
        reason: Option<&str>,
        thresholds: Thresholds,
        at: Moment,
    ) -> Self {
        let mut next = self.clone();
        next.reported_since_claim = true;
        next.ttl_armed = true;
        if next.claim == Claim::Dropped {
            next.claim = Claim::Checked;
        }
        let needed = if self.goes_down(state) {
            if matches!(self.damped, Some(DampingProgress::Until(_))) {
                // A report is held down already, and counts when its time is
                // over.
                return next;
            }
            thresholds.failures
        } else if self.been_up && state.is_up() && !self.state_but_for_silence().is_up() {
            thresholds.successes
        } else {
            NonZeroU32::MIN
        };
        let so_far = match self.damped {
            Some(DampingProgress::Count { count, .. }) => count,
            _ => 0,
        };
        let (count, needed) = (so_far.saturating_add(1), needed.get());
        if count < needed {
            let next = next.end_staleness(at).unwrap_or(next);
            next.damp(state, reason, DampingProgress::Count { count, needed })
        } else {
            next.settle(state, reason, at)
        }
    }

    /// The state that counts, or counted before the subsystem was stale.
    fn state_but_for_silence(&self) -> State {
        match &self.masked_report {
            Some(report) if self.is_stale() => report.state,
            _ => self.state,
        }
    }

    /// Whether this result of a check would change nothing.
    #[cfg(feature = "check")]
    pub(crate) fn is_repeat_of_check(&self, state: State, reason: Option<&str>) -> bool {
        self.damped.is_none() && self.is_repeat(state, reason)
    }

    /// Whether a result of a check with this state would change nothing but
    /// words.
    #[cfg(feature = "check")]
    pub(crate) fn repeats_state_of_check(&self, state: State) -> bool {
        self.reported_since_claim && self.damped.is_none() && self.state == state
    }

    /// The number of reports that did not come from a check.
    pub(crate) fn pushes(&self) -> u64 {
        self.pushes
    }
}
