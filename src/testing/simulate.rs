use super::SimulateError;
use crate::{
    registry::{Readiness, SubsystemHandle, now},
    state::State,
};
use std::fmt;

impl Readiness {
    /// Lets `state` count for a subsystem or a [group](crate::Group) instead of a better
    /// one, until the guard is dropped. Reports go on beside it: they count where they are
    /// as bad or worse, and after the simulation.
    ///
    /// From good to bad, the states are ready, degraded, starting, failing, stale, dead.
    /// Of several simulations of a subsystem the worst counts, and the first of equals.
    /// A start latch that is open stays open, and one that is closed does not open before
    /// the state that counts is up. Damping and ttls apply to reports alone.
    ///
    /// Every surface marks the state. The reason that it shows is `simulated: ` and this
    /// one, of 1 KiB in all; the list of a probe and the page add the word `simulated`; in
    /// JSON the subsystem has the field
    /// [`simulated`](crate::SubsystemView::is_simulated). gRPC health checks and metrics
    /// show the state alone.
    ///
    /// # Errors
    ///
    /// When there is no such subsystem or group, or `state` is [`Ready`](State::Ready).
    pub fn simulate(
        &self,
        name: &str,
        state: State,
        reason: impl AsRef<str>,
    ) -> Result<SimulationGuard, SimulateError> {
        if state == State::Ready {
            return Err(SimulateError::Ready);
        }
        // Code of the application, which may use the registry.
        let reason = reason.as_ref();
        loop {
            let handle = self.subsystem_handle(name)?;
            let id = handle.change(|view| {
                let (id, next) = view.simulate(state, reason, now());
                (id, Some(next))
            });
            // `None` if it has retired meanwhile. Another may have its name now.
            if let Some(id) = id {
                return Ok(SimulationGuard { handle, id });
            }
        }
    }
}

/// Simulates a state until dropped; see [`Readiness::simulate`].
///
/// A guard does not keep the registry open. Its drop has no effect on a subsystem that has
/// retired, or on a later one of the same name.
#[must_use = "the simulation ends when the guard is dropped"]
pub struct SimulationGuard {
    handle: SubsystemHandle,
    id: u64,
}

impl Drop for SimulationGuard {
    fn drop(&mut self) {
        self.handle
            .change(|view| ((), Some(view.end_simulation(self.id, now()))));
    }
}

impl fmt::Debug for SimulationGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.handle.read(|view| view.name().to_owned());
        f.debug_tuple("SimulationGuard").field(&name).finish()
    }
}
