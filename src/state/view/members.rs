use super::SubsystemView;
use crate::state::vocabulary::State;
use std::sync::Arc;

/// How many members of a [group](crate::Group) are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemberCounts([u32; State::ALL.len()]);

impl MemberCounts {
    /// Returns how many members the group has.
    pub fn total(&self) -> usize {
        self.0.iter().map(|count| *count as usize).sum()
    }

    /// Returns how many members count towards a quorum: those that are ready or degraded.
    /// A member that has not reported yet and one that is stale do not count.
    pub fn ready(&self) -> usize {
        let up = State::ALL.iter().filter(|state| state.is_up());
        up.map(|state| self.in_state(*state)).sum()
    }

    /// Returns how many members are in this state.
    pub fn in_state(&self, state: State) -> usize {
        self.0[state as usize] as usize
    }

    pub(crate) fn add(&mut self, state: State) {
        self.0[state as usize] += 1;
    }

    pub(crate) fn remove(&mut self, state: State) {
        self.0[state as usize] -= 1;
    }
}

impl SubsystemView {
    /// Returns the counts of the members if this is a [group](crate::Group).
    pub fn members(&self) -> Option<&MemberCounts> {
        self.members.as_deref()
    }

    pub(crate) fn with_members(self, counts: MemberCounts) -> Self {
        Self {
            members: Some(Arc::new(counts)),
            ..self
        }
    }
}
