use super::readiness::Readiness;
use crate::state::text;
use std::sync::Arc;

impl Readiness {
    /// Makes readiness red until the guard is dropped, while traffic is still
    /// served: for maintenance, a standby replica, or blue/green deployment.
    ///
    /// Pauses may overlap; the process is paused while any guard is alive.
    /// The reason is cut to 1 KiB.
    pub fn pause(&self, reason: impl AsRef<str>) -> PauseGuard {
        self.begin_pause(reason.as_ref(), true)
    }

    /// As [`pause`](Self::pause), but neither the call nor the drop of the guard
    /// waits for the log: for the admin listener.
    #[cfg(all(unix, feature = "commands"))]
    pub(crate) fn pause_at_once(&self, reason: &str) -> PauseGuard {
        self.begin_pause(reason, false)
    }

    fn begin_pause(&self, reason: &str, waits_for_log: bool) -> PauseGuard {
        let reason: Arc<str> = text::cut(reason, text::MAX_BYTES).into();
        let id = self.registry().write(waits_for_log, |writer_state, draft| {
            writer_state.pauses_so_far += 1;
            let id = writer_state.pauses_so_far;
            writer_state.pauses.push((id, Arc::clone(&reason)));
            draft.set_pause(Some(reason));
            id
        });
        PauseGuard {
            readiness: self.clone(),
            id,
            waits_for_log,
        }
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
        let registry = self.readiness.registry();
        registry.write(self.waits_for_log, |writer_state, draft| {
            writer_state.pauses.retain(|(id, _)| *id != self.id);
            draft.set_pause(writer_state.pauses.last().map(|(_, reason)| reason.clone()));
        });
    }
}
