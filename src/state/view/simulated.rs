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
    /// Returns whether a test [simulates](crate::Readiness::simulate) this state.
    #[cfg_attr(docsrs, doc(cfg(feature = "test-util")))]
    pub fn is_simulated(&self) -> bool {
        self.simulation().is_some()
    }

    /// The simulation that counts: of the worst state, unless the reported one is as bad.
    pub(super) fn simulation(&self) -> Option<&Simulation> {
        let simulations = self.simulations.iter();
        let worst = simulations.max_by_key(|it| badness(it.state))?;
        (badness(worst.state) > badness(self.state)).then_some(worst)
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
        (id, self.entered_by(next, at))
    }

    /// Ends a simulation.
    pub(crate) fn end_simulation(&self, id: u64, at: Moment) -> Self {
        let mut next = self.clone();
        next.simulations.retain(|it| it.id != id);
        self.entered_by(next, at)
    }

    /// `next` as of `at`, if its state is another.
    fn entered_by(&self, next: Self, at: Moment) -> Self {
        let is_new = self.state() != next.state();
        Self {
            since: if is_new { at } else { next.since },
            transitions: next.transitions + u64::from(is_new),
            ..next
        }
    }
}

/// The order of the states, from good to bad.
fn badness(state: State) -> u8 {
    match state {
        State::Ready => 0,
        State::Degraded => 1,
        State::Starting => 2,
        State::Failing => 3,
        State::Stale => 4,
        State::Dead => 5,
    }
}
