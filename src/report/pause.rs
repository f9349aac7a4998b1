use super::{core::Desk, readiness::Readiness};
use crate::state::{Draft, text};
use std::sync::Arc;

impl Readiness {
    /// Makes readiness red until the guard is dropped, while traffic is still
    /// served: for maintenance, a standby replica, blue/green.
    ///
    /// Pauses may overlap; the process is paused while any guard is alive.
    /// The reason is kept to 1 KiB.
    pub fn pause(&self, reason: impl AsRef<str>) -> PauseGuard {
        let id = self.core().report(begin(reason.as_ref()));
        PauseGuard {
            readiness: self.clone(),
            id,
            waits_for_log: true,
        }
    }

    /// As [`pause`](Self::pause), and neither it nor the guard ever waits for the
    /// log: for the admin listener.
    #[cfg(all(feature = "server", unix))]
    pub(crate) fn pause_at_once(&self, reason: &str) -> PauseGuard {
        let id = self.core().update(begin(reason));
        PauseGuard {
            readiness: self.clone(),
            id,
            waits_for_log: false,
        }
    }
}

fn begin(reason: &str) -> impl FnOnce(&mut Desk, &mut Draft) -> u64 {
    let reason: Arc<str> = text::cut(reason, text::MAX_BYTES).into();
    move |desk, draft| {
        desk.pauses_so_far += 1;
        desk.pauses.push((desk.pauses_so_far, Arc::clone(&reason)));
        draft.set_pause(Some(reason));
        desk.pauses_so_far
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
        let end = |desk: &mut Desk, draft: &mut Draft| {
            desk.pauses.retain(|(id, _)| *id != self.id);
            draft.set_pause(desk.pauses.last().map(|(_, reason)| reason.clone()));
        };
        if self.waits_for_log {
            self.readiness.core().report(end);
        } else {
            self.readiness.core().update(end);
        }
    }
}
