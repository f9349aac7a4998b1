use super::readiness::Readiness;
use crate::state::text;
use std::sync::Arc;

impl Readiness {
    /// Makes readiness red until the guard is dropped, while traffic is still
    /// served: for maintenance, a standby replica, blue/green.
    ///
    /// Pauses may overlap; the process is paused while any guard is alive.
    /// The reason is kept to 1 KiB.
    pub fn pause(&self, reason: impl AsRef<str>) -> PauseGuard {
        let reason: Arc<str> = text::cut(reason.as_ref(), text::MAX_BYTES).into();
        let id = self.core().update(|desk, draft| {
            desk.pauses_so_far += 1;
            desk.pauses.push((desk.pauses_so_far, Arc::clone(&reason)));
            draft.set_pause(Some(reason));
            desk.pauses_so_far
        });
        PauseGuard {
            readiness: self.clone(),
            id,
        }
    }
}

/// Keeps the process paused until dropped; see [`Readiness::pause`].
#[derive(Debug)]
#[must_use = "the process is paused only as long as the guard is alive"]
pub struct PauseGuard {
    readiness: Readiness,
    id: u64,
}

impl Drop for PauseGuard {
    fn drop(&mut self) {
        self.readiness.core().update(|desk, draft| {
            desk.pauses.retain(|(id, _)| *id != self.id);
            draft.set_pause(desk.pauses.last().map(|(_, reason)| reason.clone()));
        });
    }
}
