use super::{
    core::{Core, now},
    keeper::Pulse,
};
use crate::state::{Declaration, Slot, State, SubsystemView, text};
use std::sync::Arc;

/// What speaks for one subsystem: a reporter, or a check. It does not keep the
/// registry alive.
#[derive(Clone)]
pub(crate) struct Voice {
    core: Arc<Core>,
    slot: Slot,
    /// Tells the subsystem from another one that stands in its slot later.
    declaration: Arc<Declaration>,
    /// Where somebody listens for it.
    pulse: Option<Arc<Pulse>>,
}

impl Voice {
    pub(super) fn new(core: &Arc<Core>, slot: Slot, declaration: Arc<Declaration>) -> Self {
        Self {
            pulse: core.keeper.pulse(slot, &declaration),
            core: Arc::clone(core),
            slot,
            declaration,
        }
    }

    pub(super) fn slot(&self) -> Slot {
        self.slot
    }

    /// Looks at the newest view, if the subsystem is still there.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&SubsystemView) -> R) -> Option<R> {
        self.core.look(|data| {
            let view = data.views.get(self.slot)?;
            Arc::ptr_eq(view.declaration(), &self.declaration).then(|| look(view))
        })
    }

    /// A sign of life, and nothing more.
    #[inline]
    pub(crate) fn beat(&self) {
        if let Some(pulse) = &self.pulse {
            pulse.beat();
        }
    }

    /// A sign of life that may be more: `true` if it is not, for the view
    /// `says` all of it.
    pub(crate) fn repeats(&self, says: impl FnOnce(&SubsystemView) -> bool) -> bool {
        if let Some(pulse) = &self.pulse {
            pulse.beat_before_looking();
        }
        self.look(says).unwrap_or(false)
    }

    pub(crate) fn report(&self, state: State, reason: &str) {
        let reason = shortened(reason);
        if self.repeats(|view| view.says(state, reason)) {
            return;
        }
        self.change(|view| {
            let new = !view.says(state, reason);
            ((), new.then(|| view.report(state, reason, now())))
        });
        self.core.jobs().start();
    }

    /// Lets `change` set the next view, unless it gives none. `None` if the
    /// subsystem has retired.
    pub(crate) fn change<R>(
        &self,
        change: impl FnOnce(&SubsystemView) -> (R, Option<SubsystemView>),
    ) -> Option<R> {
        self.core.update(|_, draft| {
            let view = draft.view(self.slot)?;
            if !Arc::ptr_eq(view.declaration(), &self.declaration) {
                return None;
            }
            let (result, view) = change(view);
            if view.is_some() {
                draft.set(self.slot, view);
            }
            Some(result)
        })
    }
}

/// What is kept of a reason; an empty one is none.
pub(crate) fn shortened(reason: &str) -> Option<&str> {
    Some(text::cut(reason, text::MAX_BYTES)).filter(|reason| !reason.is_empty())
}
