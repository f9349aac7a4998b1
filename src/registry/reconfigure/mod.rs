//! Changes what the registry expects while the process runs.

mod draft;
mod plan;

use self::draft::{Applied, Draft};
pub use self::plan::Reconfiguration;
use super::{
    core::{Registry, now},
    error::ReconfigureError,
    readiness::Readiness,
};
use std::sync::Arc;

impl Readiness {
    /// Adds and removes subsystems, changes their roles, and adds and removes members of
    /// scopes, all in one version: so a new configuration needs no restart, and no reader
    /// sees a half of it.
    ///
    /// `plan` only notes the changes, which are applied in their order when it has
    /// returned. It holds no lock, so it may take its time and use this registry. The
    /// changes refer to the registry as it is then.
    ///
    /// - An added subsystem is [pending](crate::SubsystemView::is_pending), as after
    ///   [`add`](Self::add), but has no reporter yet: [claim](Self::reporter) it.
    /// - A subsystem that is removed has no effect any more, and its check ends. This call may
    ///   drop the future of a run, so hold no lock that its destructors take. The
    ///   reporter may go on: reports, its drop and its [retirement](crate::Reporter::retire)
    ///   are ignored, even if another subsystem gets the same name.
    /// - A subsystem whose role changes keeps its state, its reporter and its check. The
    ///   new role counts at once.
    /// - The startup latch never opens again. Before it closes, it waits for the subsystems
    ///   that were required when the registry was built and still are, and for no others.
    ///
    /// Scopes themselves are declared before the registry is built. A process that drains
    /// goes on draining.
    ///
    /// ```
    /// use tower_readiness::{Readiness, Role, Subsystem};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let readiness = Readiness::builder()
    ///     .subsystem(Subsystem::new("storage"))
    ///     .subsystem(Subsystem::new("index").optional())
    ///     .scope("search", ["index"])
    ///     .build()?;
    ///
    /// readiness.reconfigure(|plan| {
    ///     plan.add(Subsystem::new("vectors").optional())
    ///         .add_to_scope("search", "vectors")
    ///         .remove_from_scope("search", "index")
    ///         .role("index", Role::Informative);
    /// })?;
    /// let vectors = readiness.reporter("vectors")?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// When a name is unknown, invalid or taken, the plan removes a group, a setting of an
    /// added subsystem is invalid, a member is added to a scope twice or removed from a scope that does not have it, a
    /// scope would become empty, or the plan takes away the last required subsystem without
    /// [`allow_empty`](Reconfiguration::allow_empty). Nothing changes then.
    pub fn reconfigure(
        &self,
        plan: impl FnOnce(&mut Reconfiguration),
    ) -> Result<(), ReconfigureError> {
        let mut changes = Reconfiguration::default();
        plan(&mut changes);
        changes.validate()?;
        self.registry().reconfigure(changes)
    }
}

impl Registry {
    fn reconfigure(self: &Arc<Self>, plan: Reconfiguration) -> Result<(), ReconfigureError> {
        let at = now();
        let mut draft = Draft::new(plan);
        let applied: Result<_, ReconfigureError> = self.report(|writer_state, builder| {
            draft.resolve(writer_state, builder)?;
            Ok(draft.apply(writer_state, builder, at))
        });
        let Applied { added, removed } = applied?;
        for declaration in &removed {
            self.end_check(declaration);
        }
        // After they are published, so that their timers are set.
        for (slot, subsystem, declaration) in &added {
            self.start_tasks(*slot, subsystem, declaration);
        }
        self.background().start();
        Ok(())
    }
}
