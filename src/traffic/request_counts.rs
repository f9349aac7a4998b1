use crate::state::{PerReason, Reason, ScopeId};
use std::sync::atomic::{AtomicU64, Ordering};

/// The action of a gate on a request that it did not admit at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GateOutcome {
    /// The gate refused the request.
    Refused,
    /// The gate refused the request as one of those that it sheds.
    Shed,
    /// The gate held the request, and admitted or refused it later.
    Held,
}

type Counts = PerReason<[AtomicU64; 3]>;

/// Counts the requests that the gates of a registry have not admitted at once, by
/// scope, outcome and reason.
#[derive(Debug)]
pub(crate) struct RequestCounts {
    process: Counts,
    named: Box<[Counts]>,
}

impl RequestCounts {
    /// Counters of zero for a registry with this number of named scopes.
    pub(super) fn new(scopes: usize) -> Self {
        Self {
            process: Counts::default(),
            named: (0..scopes).map(|_| Counts::default()).collect(),
        }
    }

    pub(crate) fn count(&self, scope: ScopeId, outcome: GateOutcome, reason: Reason) {
        self.scope(scope)[reason][outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How many requests had this outcome, for this reason, at the gates of one scope.
    pub(crate) fn get(&self, scope: ScopeId, outcome: GateOutcome, reason: Reason) -> u64 {
        self.scope(scope)[reason][outcome as usize].load(Ordering::Relaxed)
    }

    /// How many requests the gates of one scope, or all gates, have refused for this
    /// reason. Includes those that were shed.
    pub(crate) fn refused(&self, scope: Option<ScopeId>, reason: Reason) -> u64 {
        if let Some(scope) = scope {
            let refused = self.get(scope, GateOutcome::Refused, reason);
            return refused + self.get(scope, GateOutcome::Shed, reason);
        }
        let named = (0..self.named.len()).map(ScopeId::Named);
        let all = std::iter::once(ScopeId::Process).chain(named);
        all.map(|scope| self.refused(Some(scope), reason)).sum()
    }

    /// How many requests the gates of one scope, or all gates, have refused. Includes
    /// those that were shed.
    pub(crate) fn all_refused(&self, scope: Option<ScopeId>) -> u64 {
        let reasons = Reason::ALL.iter();
        reasons.map(|reason| self.refused(scope, *reason)).sum()
    }

    fn scope(&self, scope: ScopeId) -> &Counts {
        match scope {
            ScopeId::Process => &self.process,
            ScopeId::Named(index) => &self.named[index],
        }
    }
}
