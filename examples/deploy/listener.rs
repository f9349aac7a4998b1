//! The socket of a systemd socket unit, which outlives the process.

use listenfd::ListenFd;
use std::{
    env, io,
    net::SocketAddr,
    task::{Context, Poll},
};
use tokio::net::{TcpListener, TcpStream};
use tower_readiness::{Phase, Readiness, drain::Listener};

/// The socket that systemd hands over to this process, if it has one.
///
/// # Errors
///
/// When systemd hands over several sockets. The kernel accepts connections for each,
/// and clients of a socket that no server accepts from would wait for ever.
pub(crate) fn handed_over() -> io::Result<Option<TcpListener>> {
    let mut sockets = ListenFd::from_env();
    if sockets.len() > 1 {
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        return Err(io::Error::other(format!(
            "systemd hands over {} sockets ({names}), and this program serves one: leave one \
             ListenStream= in one socket unit",
            sockets.len(),
        )));
    }
    let Some(listener) = sockets.take_tcp_listener(0)? else {
        return Ok(None);
    };
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener).map(Some)
}

/// Leaves connections that arrive after the drain has begun to the next process, which
/// has the same socket.
pub(crate) struct Gentle {
    pub(crate) listener: TcpListener,
    pub(crate) leave_the_rest: Option<Readiness>,
}

impl Listener for Gentle {
    type Connection = (TcpStream, SocketAddr);

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Self::Connection>> {
        if let Some(readiness) = &self.leave_the_rest {
            if readiness.verdict().phase() >= Phase::Draining {
                return Poll::Pending;
            }
        }
        Listener::poll_accept(&mut self.listener, cx)
    }
}
