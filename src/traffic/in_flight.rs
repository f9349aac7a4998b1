use super::shard::Shard;
use std::{fmt, sync::Arc};

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
pub struct InFlightGuard(Arc<Shard>);

impl InFlightGuard {
    pub(super) fn new(shard: Arc<Shard>) -> Self {
        Self(shard)
    }

    /// Whether the process drains.
    pub(crate) fn is_draining(&self) -> bool {
        let arrivals = self.0.arrivals.as_ref();
        arrivals.is_some_and(|arrivals| arrivals.since().is_some())
    }

    pub(super) fn shard(&self) -> &Shard {
        &self.0
    }
}

impl fmt::Debug for InFlightGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InFlightGuard").finish_non_exhaustive()
    }
}
