use super::{
    error::{UnknownScope, WaitError},
    name,
    readiness::Readiness,
};
use crate::state::{Reason, ScopeId, Verdict};
use std::fmt;

impl Readiness {
    /// A handle on the named scope.
    ///
    /// # Errors
    ///
    /// When no scope of this name was declared.
    pub fn scope(&self, name: &str) -> Result<Scope, UnknownScope> {
        self.registry()
            .read(|data| data.scope_id(name))
            .map(|id| Scope::new(self.clone(), id))
            .ok_or_else(|| UnknownScope {
                name: name::shown(name),
                known: self
                    .registry()
                    .read(|data| name::listed(data.scopes.iter().map(|scope| &*scope.name))),
            })
    }
}

/// A handle on a scope: on a named one from [`Readiness::scope`], or, by
/// `Scope::from(&readiness)`, on the process as a whole.
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

    pub(crate) fn id(&self) -> ScopeId {
        self.id
    }

    /// The registry that the scope is part of.
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// The scope's name, or `None` for the process as a whole.
    pub fn name(&self) -> Option<String> {
        self.readiness
            .registry()
            .read(|data| data.scope_name(self.id).map(ToString::to_string))
    }

    /// The newest verdict on the scope.
    pub fn verdict(&self) -> Verdict {
        self.readiness.registry().publish_overdue();
        self.readiness.registry().read(|data| data.verdict(self.id))
    }

    /// How many requests the gates of this scope have refused for `reason` so
    /// far. A scope made from a [`Readiness`] has those gates that are about the
    /// process as a whole; [`Readiness::refused`] counts all.
    pub fn refused(&self, reason: Reason) -> u64 {
        let traffic = self.readiness.registry().traffic();
        traffic.refused.of(self.id, reason)
    }

    /// How many requests the gates of this scope would have refused for `reason`
    /// so far, were it not for their [dry run](crate::ReadinessLayer::dry_run).
    pub fn dry_run_refused(&self, reason: Reason) -> u64 {
        let traffic = self.readiness.registry().traffic();
        traffic.dry_run_refused.of(self.id, reason)
    }

    /// Waits until the scope is ready. Returns at once if it is.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// Once the process drains, for the scope will not become ready again.
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

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("name", &self.name())
            .field("verdict", &self.verdict())
            .finish_non_exhaustive()
    }
}
