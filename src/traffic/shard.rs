use super::{arrivals::Arrivals, classify::ClassifyOutcome};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// One shard of a counter. The in-flight count is the `Arc`'s strong count minus
/// one: a request owns an `Arc` that outlives the layer anyway, so counting costs no
/// atomic step of its own.
///
/// Two cache lines, because processors fetch them in pairs.
#[derive(Default)]
#[repr(align(128))]
pub(super) struct Shard {
    pub(super) observed: Option<Observed>,
    /// Shows whether the process drains, for responses with Envoy's header. It is
    /// here, so that response futures need no field for it.
    pub(super) arrivals: Option<Arc<Arrivals>>,
}

/// Counts the outcomes of the requests of one shard that were admitted while ready.
///
/// Each request counts once, at its end.
#[derive(Default)]
pub(crate) struct Observed {
    answered: AtomicU64,
    failed: AtomicU64,
    /// `None` for the built-in classifier.
    classifier: Option<Arc<dyn ClassifyOutcome>>,
}

impl Observed {
    pub(super) fn by(classifier: Option<Arc<dyn ClassifyOutcome>>) -> Self {
        Self {
            classifier,
            ..Self::default()
        }
    }

    pub(crate) fn classifier(&self) -> Option<&dyn ClassifyOutcome> {
        self.classifier.as_deref()
    }

    #[inline]
    pub(super) fn count_answered(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
    }

    #[cold]
    pub(crate) fn count_failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    pub(super) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_do_not_share_a_cache_line() {
        assert_eq!(align_of::<Shard>(), 128);
    }
}
