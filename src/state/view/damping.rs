use crate::state::vocabulary::State;
use std::time::Instant;

/// A report that does not count yet; see
/// [`Subsystem::hold_down`](crate::Subsystem::hold_down).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damped<'a> {
    pub(super) state: State,
    pub(super) reason: Option<&'a str>,
    pub(super) progress: DampingProgress,
}

impl<'a> Damped<'a> {
    /// Returns the reported state.
    pub fn state(&self) -> State {
        self.state
    }

    /// Returns the reported reason, if there is one.
    pub fn reason(&self) -> Option<&'a str> {
        self.reason
    }

    /// Returns the condition under which the report will count.
    pub fn progress(&self) -> DampingProgress {
        self.progress
    }
}

/// The condition under which a damped report will count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DampingProgress {
    /// The report has to be repeated: a check has found it `count` times in a
    /// row, and it counts once `count` reaches `needed`.
    Count {
        /// How often the check has found it so far.
        count: u32,
        /// How often the check has to find it.
        needed: u32,
    },
    /// The report has to last: it counts at this moment of the monotonic clock.
    Until(Instant),
}

#[cfg(test)]
mod tests;
