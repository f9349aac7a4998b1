use std::{
    io::{self, ErrorKind},
    task::{Context, Poll, ready},
};

/// A listening socket.
pub trait Listener {
    /// An accepted connection.
    type Connection;

    /// Accepts the next connection.
    ///
    /// # Errors
    ///
    /// Those of the system. The listener is used further after an error: a peer may have
    /// disconnected, or the process may have no file descriptor left for a moment.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Self::Connection>>;
}

/// Accepts the next connection, and skips connections that fail.
pub(crate) fn poll_accept<L: Listener>(
    listener: &mut L,
    cx: &mut Context<'_>,
) -> Poll<io::Result<L::Connection>> {
    loop {
        match ready!(listener.poll_accept(cx)) {
            // The peer caused it; the next connection is not affected.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::ConnectionAborted
                        | ErrorKind::ConnectionRefused
                        | ErrorKind::ConnectionReset
                        | ErrorKind::Interrupted
                ) => {}
            accepted => return Poll::Ready(accepted),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{future::poll_fn, io::Error};
    use tokio_test::{assert_pending, assert_ready, task};

    impl Listener for Vec<io::Result<u8>> {
        type Connection = u8;

        fn poll_accept(&mut self, _: &mut Context<'_>) -> Poll<io::Result<u8>> {
            self.pop().map_or(Poll::Pending, Poll::Ready)
        }
    }

    #[test]
    fn a_peer_that_disconnects_does_not_delay_others() {
        let mut connections = vec![
            Err(Error::other("too many open files")),
            Ok(1),
            Err(ErrorKind::ConnectionReset.into()),
            Err(ErrorKind::ConnectionAborted.into()),
        ];
        let mut accepted = task::spawn(poll_fn(|cx| poll_accept(&mut connections, cx)));
        assert_eq!(assert_ready!(accepted.poll()).unwrap(), 1);
        assert!(assert_ready!(accepted.poll()).is_err());
        assert_pending!(accepted.poll());
    }
}
