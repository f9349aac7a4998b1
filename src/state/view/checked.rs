//! What a check found, which counts once it was found often enough.

use super::{Moment, SubsystemView, damping::DampingProgress};
use crate::state::vocabulary::{Claim, State};
use std::num::NonZeroU32;

/// How many results of a check in a row it takes to turn over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Thresholds {
    /// From up to down.
    pub(crate) failures: NonZeroU32,
    /// From down to up, but for the first time.
    pub(crate) successes: NonZeroU32,
}

impl SubsystemView {
    /// What a check found, which counts once it has found it often enough.
    pub(crate) fn check(
        &self,
        state: State,
        reason: Option<&str>,
        thresholds: Thresholds,
        at: Moment,
    ) -> Self {
        let mut next = self.clone();
        next.holder_reported = true;
        next.ttl_armed = true;
        if next.claim == Claim::Dropped {
            next.claim = Claim::Checked;
        }
        let needed = if self.goes_down(state) {
            if matches!(self.damped, Some(DampingProgress::Until(_))) {
                // Its reporter has noticed already, and said when it counts.
                return next;
            }
            thresholds.failures
        } else if self.been_up && state.is_up() && !self.state.is_up() && !self.is_stale() {
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
            next.damp(state, reason, DampingProgress::Count { count, needed })
        } else {
            next.settle(state, reason, at)
        }
    }

    /// Whether a check that found this would change nothing.
    #[cfg(feature = "check")]
    pub(crate) fn is_repeat_of_check(&self, state: State, reason: Option<&str>) -> bool {
        self.damped.is_none() && self.is_repeat(state, reason)
    }

    /// Whether a check that found this state would change nothing but words.
    #[cfg(feature = "check")]
    pub(crate) fn repeats_state_of_check(&self, state: State) -> bool {
        self.holder_reported && self.damped.is_none() && self.state == state
    }

    /// Differs from one report of a [`Reporter`](crate::Reporter) to the next.
    pub(crate) fn pushes(&self) -> u64 {
        self.pushes
    }
}
