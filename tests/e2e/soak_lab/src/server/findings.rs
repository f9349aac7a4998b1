//! The faults that the server finds in itself.

use std::sync::atomic::{AtomicU64, Ordering};

/// How many findings are printed.
const PRINTED: u64 = 20;

#[derive(Default)]
pub(crate) struct Findings(AtomicU64);

impl Findings {
    pub(crate) fn add(&self, finding: &str) {
        if self.0.fetch_add(1, Ordering::Relaxed) < PRINTED {
            eprintln!("the server: {finding}");
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
