use crate::state::Reason;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many requests were refused, by reason.
#[derive(Debug, Default)]
pub(crate) struct Refused([AtomicU64; Reason::ALL.len()]);

impl Refused {
    pub(crate) fn count(&self, reason: Reason) {
        self.0[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn of(&self, reason: Reason) -> u64 {
        self.0[reason as usize].load(Ordering::Relaxed)
    }
}
