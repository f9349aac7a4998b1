use super::{classify::ClassifyOutcome, in_flight::InFlight};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

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

impl InFlight {
    /// Where the outcome of the request goes, if anybody wants to know it.
    /// Dropped before there is one, it leaves none.
    #[inline]
    pub(crate) fn observed(&self) -> Option<&Observed> {
        self.shard().observed.as_ref()
    }
}

/// An observed request that has its response, which has not failed so far.
///
/// Dropping it counts it as answered: its body has ended, or nobody wants the
/// rest of it.
#[derive(Debug)]
pub(crate) struct Answered(Option<InFlight>);

impl Answered {
    #[inline]
    pub(crate) fn new(in_flight: InFlight) -> Self {
        Self(Some(in_flight))
    }

    /// Counts it as failed. It is in flight until its body has ended.
    #[cold]
    pub(crate) fn fail(mut self) -> Option<InFlight> {
        let in_flight = self.0.take();
        if let Some(observed) = in_flight.as_ref().and_then(InFlight::observed) {
            observed.count_failed();
        }
        in_flight
    }
}

impl Drop for Answered {
    #[inline]
    fn drop(&mut self) {
        if let Some(observed) = self.0.as_ref().and_then(InFlight::observed) {
            let count = if thread::panicking() {
                // Most likely the body did.
                &observed.failed
            } else {
                &observed.answered
            };
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}
