//! The counts that a subsystem adds to its scopes.

use super::SubsystemView;
use crate::state::{
    counts::Counts,
    vocabulary::{Role, State},
};

impl SubsystemView {
    pub(crate) fn scopes(&self) -> &[usize] {
        &self.membership.scopes
    }

    /// The counts that it adds to the process as a whole, by its role.
    pub(crate) fn effect_on_process(&self) -> Counts {
        if self.role() == Role::Informative {
            return Counts::default();
        }
        let mut effect = self.effect_on_all();
        if self.state().is_up() {
            effect.degraded = u32::from(self.state() == State::Degraded);
            return effect;
        }
        if self.pending {
            effect.degraded = 1;
            return effect;
        }
        match self.role() {
            Role::Required => {
                effect.failing = 1;
                effect.absent = u32::from(self.declaration().awaited);
            }
            Role::Shared if !self.been_up => effect.awaited = 1,
            Role::Shared | Role::Optional => effect.degraded = 1,
            // Returned above.
            Role::Informative => {}
        }
        effect.vital_dead =
            u32::from(self.is_vital() && matches!(self.state(), State::Dead | State::Stale));
        effect
    }

    /// The counts that it adds to a named scope, where every member counts as
    /// required.
    pub(crate) fn effect_on_scope(&self) -> Counts {
        let down = u32::from(!self.state().is_up());
        Counts {
            absent: down,
            failing: down,
            degraded: u32::from(self.state() == State::Degraded),
            ..self.effect_on_all()
        }
    }

    fn effect_on_all(&self) -> Counts {
        let (checked, up) = (self.declaration().is_checked(), self.state().is_up());
        Counts {
            checked_up: u32::from(checked && up),
            checked_down: u32::from(checked && !up),
            ..Counts::default()
        }
    }
}
