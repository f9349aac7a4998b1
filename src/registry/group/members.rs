use super::{
    group_state::Thresholds,
    pace::{Pace, Publish},
    silence::Silence,
    summary::summary,
    table::Table,
};
use crate::{
    registry::handle::shortened,
    state::{Claim, MemberCounts, Moment, Slot, State, SubsystemView},
    sync::Mutex,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// The members of a group.
///
/// The lock of a group is taken inside the writer lock and the lock of the timer, so no
/// code may take these two while it holds a group's.
pub(crate) struct Members {
    pub(super) name: Arc<str>,
    pub(super) slot: Slot,
    pub(super) thresholds: Thresholds,
    pub(super) inner: Mutex<Inner>,
}

pub(super) struct Inner {
    pub(super) table: Table,
    /// The state by the thresholds.
    pub(super) state: State,
    been_up: bool,
    pub(super) pace: Pace,
    pub(super) silence: Option<Silence>,
}

impl Members {
    /// The members of a group whose view is in `slot`: none so far.
    pub(super) fn new(
        name: Arc<str>,
        slot: Slot,
        thresholds: Thresholds,
        ttl: Option<Duration>,
    ) -> Self {
        let table = Table::default();
        let state = thresholds.state(table.counts(), State::Starting, false);
        let inner = Inner {
            table,
            state,
            been_up: state.is_up(),
            pace: Pace::new(state),
            silence: ttl.map(Silence::new),
        };
        Self {
            name,
            slot,
            thresholds,
            inner: Mutex::new(inner),
        }
    }

    /// The first view.
    pub(in crate::registry) fn first(&self, view: &SubsystemView, at: Moment) -> SubsystemView {
        self.show(&self.inner.lock(), &view.with_claim(Claim::Held), at)
    }

    /// The view with the present counts, and the state that follows.
    pub(super) fn show(&self, inner: &Inner, view: &SubsystemView, at: Moment) -> SubsystemView {
        let reason = summary(&inner.table, self.thresholds.at_least);
        let view = view.report(inner.state, shortened(&reason), at);
        view.with_members(*inner.table.counts())
    }

    pub(super) fn counts(&self) -> MemberCounts {
        *self.inner.lock().table.counts()
    }

    /// When the timer has to run next.
    fn due(&self) -> Option<Instant> {
        let inner = self.inner.lock();
        let look_at = inner.silence.as_ref().and_then(Silence::due);
        inner.pace.due().into_iter().chain(look_at).min()
    }
}

impl Inner {
    /// Updates the state after a change, and returns when to publish it. `None` if the
    /// counts are the same.
    pub(super) fn settle(&mut self, thresholds: &Thresholds, at: Instant) -> Option<Publish> {
        if !self.table.take_changed() {
            return None;
        }
        self.state = thresholds.state(self.table.counts(), self.state, self.been_up);
        self.been_up |= self.state.is_up();
        Some(self.pace.change(self.state, at))
    }
}

/// The groups of a registry.
#[derive(Default)]
pub(crate) struct Groups(pub(in crate::registry) Vec<Arc<Members>>);

impl Groups {
    pub(crate) fn get(&self, name: &str) -> Option<&Arc<Members>> {
        self.0.iter().find(|group| *group.name == *name)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|group| &*group.name)
    }

    /// When the timer has to run next.
    pub(in crate::registry) fn due(&self) -> Option<Instant> {
        self.0.iter().filter_map(|group| group.due()).min()
    }
}
