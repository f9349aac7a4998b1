use super::{
    core::Core,
    jobs::{JobId, Start},
    subsystem::Subsystem,
    voice::Voice,
};
use crate::state::{Declaration, Slot};
use std::sync::Arc;

impl Core {
    /// Takes on what runs for a subsystem.
    pub(super) fn employ(
        self: &Arc<Self>,
        slot: Slot,
        subsystem: &Subsystem,
        declaration: &Arc<Declaration>,
    ) {
        if declaration.is_timed() {
            self.hire_keeper();
        }
        if let Some(check) = subsystem.check.clone() {
            let (core, declaration) = (Arc::downgrade(self), Arc::clone(declaration));
            let start: Start = Arc::new(move || {
                let core = core.upgrade()?;
                Some(check(Voice::new(&core, slot, Arc::clone(&declaration))))
            });
            self.jobs().add(JobId::Check(slot), || start);
        }
    }
}
