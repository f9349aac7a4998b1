use super::{
    error::{UnknownScope, WaitError},
    readiness::Readiness,
};
use crate::state::{Reason, ScopeId, Verdict};

impl Readiness {
    /// Returns a handle on the named scope.
    ///
    /// # Errors
    ///
    /// When no scope has this name.
    pub fn scope(&self, name: &str) -> Result<Scope, UnknownScope> {
        let id = self.registry().read(|data| {
            let id = data.scope_id(name);
            id.ok_or_else(|| UnknownScope::new(name, data))
        })?;
        Ok(Scope::new(self.clone(), id))
    }
}

/// A handle on a scope. [`Readiness::scope`] returns a named scope, and
/// `Scope::from(&readiness)` the process as a whole.
///
/// Cheap to clone.
#[derive(Clone)]
pub struct Scope {
    readiness: Readiness,
    id: ScopeId,
}

impl Scope {
    fn new(readiness: Readiness, id: ScopeId) -> Self {
        Self { readiness, id }
    }

    #[cfg(feature = "gate")]
    pub(crate) fn id(&self) -> ScopeId {
        self.id
    }

    /// Returns the registry that contains the scope.
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// Returns the scope's name, or `None` for the process as a whole.
    pub fn name(&self) -> Option<String> {
        self.readiness
            .registry()
            .read(|data| data.scope_name(self.id).map(ToString::to_string))
    }

    /// Returns the newest verdict on the scope.
    pub fn verdict(&self) -> Verdict {
        self.readiness.registry().publish_overdue();
        self.readiness.registry().read(|data| data.verdict(self.id))
    }

    /// Returns how many requests the gates of this scope have refused for `reason`
    /// so far. The scope of the process as a whole has only the gates without a
    /// named scope; [`Readiness::refused`] counts all gates.
    pub fn refused(&self, reason: Reason) -> u64 {
        let traffic = self.readiness.registry().traffic();
        traffic.gates.refused(Some(self.id), reason)
    }

    /// Returns how many requests the gates of this scope would have refused for
    /// `reason` so far without their [dry run](crate::ReadinessLayer::dry_run).
    pub fn dry_run_refused(&self, reason: Reason) -> u64 {
        let traffic = self.readiness.registry().traffic();
        traffic.dry_run_gates.refused(Some(self.id), reason)
    }

    /// Waits until the scope is ready. Returns at once if it is.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// When the process drains, since the scope will not become ready again.
    pub async fn wait_ready(&self) -> Result<(), WaitError> {
        self.readiness.wait_ready_in(self.id).await
    }
}

impl From<&Scope> for Scope {
    fn from(scope: &Scope) -> Self {
        scope.clone()
    }
}

impl From<&Readiness> for Scope {
    fn from(readiness: &Readiness) -> Self {
        Self::new(readiness.clone(), ScopeId::Process)
    }
}

crate::debug::fields!(Scope, |this| {
    name: this.name(),
    verdict: this.verdict(),
});
