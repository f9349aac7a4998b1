use super::readiness::Readiness;

/// Keeps the process paused until dropped; see [`Readiness::pause`].
#[derive(Debug)]
#[must_use = "the process is paused only as long as the guard is alive"]
pub struct PauseGuard {
    readiness: Readiness,
    id: u64,
}

impl PauseGuard {
    pub(crate) fn new(readiness: Readiness, id: u64) -> Self {
        Self { readiness, id }
    }
}

impl Drop for PauseGuard {
    fn drop(&mut self) {
        self.readiness.core().update(|desk, draft| {
            desk.pauses.retain(|(id, _)| *id != self.id);
            draft.set_pause(desk.pauses.last().map(|(_, reason)| reason.clone()));
        });
    }
}
