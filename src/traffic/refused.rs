use crate::state::{PerReason, Reason};
use std::sync::atomic::{AtomicU64, Ordering};

/// How many requests were refused, by reason.
#[derive(Debug, Default)]
pub(crate) struct Refused(PerReason<AtomicU64>);

impl Refused {
    pub(crate) fn count(&self, reason: Reason) {
        self.0[reason].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn of(&self, reason: Reason) -> u64 {
        self.0[reason].load(Ordering::Relaxed)
    }
}
