use crate::address::Address;
use std::future::pending;
use tokio::sync::watch;

/// A handle to a running admin listener; see the [module documentation](super).
///
/// **Dropping the handle does not stop the listener**, so that probes are answered
/// until the process ends. [`stop`](Self::stop) stops it.
pub struct AdminServer {
    local: Address,
    /// Closed when the listener has dropped all of its stop signals.
    stop: watch::Sender<bool>,
}

impl AdminServer {
    pub(super) fn new(local: Address) -> (Self, StopSignal) {
        let (stop, stop_signal) = watch::channel(false);
        (Self { local, stop }, StopSignal(stop_signal))
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
        self.stop.closed().await;
    }
}

crate::debug::fields!(AdminServer, |this| {
    local_addr: this.local,
});

/// Signals that [`AdminServer::stop`] was called.
#[derive(Clone)]
pub(super) struct StopSignal(watch::Receiver<bool>);

impl StopSignal {
    /// Completes when [`AdminServer::stop`] is called. Stays pending if the handle
    /// is dropped before.
    pub(super) async fn requested(&mut self) {
        if self.0.wait_for(|stop| *stop).await.is_err() {
            pending::<()>().await;
        }
    }
}
