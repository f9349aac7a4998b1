use super::{
    error::{UnknownScope, WaitError},
    name,
    readiness::Readiness,
};
use crate::state::{ScopeId, Verdict};
use std::fmt;

impl Readiness {
    /// A handle on the named scope.
    ///
    /// # Errors
    ///
    /// When no scope of this name was declared.
    pub fn scope(&self, name: &str) -> Result<Scope, UnknownScope> {
        self.core()
            .look(|data| data.scope_id(name))
            .map(|id| Scope::new(self.clone(), id))
            .ok_or_else(|| UnknownScope {
                name: name::shown(name),
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
        match self.id {
            ScopeId::Process => None,
            ScopeId::Named(index) => Some(
                self.readiness
                    .core()
                    .look(|data| data.scopes[index].name.to_string()),
            ),
        }
    }

    /// The newest verdict on the scope.
    pub fn verdict(&self) -> Verdict {
        self.readiness.core().notice();
        self.readiness.core().look(|data| data.verdict(self.id))
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
