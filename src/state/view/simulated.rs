//! States that a test simulates, beside the reported one.

use super::{Moment, SubsystemView};
use crate::state::{text, vocabulary::State};
use std::sync::Arc;

/// A state that counts instead of a better one.
#[derive(Clone, Debug)]
pub(super) struct Simulation {
    id: u64,
    pub(super) state: State,
    /// `simulated`, and the reason that the test gave.
    pub(super) reason: Arc<str>,
}

impl SubsystemView {
    /// The simulation that counts: the first of the worst state, unless the reported state
    /// is as bad.
    pub(super) fn simulation(&self) -> Option<&Simulation> {
        // Of equals, `max_by_key` returns the last.
        let simulations = self.simulations.iter().rev();
        let worst = simulations.max_by_key(|it| it.state.severity())?;
        (worst.state.severity() > self.state.severity()).then_some(worst)
    }

    /// Adds a simulation, and returns its id.
    pub(crate) fn simulate(&self, state: State, reason: &str, at: Moment) -> (u64, Self) {
        let id = self.simulations.last().map_or(0, |last| last.id + 1);
        let reason = match reason {
            "" => "simulated".to_owned(),
            reason => format!("simulated: {reason}"),
        };
        let reason = text::cut(&reason, text::MAX_BYTES).into();
        let mut next = self.clone();
        next.simulations.push(Simulation { id, state, reason });
        (id, next.following(self.state(), at))
    }

    /// Ends a simulation.
    pub(crate) fn end_simulation(&self, id: u64, at: Moment) -> Self {
        let mut next = self.clone();
        next.simulations.retain(|it| it.id != id);
        next.following(self.state(), at)
    }
}
