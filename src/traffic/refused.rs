use crate::state::{PerReason, Reason, ScopeId};
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts the requests that the gates of a registry have refused, by scope and
/// reason.
#[derive(Debug)]
pub(crate) struct Refused {
    process: PerReason<AtomicU64>,
    named: Box<[PerReason<AtomicU64>]>,
}

impl Refused {
    /// Counters of zero for a registry with this number of named scopes.
    pub(super) fn new(scopes: usize) -> Self {
        Self {
            process: PerReason::default(),
            named: (0..scopes).map(|_| PerReason::default()).collect(),
        }
    }

    pub(crate) fn count(&self, scope: ScopeId, reason: Reason) {
        self.scope(scope)[reason].fetch_add(1, Ordering::Relaxed);
    }

    /// How many requests the gates of one scope have refused for this reason.
    pub(crate) fn by_scope(&self, scope: ScopeId, reason: Reason) -> u64 {
        self.scope(scope)[reason].load(Ordering::Relaxed)
    }

    /// How many requests all gates have refused for this reason.
    pub(crate) fn total(&self, reason: Reason) -> u64 {
        let named = self.named.iter().map(|scope| &scope[reason]);
        let all = std::iter::once(&self.process[reason]).chain(named);
        all.map(|count| count.load(Ordering::Relaxed)).sum()
    }

    fn scope(&self, scope: ScopeId) -> &PerReason<AtomicU64> {
        match scope {
            ScopeId::Process => &self.process,
            ScopeId::Named(index) => &self.named[index],
        }
    }
}
