use crate::state::vocabulary::State;
use std::time::Instant;

/// A report that does not count yet; see
/// [`Subsystem::hold_down`](crate::Subsystem::hold_down).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damped<'a> {
    state: State,
    reason: Option<&'a str>,
    progress: DampingProgress,
}

impl<'a> Damped<'a> {
    pub(super) fn new(state: State, reason: Option<&'a str>, progress: DampingProgress) -> Self {
        Self {
            state,
            reason,
            progress,
        }
    }

    /// What was reported.
    pub fn state(&self) -> State {
        self.state
    }

    /// Why, if a reason was given.
    pub fn reason(&self) -> Option<&'a str> {
        self.reason
    }

    /// What is missing for it to count.
    pub fn progress(&self) -> DampingProgress {
        self.progress
    }
}

/// What is missing for a report to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DampingProgress {
    /// It has to be repeated: a check came to it `count` times in a row, and it
    /// counts at the time that makes `needed`.
    Count {
        /// How often so far.
        count: u32,
        /// How often it has to be.
        needed: u32,
    },
    /// It has to last: it counts at this moment of the monotonic clock.
    Until(Instant),
}
