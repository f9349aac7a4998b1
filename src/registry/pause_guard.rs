use super::{core::WriterState, readiness::Readiness};
use crate::state::{SnapshotBuilder, text};
use std::sync::Arc;

impl Readiness {
    /// Makes readiness red until the guard is dropped, while traffic is still
    /// served: for maintenance, a standby replica, or blue/green deployment.
    ///
    /// Pauses may overlap; the process is paused while any guard is alive.
    /// The reason is cut to 1 KiB.
    pub fn pause(&self, reason: impl AsRef<str>) -> PauseGuard {
        let id = self.registry().report(begin(reason.as_ref()));
        PauseGuard {
            readiness: self.clone(),
            id,
            waits_for_log: true,
        }
    }

    /// As [`pause`](Self::pause), but neither the call nor the drop of the guard
    /// waits for the log: for the admin listener.
    #[cfg(all(unix, feature = "commands"))]
    pub(crate) fn pause_at_once(&self, reason: &str) -> PauseGuard {
        let id = self.registry().update(begin(reason));
        PauseGuard {
            readiness: self.clone(),
            id,
            waits_for_log: false,
        }
    }
}

fn begin(reason: &str) -> impl FnOnce(&mut WriterState, &mut SnapshotBuilder) -> u64 {
    let reason: Arc<str> = text::cut(reason, text::MAX_BYTES).into();
    move |writer_state, draft| {
        writer_state.pauses_so_far += 1;
        writer_state
            .pauses
            .push((writer_state.pauses_so_far, Arc::clone(&reason)));
        draft.set_pause(Some(reason));
        writer_state.pauses_so_far
    }
}

/// Keeps the process paused until dropped; see [`Readiness::pause`].
#[derive(Debug)]
#[must_use = "the process is paused only as long as the guard is alive"]
pub struct PauseGuard {
    readiness: Readiness,
    id: u64,
    waits_for_log: bool,
}

impl Drop for PauseGuard {
    fn drop(&mut self) {
        let end = |writer_state: &mut WriterState, draft: &mut SnapshotBuilder| {
            writer_state.pauses.retain(|(id, _)| *id != self.id);
            draft.set_pause(writer_state.pauses.last().map(|(_, reason)| reason.clone()));
        };
        if self.waits_for_log {
            self.readiness.registry().report(end);
        } else {
            self.readiness.registry().update(end);
        }
    }
}
