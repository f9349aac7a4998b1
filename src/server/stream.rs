use std::{
    ops::{Deref, DerefMut},
    pin::Pin,
};
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::oneshot,
};

/// A TCP or unix connection.
pub(super) enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

/// What a connection reads from and writes to.
pub(super) trait ReadWrite: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> ReadWrite for S {}

impl Deref for Stream {
    type Target = dyn ReadWrite;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Tcp(stream) => stream,
            #[cfg(unix)]
            Self::Unix(stream) => stream,
        }
    }
}

impl DerefMut for Stream {
    fn deref_mut(&mut self) -> &mut Self::Target {
        match self {
            Self::Tcp(stream) => stream,
            #[cfg(unix)]
            Self::Unix(stream) => stream,
        }
    }
}

/// A stream that hyper owns, and that returns to the listener when hyper drops it.
/// hyper reads and writes through a `Pin`, for which tokio forwards every method.
///
/// The listener then lingers on the stream, and may keep its descriptor.
pub(super) struct ReturnedStream {
    /// `Some` until the drop.
    stream: Option<Stream>,
    sender: Option<oneshot::Sender<Stream>>,
}

impl ReturnedStream {
    pub(super) fn new(stream: Stream) -> (Pin<Self>, oneshot::Receiver<Stream>) {
        let (sender, receiver) = oneshot::channel();
        let returned = Self {
            stream: Some(stream),
            sender: Some(sender),
        };
        (Pin::new(returned), receiver)
    }
}

impl Deref for ReturnedStream {
    type Target = dyn ReadWrite;

    fn deref(&self) -> &Self::Target {
        // Only `drop` takes the stream, and nothing dereferences after it.
        self.stream.as_deref().expect("taken by the drop alone")
    }
}

impl DerefMut for ReturnedStream {
    fn deref_mut(&mut self) -> &mut Self::Target {
        // As above.
        self.stream.as_deref_mut().expect("taken by the drop alone")
    }
}

impl Drop for ReturnedStream {
    fn drop(&mut self) {
        if let (Some(stream), Some(sender)) = (self.stream.take(), self.sender.take()) {
            // Without a receiver the stream closes, as with hyper alone.
            let _ = sender.send(stream);
        }
    }
}
