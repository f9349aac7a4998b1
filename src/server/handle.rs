use crate::address::Address;
use std::{fmt, future::pending};
use tokio::sync::watch;

/// A running admin listener; see the [module documentation](super).
///
/// **Dropping it does not stop it**: probes are to answer until the process is
/// gone, longer than whoever began to serve them has reason to live.
/// [`stop`](Self::stop) does.
pub struct AdminServer {
    local: Address,
    stop: watch::Sender<bool>,
    ended: watch::Receiver<()>,
}

/// The other side of an [`AdminServer`].
pub(super) struct ServerParts {
    pub(super) stop_signal: StopSignal,
    /// Dropped when it has ended.
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

    /// Where it listens, with the port that the system chose if it was to.
    pub fn local_addr(&self) -> &Address {
        &self.local
    }

    /// Tells it to stop, and returns at once: it closes the port or removes
    /// the file of its unix socket, lets connections finish the answer they
    /// are at, for half a second at most, and ends its thread if it has one.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Completes when it has ended: after [`stop`](Self::stop), or with the
    /// runtime it ran in.
    ///
    /// Needs no tokio runtime. Cancel safe.
    pub async fn stopped(&self) {
        let mut ended = self.ended.clone();
        // Nothing is ever sent.
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

#[derive(Clone)]
pub(super) struct StopSignal(watch::Receiver<bool>);

impl StopSignal {
    /// Completes when it is to stop; never, if the handle was dropped without
    /// that.
    pub(super) async fn requested(&mut self) {
        let requested = self.0.wait_for(|stop| *stop).await.is_ok();
        if !requested {
            pending::<()>().await;
        }
    }
}
