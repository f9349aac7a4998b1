use crate::{
    accept::ReadWrite,
    sync::{AtomicBool, Ordering},
};
use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream that records that the peer takes bytes. It does not hold the slot of its
/// connection, because an upgraded stream outlives that.
pub(super) struct SendingStream<S> {
    pub(super) stream: S,
    pub(super) has_sent: Arc<AtomicBool>,
}

impl<S> SendingStream<S> {
    fn record(&self, written: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(1..)) = written {
            self.has_sent.store(true, Ordering::Relaxed);
        }
    }
}

impl<S: ReadWrite> AsyncRead for SendingStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, bytes)
    }
}

impl<S: ReadWrite> AsyncWrite for SendingStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.record(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.record(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(all(test, not(tower_readiness_loom)))]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufStream, duplex};

    /// A stream with TLS keeps what is written until it is flushed.
    #[test]
    fn a_flush_reaches_a_stream_that_buffers() {
        let (mut peer, stream) = duplex(64);
        let has_sent = Arc::new(AtomicBool::new(false));
        let mut sending = SendingStream {
            stream: BufStream::new(stream),
            has_sent: Arc::clone(&has_sent),
        };
        sending.write_all(b"end").now_or_never().unwrap().unwrap();
        assert!(has_sent.load(Ordering::Relaxed));
        let mut bytes = [0; 3];
        assert!(peer.read_exact(&mut bytes).now_or_never().is_none());
        sending.flush().now_or_never().unwrap().unwrap();
        peer.read_exact(&mut bytes).now_or_never().unwrap().unwrap();
        assert_eq!(&bytes, b"end");
    }

    #[test]
    fn a_stream_that_writes_one_slice_at_a_time_says_so() {
        let sending = SendingStream {
            stream: tokio_test::io::Builder::new().build(),
            has_sent: Arc::new(AtomicBool::new(false)),
        };
        assert!(!sending.is_write_vectored());
    }
}
