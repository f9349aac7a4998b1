use super::{
    core::{Core, now},
    jobs::{JobId, Lost, Start},
    subsystem::Subsystem,
    voice::Voice,
};
use crate::state::{Declaration, Phase, Slot};
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
        let Some(check) = subsystem.check.clone() else {
            return;
        };
        let voice = {
            let (core, declaration) = (Arc::downgrade(self), Arc::clone(declaration));
            move || Some(Voice::new(&core.upgrade()?, slot, Arc::clone(&declaration)))
        };
        let lost: Lost = {
            let voice = voice.clone();
            Arc::new(move |why| {
                if let Some(voice) = voice() {
                    voice.lose_check(why);
                }
            })
        };
        let start: Start = Arc::new(move || Some(check(voice()?)));
        self.jobs()
            .add_with(JobId::Check(slot), Some(lost), || start);
    }
}

impl Voice {
    /// Reports why the check of the subsystem does not run any more.
    fn lose_check(&self, why: &'static str) {
        self.change_in(|view, phase| {
            // While it drains, tasks end in any order.
            let counts = phase < Phase::Draining;
            ((), counts.then(|| view.lose_check(why, now())).flatten())
        });
    }
}
