use super::{in_flight::InFlightGuard, shard::Observed};
use std::thread;

impl InFlightGuard {
    /// The counters for the outcome of the request, or `None` if it is not observed.
    /// A guard that is dropped before the outcome is known counts none.
    #[inline]
    pub(crate) fn observed(&self) -> Option<&Observed> {
        self.shard().observed.as_ref()
    }

    /// Counts the request as failed, if its outcome is observed.
    pub(crate) fn count_failed(&self) {
        if let Some(observed) = self.observed() {
            observed.count_failed();
        }
    }
}

/// The guard of an observed request whose response has not failed so far.
///
/// Dropping it counts the request as answered: the body has ended, or the client
/// has hung up.
#[derive(Debug)]
pub(crate) struct ResponseGuard(Option<InFlightGuard>);

impl ResponseGuard {
    #[inline]
    pub(crate) fn new(in_flight: InFlightGuard) -> Self {
        Self(Some(in_flight))
    }

    /// Counts the request as failed. Returns the guard that keeps it in flight until
    /// its body has ended.
    #[cold]
    pub(crate) fn fail(mut self) -> Option<InFlightGuard> {
        let in_flight = self.0.take();
        if let Some(in_flight) = &in_flight {
            in_flight.count_failed();
        }
        in_flight
    }
}

impl Drop for ResponseGuard {
    #[inline]
    fn drop(&mut self) {
        if let Some(observed) = self.0.as_ref().and_then(InFlightGuard::observed) {
            if thread::panicking() {
                // Most likely the body panicked.
                observed.count_failed();
            } else {
                observed.count_answered();
            }
        }
    }
}
