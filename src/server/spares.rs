use super::stream::Stream;
#[cfg(unix)]
use std::os::{fd::OwnedFd, unix::net::UnixDatagram};

/// How many spare descriptors one listener holds: enough for a startup, a liveness
/// and a readiness probe at the same time, and one more.
const HELD: usize = 4;

#[cfg(unix)]
type Descriptor = OwnedFd;
/// On other systems, applications do not reach the limit of sockets.
#[cfg(not(unix))]
type Descriptor = std::convert::Infallible;

/// Spare descriptors, for when the process has no other left (`EMFILE`).
///
/// The listener then closes one and accepts a connection with its number, so that
/// probes are answered although the application has run out of descriptors.
#[derive(Debug, Default)]
pub(super) struct Spares {
    held: Vec<Descriptor>,
}

impl Spares {
    /// Opens the missing descriptors, as far as the limit of the process allows.
    pub(super) fn refill(&mut self) {
        while !self.is_full() {
            let Some(descriptor) = open() else { return };
            self.held.push(descriptor);
        }
    }

    /// Closes one descriptor, so that its number is free for a connection. Returns
    /// `false` if no spare is left.
    pub(super) fn release(&mut self) -> bool {
        self.held.pop().is_some()
    }

    /// Whether all spares are open.
    pub(super) fn is_full(&self) -> bool {
        self.held.len() >= HELD
    }

    /// Keeps the descriptor of an ended connection as a spare, if the process cannot
    /// open another. If it were closed, the application would take it.
    pub(super) fn keep(&mut self, ended: Stream) {
        self.refill();
        if !self.is_full() {
            self.held.extend(descriptor_of(ended));
        }
    }
}

#[cfg(unix)]
fn open() -> Option<Descriptor> {
    // An unbound socket needs no file system, unlike /dev/null.
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
    let descriptor: Descriptor = match ended {
        Stream::Tcp(stream) => stream.into_std().ok()?.into(),
        Stream::Unix(stream) => stream.into_std().ok()?.into(),
    };
    // The shutdown ends the connection although its descriptor stays open. It
    // fails if the connection has already ended.
    let _ = SockRef::from(&descriptor).shutdown(Shutdown::Both);
    Some(descriptor)
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
    async fn the_spares_are_refilled_and_bounded() {
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
    async fn the_peer_of_a_kept_descriptor_sees_the_end() {
        use tokio::io::AsyncReadExt;
        let (stream, mut peer) = UnixStream::pair().unwrap();
        let kept = descriptor_of(Stream::Unix(stream)).unwrap();
        assert_eq!(peer.read(&mut [0]).await.unwrap(), 0);
        drop(kept);
    }
}
