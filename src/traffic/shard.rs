use super::{classify::ClassifyOutcome, drain_clock::DrainClock};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Its owners are what is in flight. A request must own something that outlives
/// the layer anyway, so the one atomic step which that takes does both.
///
/// Two cache lines, for processors fetch them in pairs.
#[derive(Default)]
#[repr(align(128))]
pub(super) struct Shard {
    pub(super) observed: Option<Observed>,
    /// Whether the process drains, for a request whose response says so. By the
    /// way of what it owns anyway, the future of every other stays as small.
    pub(super) drain_clock: Option<Arc<DrainClock>>,
}

/// What became of the requests of one shard that were admitted while ready.
///
/// Each of them counts once, at its end, so that what has failed is never more
/// than there was.
#[derive(Default)]
pub(crate) struct Observed {
    answered: AtomicU64,
    failed: AtomicU64,
    /// `None` for the one that is built in.
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
