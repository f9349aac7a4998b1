//! The socket of a systemd socket unit, which outlives the process.

use axum::serve::Listener;
use listenfd::ListenFd;
use std::{future, io, net::SocketAddr};
use tokio::net::{TcpListener, TcpStream};
use tower_readiness::Readiness;

/// The socket that systemd hands over to this process, if it has one.
pub(crate) fn handed_over() -> io::Result<Option<TcpListener>> {
    let Some(listener) = ListenFd::from_env().take_tcp_listener(0)? else {
        return Ok(None);
    };
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener).map(Some)
}

/// Leaves what connects from the drain on to the next process, which has the
/// same socket.
pub(crate) struct Gentle {
    pub(crate) listener: TcpListener,
    pub(crate) leave_the_rest: Option<Readiness>,
}

impl Listener for Gentle {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let leave = async {
            match &self.leave_the_rest {
                Some(readiness) => readiness.draining().await,
                None => future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = leave => future::pending().await,
            accepted = Listener::accept(&mut self.listener) => accepted,
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}
