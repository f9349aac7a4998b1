use super::{arrivals::Arrivals, classify::ClassifyOutcome};
use crate::sync::CountedArc;
use std::{
    borrow::Borrow,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

/// A guard for work of the process, counted by
/// [`Readiness::in_flight`](crate::Readiness::in_flight) until it is dropped.
///
/// A layer that [counts](crate::ReadinessLayer::count_in_flight) holds a guard for
/// each request it admits, until the body of the response has ended. Tower does
/// not see an *upgraded* connection (a WebSocket, a CONNECT tunnel), so such a
/// request carries a guard in its extensions. The handler moves it into the task
/// that serves the connection:
///
/// ```
/// use http::Request;
/// use tower_readiness::drain::InFlightGuard;
///
/// async fn upgrade<B: Send + 'static>(mut request: Request<B>) {
///     let in_flight = request.extensions_mut().remove::<InFlightGuard>();
///     tokio::spawn(async move {
///         // … hyper::upgrade::on(request).await, and talk …
///         # let _ = request;
///         drop(in_flight); // the drain may go on without this connection
///     });
/// }
/// ```
///
/// [`Readiness::track`](crate::Readiness::track) counts other work.
///
/// Each clone counts as one; so an upgrade counts as two, until its response
/// is sent or its handler has dropped the request.
#[derive(Clone)]
#[must_use = "it counts until it is dropped"]
pub struct InFlightGuard(CountedArc<Shard>);

impl InFlightGuard {
    pub(super) fn new(shard: CountedArc<Shard>) -> Self {
        Self(shard)
    }

    /// Whether the process drains.
    pub(crate) fn is_draining(&self) -> bool {
        let arrivals = self.0.arrivals.as_ref();
        arrivals.is_some_and(|arrivals| arrivals.since().is_some())
    }

    /// The counters for the outcome of the request, or `None` if it is not observed.
    /// A guard that is dropped before the outcome is known counts none.
    #[inline]
    pub(crate) fn observed(&self) -> Option<&Observed> {
        self.0.observed.as_ref()
    }

    /// Counts the request as failed, if its outcome is observed.
    pub(crate) fn count_failed(&self) {
        if let Some(observed) = self.observed() {
            observed.count_failed();
        }
    }
}

crate::debug::fields!(InFlightGuard);

/// The guard of an observed request whose response has not failed so far.
///
/// Dropping it counts the request as answered: the body has ended, or the client
/// has hung up.
#[derive(Debug)]
pub(crate) struct ResponseGuard<G: Borrow<InFlightGuard> = InFlightGuard>(Option<G>);

impl ResponseGuard {
    /// Lets pieces of the body keep the request in flight too.
    pub(crate) fn share(mut self) -> ResponseGuard<Arc<InFlightGuard>> {
        ResponseGuard(self.0.take().map(Arc::new))
    }
}

impl<G: Borrow<InFlightGuard>> ResponseGuard<G> {
    #[inline]
    pub(crate) fn new(in_flight: G) -> Self {
        Self(Some(in_flight))
    }

    /// The guard of the request, until [`fail`](Self::fail) takes it.
    pub(crate) fn in_flight(&self) -> Option<&G> {
        self.0.as_ref()
    }

    /// Counts the request as failed. Returns the guard that keeps it in flight until
    /// its body has ended.
    #[cold]
    pub(crate) fn fail(mut self) -> Option<G> {
        let in_flight = self.0.take();
        if let Some(in_flight) = &in_flight {
            in_flight.borrow().count_failed();
        }
        in_flight
    }
}

impl<G: Borrow<InFlightGuard>> Drop for ResponseGuard<G> {
    #[inline]
    fn drop(&mut self) {
        let in_flight = self.0.as_ref().map(Borrow::borrow);
        if let Some(observed) = in_flight.and_then(InFlightGuard::observed) {
            if thread::panicking() {
                // Most likely the body panicked.
                observed.count_failed();
            } else {
                observed.count_answered();
            }
        }
    }
}

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
