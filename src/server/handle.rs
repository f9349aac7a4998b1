use crate::address::Address;
use std::{fmt, future::pending};
use tokio::sync::watch;

/// A handle to a running admin listener; see the [module documentation](super).
///
/// **Dropping the handle does not stop the listener**, so that probes are answered
/// until the process ends. [`stop`](Self::stop) stops it.
pub struct AdminServer {
    local: Address,
    stop: watch::Sender<bool>,
    ended: watch::Receiver<()>,
}

/// The listener's side of an [`AdminServer`].
pub(super) struct ServerParts {
    pub(super) stop_signal: StopSignal,
    /// Dropped when the listener has ended.
    pub(super) running: watch::Sender<()>,
}

impl AdminServer {
    pub(super) fn new(local: Address) -> (Self, ServerParts) {
        let (stop, stop_signal) = watch::channel(false);
        let (running, ended) = watch::channel(());
        let stop_signal = StopSignal(stop_signal);
        let server = Self { local, stop, ended };
        (
            server,
            ServerParts {
                stop_signal,
                running,
            },
        )
    }

    /// Returns the address of the listener. For port 0 it has the port that the
    /// system chose.
    pub fn local_addr(&self) -> &Address {
        &self.local
    }

    /// Stops the listener, without waiting for its end.
    ///
    /// The listener closes its port, or removes the file of its unix socket. Its
    /// connections have half a second at most to send their answers. Then its
    /// thread ends, if it has one.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Completes when the listener has ended: after [`stop`](Self::stop), or with its
    /// runtime.
    ///
    /// Needs no tokio runtime. Cancel safe.
    pub async fn stopped(&self) {
        let mut ended = self.ended.clone();
        // No value is ever sent: the channel closes when the listener ends.
        while ended.changed().await.is_ok() {}
    }
}

impl fmt::Debug for AdminServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminServer")
            .field("local_addr", &self.local)
            .finish_non_exhaustive()
    }
}

/// Signals that [`AdminServer::stop`] was called.
#[derive(Clone)]
pub(super) struct StopSignal(watch::Receiver<bool>);

impl StopSignal {
    /// Completes when [`AdminServer::stop`] is called. Stays pending if the handle
    /// is dropped before.
    pub(super) async fn requested(&mut self) {
        let requested = self.0.wait_for(|stop| *stop).await.is_ok();
        if !requested {
            pending::<()>().await;
        }
    }
}
