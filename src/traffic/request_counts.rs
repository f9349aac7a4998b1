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

/// Counts the requests of some gates, by outcome and reason.
#[derive(Debug, Default)]
pub(crate) struct OutcomeCounts(PerReason<[AtomicU64; 3]>);

impl OutcomeCounts {
    pub(crate) fn count(&self, outcome: GateOutcome, reason: Reason) {
        self.0[reason][outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self, outcome: GateOutcome, reason: Reason) -> u64 {
        self.0[reason][outcome as usize].load(Ordering::Relaxed)
    }

    /// Includes the requests that were shed.
    pub(crate) fn refused(&self, reason: Reason) -> u64 {
        self.get(GateOutcome::Refused, reason) + self.get(GateOutcome::Shed, reason)
    }
}

/// Counts the requests that the gates of a registry have not admitted at once, by
/// scope, outcome and reason.
#[derive(Debug)]
pub(crate) struct RequestCounts {
    process: OutcomeCounts,
    named: Box<[OutcomeCounts]>,
}

impl RequestCounts {
    /// Counters of zero for a registry with this number of named scopes.
    pub(super) fn new(scopes: usize) -> Self {
        Self {
            process: OutcomeCounts::default(),
            named: (0..scopes).map(|_| OutcomeCounts::default()).collect(),
        }
    }

    pub(crate) fn count(&self, scope: ScopeId, outcome: GateOutcome, reason: Reason) {
        self.scope(scope).count(outcome, reason);
    }

    /// How many requests had this outcome, for this reason, at the gates of one scope.
    pub(crate) fn get(&self, scope: ScopeId, outcome: GateOutcome, reason: Reason) -> u64 {
        self.scope(scope).get(outcome, reason)
    }

    /// How many requests the gates of one scope, or all gates, have refused for this
    /// reason. Includes those that were shed.
    pub(crate) fn refused(&self, scope: Option<ScopeId>, reason: Reason) -> u64 {
        if let Some(scope) = scope {
            return self.scope(scope).refused(reason);
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

    fn scope(&self, scope: ScopeId) -> &OutcomeCounts {
        match scope {
            ScopeId::Process => &self.process,
            ScopeId::Named(index) => &self.named[index],
        }
    }
}
