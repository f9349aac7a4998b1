use super::tracked::Tracked;
use crate::registry::Readiness;
use http::Extensions;
use std::{future::Future, sync::Arc};

/// The signal that a connection retires, for handlers of streams that do not end by
/// themselves: server-sent events, websockets, streaming calls, long polls.
///
/// [`Connections`](super::Connections) puts it into the extensions of each request, so
/// that `axum::Extension<Retiring>` extracts it; [`Readiness::retiring`] returns one for
/// every request.
#[derive(Clone)]
pub struct Retiring(Signal);

#[derive(Clone)]
enum Signal {
    Connection(Arc<Tracked>),
    Process(Readiness),
}

impl Retiring {
    pub(super) fn new(tracked: Arc<Tracked>) -> Self {
        Self(Signal::Connection(tracked))
    }

    /// Completes when the stream has to end: at the moment of the connection, or at the
    /// beginning of the drain, where the connection is not known or its
    /// [window](super::ConnectionsBuilder::window) is empty.
    ///
    /// Cancel safe. The future keeps the registry alive.
    ///
    /// # Panics
    ///
    /// If the connection is known: outside of a tokio runtime, or on one whose timers are
    /// not enabled.
    pub fn requested(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        let signal = self.0.clone();
        async move {
            match signal {
                Signal::Connection(tracked) => tracked.until_streams_end().await,
                Signal::Process(readiness) => readiness.draining().await,
            }
        }
    }
}

/// Whether the request with these extensions came over a connection that retires at a
/// moment of its own in the drain.
pub(crate) fn has_moment(extensions: &Extensions) -> bool {
    let retiring = extensions.get::<Retiring>();
    retiring.is_some_and(|Retiring(signal)| match signal {
        Signal::Connection(tracked) => !tracked.schedule.window.is_zero(),
        Signal::Process(_) => false,
    })
}

impl Readiness {
    /// Returns the signal that the connection of a request retires: its own, if
    /// [`Connections`](super::Connections) serves it, otherwise that of the
    /// [drain](Self::draining).
    pub fn retiring<B>(&self, request: &http::Request<B>) -> Retiring {
        let known = request.extensions().get().cloned();
        known.unwrap_or_else(|| Retiring(Signal::Process(self.clone())))
    }
}

crate::debug::fields!(Retiring, |this| {
    connection_is_known: matches!(this.0, Signal::Connection(_)),
});
