//! A TCP proxy that delays bytes, and the end of a connection, as a network does.
//! Loopback is so quick that a request rarely crosses the end of its connection;
//! between machines it does.

use crate::BoxError;
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep_until},
};

pub(crate) struct Delayed {
    pub(crate) address: SocketAddr,
    // Ends when it is dropped.
    _accepting: JoinSet<()>,
}

impl Delayed {
    /// Passes on to the `target` that is returned for each connection, `delay` late each
    /// way, and drops its guard when the connection has ended. Without a target, the
    /// connection is closed.
    pub(crate) async fn start<G: Send + 'static>(
        target: impl Fn() -> Option<(SocketAddr, G)> + Send + 'static,
        delay: Duration,
    ) -> Result<Self, BoxError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        if let (Ok((client, _)), Some((target, open))) = (accepted, target()) {
                            connections.spawn(async move {
                                let _open = open;
                                connect(client, target, delay).await
                            });
                        }
                    }
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        Ok(Self {
            address,
            _accepting: accepting,
        })
    }
}

/// An end on either side ends the other one.
async fn connect(client: TcpStream, target: SocketAddr, delay: Duration) -> io::Result<()> {
    let server = TcpStream::connect(target).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::try_join!(
        pass(from_client, to_server, delay),
        pass(from_server, to_client, delay),
    )?;
    Ok(())
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, delay: Duration) -> io::Result<()> {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let read = async move {
        loop {
            let mut chunk = Vec::with_capacity(8 * 1024);
            let read = from.read_buf(&mut chunk).await;
            let at = Instant::now() + delay;
            let ends = !matches!(read, Ok(1..));
            // The other half ends when this one has.
            let _ = sender.send((at, read.map(|_| chunk)));
            if ends {
                return Ok(());
            }
        }
    };
    let write = async move {
        while let Some((at, chunk)) = receiver.recv().await {
            sleep_until(at).await;
            let chunk = chunk?;
            if chunk.is_empty() {
                return to.shutdown().await;
            }
            to.write_all(&chunk).await?;
        }
        Ok(())
    };
    tokio::try_join!(read, write).map(|_| ())
}
