use super::{JsonAnswer, JsonSubsystem};
use crate::state::State;
use std::{cmp::Reverse, collections::HashMap};

/// The order in which a table for operators lists subsystems: first those that make the
/// process red or degraded, then the others by their state, from bad to good. The script
/// of the page knows this order, too.
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
        let known = State::ALL.iter();
        let state = known.copied().find(|it| it.as_str() == subsystem.state);
        let severity = state.map(State::severity).map(Reverse);
        (cause.unwrap_or(usize::MAX), severity)
    }
}
