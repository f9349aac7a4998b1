use super::{in_flight::InFlightGuard, shard::Observed};
use std::thread;

impl InFlightGuard {
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
pub(crate) struct ResponseGuard(Option<InFlightGuard>);

impl ResponseGuard {
    #[inline]
    pub(crate) fn new(in_flight: InFlightGuard) -> Self {
        Self(Some(in_flight))
    }

    /// Counts it as failed. It is in flight until its body has ended.
    #[cold]
    pub(crate) fn fail(mut self) -> Option<InFlightGuard> {
        let in_flight = self.0.take();
        if let Some(observed) = in_flight.as_ref().and_then(InFlightGuard::observed) {
            observed.count_failed();
        }
        in_flight
    }
}

impl Drop for ResponseGuard {
    #[inline]
    fn drop(&mut self) {
        if let Some(observed) = self.0.as_ref().and_then(InFlightGuard::observed) {
            if thread::panicking() {
                // Most likely the body did.
                observed.count_failed();
            } else {
                observed.count_answered();
            }
        }
    }
}
