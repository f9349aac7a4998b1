use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Duration, timeout},
};

/// How long a connection is read after its last answer: without a byte, and in
/// all. Otherwise the kernel would answer further bytes of the peer with RST, which
/// would destroy an answer that the peer has not read yet (RFC 9112, section 9.6).
/// The values are the defaults of nginx's `lingering_timeout` and
/// `lingering_time`.
const SILENCE: Duration = Duration::from_secs(5);
const IN_ALL: Duration = Duration::from_secs(30);

/// What a connection reads from and writes to.
pub(crate) trait ReadWrite: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> ReadWrite for S {}

/// Sends FIN, then reads and discards until the peer has ended too, or one of the
/// bounds.
pub(crate) async fn linger(stream: &mut dyn ReadWrite) {
    let read_on = async {
        // hyper has sent FIN already, unless the request was not HTTP.
        let _ = stream.shutdown().await;
        let mut dropped = [0; 1024];
        while let Ok(Ok(1..)) = timeout(SILENCE, stream.read(&mut dropped)).await {}
    };
    let _ = timeout(IN_ALL, read_on).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::{DuplexStream, duplex},
        time::{Instant, sleep},
    };

    /// Measures how long a connection lingers with this behaviour of its peer.
    async fn lingered<F>(peer_does: impl FnOnce(DuplexStream) -> F) -> Duration
    where
        F: Future<Output = DuplexStream> + Send + 'static,
    {
        let (mut stream, peer) = duplex(64);
        let peer = tokio::spawn(peer_does(peer));
        let begin = Instant::now();
        linger(&mut stream).await;
        peer.abort();
        begin.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_lingers_until_its_peer_ends_or_a_timeout() {
        let ends = lingered(async |peer: DuplexStream| {
            sleep(Duration::from_secs(1)).await;
            drop(peer);
            std::future::pending().await
        });
        assert_eq!(ends.await, Duration::from_secs(1));

        let silent = lingered(async |peer: DuplexStream| {
            sleep(2 * IN_ALL).await;
            peer
        });
        assert_eq!(silent.await, Duration::from_secs(5));

        let drips = lingered(async |mut peer: DuplexStream| {
            loop {
                sleep(Duration::from_secs(4)).await;
                peer.write_all(b"x").await.unwrap();
            }
        });
        assert_eq!(drips.await, Duration::from_secs(30));
    }
}
