use crate::accept::Listener;
use std::{
    io,
    net::SocketAddr,
    task::{Context, Poll, ready},
};
use tokio::net::{TcpListener, TcpStream};

/// Without Nagle's algorithm, so that an answer does not wait for the acknowledgement of
/// the one before.
impl Listener for TcpListener {
    type Connection = (TcpStream, SocketAddr);

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Self::Connection>> {
        let (stream, peer) = ready!(TcpListener::poll_accept(self, cx))?;
        // On an error, answers may wait.
        let _ = stream.set_nodelay(true);
        Poll::Ready(Ok((stream, peer)))
    }
}

#[cfg(unix)]
impl Listener for tokio::net::UnixListener {
    type Connection = (tokio::net::UnixStream, tokio::net::unix::SocketAddr);

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Self::Connection>> {
        tokio::net::UnixListener::poll_accept(self, cx)
    }
}
