use super::stream::Stream;
#[cfg(unix)]
use std::os::{fd::OwnedFd, unix::net::UnixDatagram};

/// How many descriptors one listener holds in reserve: enough for the startup,
/// liveness and readiness probe of one moment, and one more.
const HELD: usize = 4;

#[cfg(unix)]
type Descriptor = OwnedFd;
/// Other systems have no limit on sockets that an application runs into.
#[cfg(not(unix))]
type Descriptor = std::convert::Infallible;

/// Descriptors that do nothing until the process has none left (`EMFILE`).
/// The listener then closes one and accepts a connection with it, so that an
/// application that runs out of descriptors does not silence its probes.
#[derive(Debug, Default)]
pub(super) struct Spares {
    held: Vec<Descriptor>,
}

impl Spares {
    /// Opens what is missing, as far as the process may.
    pub(super) fn refill(&mut self) {
        while !self.is_full() {
            let Some(descriptor) = open() else { return };
            self.held.push(descriptor);
        }
    }

    /// Closes one, so that its number is free for a connection. Returns
    /// `false` if none is left.
    pub(super) fn release(&mut self) -> bool {
        self.held.pop().is_some()
    }

    /// Whether none is missing.
    pub(super) fn is_full(&self) -> bool {
        self.held.len() >= HELD
    }

    /// Takes the descriptor of a connection that has ended, if the process
    /// lets no other be opened: were it closed, the application would be the
    /// next to take it.
    pub(super) fn keep(&mut self, ended: Stream) {
        self.refill();
        if !self.is_full() {
            self.held.extend(descriptor_of(ended));
        }
    }
}

#[cfg(unix)]
fn open() -> Option<Descriptor> {
    // Needs no file system, unlike /dev/null.
    Some(UnixDatagram::unbound().ok()?.into())
}

#[cfg(not(unix))]
fn open() -> Option<Descriptor> {
    None
}

#[cfg(unix)]
fn descriptor_of(ended: Stream) -> Option<Descriptor> {
    use socket2::SockRef;
    use std::net::Shutdown;
    // The peer learns of the end although the descriptor stays open. An error
    // says that the connection is gone already.
    match ended {
        Stream::Tcp(stream) => {
            let _ = SockRef::from(&stream).shutdown(Shutdown::Both);
            Some(stream.into_std().ok()?.into())
        }
        Stream::Unix(stream) => {
            let _ = SockRef::from(&stream).shutdown(Shutdown::Both);
            Some(stream.into_std().ok()?.into())
        }
    }
}

#[cfg(not(unix))]
fn descriptor_of(_: Stream) -> Option<Descriptor> {
    None
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use tokio::net::UnixStream;

    #[tokio::test]
    async fn the_reserve_is_refilled_and_is_bounded() {
        let mut spares = Spares::default();
        assert!(!spares.release());
        spares.refill();
        for _ in 0..HELD {
            assert!(spares.release());
        }
        assert!(!spares.release());
        for _ in 0..2 * HELD {
            let (stream, _peer) = UnixStream::pair().unwrap();
            spares.keep(Stream::Unix(stream));
        }
        assert_eq!(spares.held.len(), HELD);
    }

    #[tokio::test]
    async fn the_peer_of_a_kept_connection_learns_of_its_end() {
        use tokio::io::AsyncReadExt;
        let (stream, mut peer) = UnixStream::pair().unwrap();
        let kept = descriptor_of(Stream::Unix(stream)).unwrap();
        assert_eq!(peer.read(&mut [0]).await.unwrap(), 0);
        drop(kept);
    }
}
