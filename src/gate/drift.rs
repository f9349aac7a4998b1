use crate::{
    registry::{Readiness, Scope},
    state::ScopeId,
    traffic::Drift,
};
use tokio::time::Instant;

impl Readiness {
    /// Returns how well the readiness of the process has matched the outcomes of its
    /// requests, or `None` if no layer of the process as a whole
    /// [observes](crate::ReadinessLayer::observe_outcomes) them.
    pub fn drift(&self) -> Option<Drift> {
        drift(self, ScopeId::Process)
    }
}

impl Scope {
    /// Returns how well the readiness of the scope has matched the outcomes of its
    /// requests, or `None` if no layer of this scope
    /// [observes](crate::ReadinessLayer::observe_outcomes) them.
    pub fn drift(&self) -> Option<Drift> {
        drift(self.readiness(), self.id())
    }
}

fn drift(readiness: &Readiness, scope: ScopeId) -> Option<Drift> {
    let outcomes = &readiness.registry().traffic().outcomes;
    outcomes.drift(scope, Instant::now())
}
