use super::{
    core::{Registry, WriterState, now},
    timer::{Heartbeat, Witness},
};
use crate::state::{Declaration, Phase, Slot, SnapshotBuilder, State, SubsystemView, text};
use std::sync::Arc;

/// What speaks for one subsystem: a reporter, or a check. It does not keep the
/// registry alive.
#[derive(Clone)]
pub(crate) struct SubsystemHandle {
    registry: Arc<Registry>,
    slot: Slot,
    /// Tells the subsystem from another one that stands in its slot later.
    declaration: Arc<Declaration>,
    /// Where somebody listens for it.
    heartbeat: Option<Arc<Heartbeat>>,
    /// Whether a report waits for its lines in the log: an application's does.
    waits_for_log: bool,
}

impl SubsystemHandle {
    pub(super) fn new(registry: &Arc<Registry>, slot: Slot, declaration: Arc<Declaration>) -> Self {
        Self {
            heartbeat: registry.timer.heartbeat_of(slot, &declaration),
            registry: Arc::clone(registry),
            slot,
            declaration,
            waits_for_log: false,
        }
    }

    pub(super) fn waiting_for_log(self, waits_for_log: bool) -> Self {
        Self {
            waits_for_log,
            ..self
        }
    }

    pub(super) fn slot(&self) -> Slot {
        self.slot
    }

    /// Looks at the newest view, if the subsystem is still there.
    pub(crate) fn read<R>(&self, read: impl FnOnce(&SubsystemView) -> R) -> Option<R> {
        self.registry.read(|data| {
            let view = data.views.get(self.slot)?;
            Arc::ptr_eq(view.declaration(), &self.declaration).then(|| read(view))
        })
    }

    /// Whether a beat is looked for.
    #[cfg(all(test, feature = "check", not(tower_readiness_loom)))]
    pub(super) fn has_heartbeat(&self) -> bool {
        self.heartbeat.is_some()
    }

    /// A sign of life, and nothing more.
    #[inline]
    pub(crate) fn beat(&self) {
        if let Some(heartbeat) = &self.heartbeat {
            heartbeat.beat();
        }
    }

    /// From now on, silence is none as long as the witness shows progress.
    pub(crate) fn set_witness(&self, witness: Witness) {
        let keeper = &self.registry.timer;
        keeper.set_witness(self.slot, &self.declaration, witness);
    }

    /// Tells how many requests are in flight, without keeping the registry
    /// alive.
    pub(crate) fn in_flight(&self) -> impl Fn() -> usize + Send + Sync + use<> {
        let registry = Arc::downgrade(&self.registry);
        move || {
            registry
                .upgrade()
                .map_or(0, |registry| registry.traffic().flights.entered())
        }
    }

    /// A sign of life that may be more: `true` if it is not, for the view
    /// `says` all of it.
    pub(crate) fn repeats(&self, says: impl FnOnce(&SubsystemView) -> bool) -> bool {
        if let Some(heartbeat) = &self.heartbeat {
            heartbeat.beat_before_reading();
        }
        self.read(says).unwrap_or(false)
    }

    pub(crate) fn report(&self, state: State, reason: &str) {
        let reason = shortened(reason);
        self.registry.background().start();
        if self.repeats(|view| view.is_repeat(state, reason)) {
            return;
        }
        self.change(|view| {
            let new = !view.is_repeat(state, reason);
            ((), new.then(|| view.report(state, reason, now())))
        });
    }

    /// Lets `change` set the next view, unless it gives none. `None` if the
    /// subsystem has retired.
    pub(crate) fn change<R>(
        &self,
        change: impl FnOnce(&SubsystemView) -> (R, Option<SubsystemView>),
    ) -> Option<R> {
        self.change_in(|view, _| change(view))
    }

    /// The same, by the phase of the process.
    pub(super) fn change_in<R>(
        &self,
        change: impl FnOnce(&SubsystemView, Phase) -> (R, Option<SubsystemView>),
    ) -> Option<R> {
        let write = |_: &mut WriterState, draft: &mut SnapshotBuilder| {
            let view = draft.view(self.slot)?;
            if !Arc::ptr_eq(view.declaration(), &self.declaration) {
                return None;
            }
            let (result, view) = change(view, draft.phase());
            if view.is_some() {
                draft.set(self.slot, view);
            }
            Some(result)
        };
        if self.waits_for_log {
            self.registry.report(write)
        } else {
            self.registry.update(write)
        }
    }
}

/// What is kept of a reason; an empty one is none.
pub(crate) fn shortened(reason: &str) -> Option<&str> {
    Some(text::cut(reason, text::MAX_BYTES)).filter(|reason| !reason.is_empty())
}

#[cfg(all(test, not(tower_readiness_loom)))]
mod tests {
    use super::super::{Readiness, Subsystem};
    use crate::state::State;

    #[test]
    fn a_voice_does_not_speak_for_whoever_takes_the_place_of_its_subsystem() {
        let readiness = Readiness::builder().allow_empty().build().unwrap();
        let handle = readiness
            .add(Subsystem::new("spare"))
            .unwrap()
            .into_handle();
        handle.report(State::Ready, "");
        let reporter = |handle: super::SubsystemHandle| {
            let (slot, declaration) = (handle.slot, handle.declaration.clone());
            super::super::Reporter::new(readiness.clone(), slot, declaration)
        };
        reporter(handle.clone()).retire();
        // It finds the place that was left.
        let new = readiness.add(Subsystem::new("spare")).unwrap();
        assert_eq!(readiness.snapshot().subsystems().count(), 1);
        handle.report(State::Failing, "not my place");
        assert!(handle.read(|_| ()).is_none());
        assert!(handle.change(|_| ((), None)).is_none());
        let snapshot = readiness.snapshot();
        let state = snapshot.subsystem("spare").unwrap().state();
        assert_eq!(state, State::Starting);
        drop(new);
    }
}
