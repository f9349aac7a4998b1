use super::{JsonAnswer, JsonSubsystem};
use crate::state::State;
use std::collections::HashMap;

/// The states in the order of the rows of a table, known to the script of the page, too.
const ORDER: [State; 6] = [
    State::Dead,
    State::Stale,
    State::Failing,
    State::Starting,
    State::Degraded,
    State::Ready,
];

/// The order in which a table for operators lists subsystems: first those that make the
/// process red or degraded, then the others by their state.
pub(crate) struct RowOrder<'a>(HashMap<&'a str, usize>);

impl<'a> RowOrder<'a> {
    pub(crate) fn new(answer: &'a JsonAnswer<'_>) -> Self {
        let causes = answer.because_of.iter().enumerate();
        Self(causes.map(|(index, name)| (&**name, index)).collect())
    }

    /// The first row has the smallest rank. A state that this version does not know comes
    /// before those that it knows.
    pub(crate) fn rank(&self, subsystem: &JsonSubsystem<'_>) -> impl Ord + use<> {
        let cause = self.0.get(&*subsystem.name).copied();
        let is_state = |state: &State| state.as_str() == subsystem.state;
        (cause.unwrap_or(usize::MAX), ORDER.iter().position(is_state))
    }
}
