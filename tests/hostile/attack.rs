use crate::{
    prober::{self, PROBES},
    process::Process,
};
use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime,
    task::JoinSet,
    time::sleep,
};

/// A peer's pause where it has nothing to send.
pub(crate) const PAUSE: Duration = Duration::from_millis(20);

/// The pause of a flood, which leaves the prober a share of the processors.
const BETWEEN_BLOCKS: Duration = Duration::from_millis(5);

/// What the peers of an attack have done.
#[derive(Default)]
pub(crate) struct Done {
    /// Bytes that the server's socket took.
    pub(crate) sent: AtomicU64,
    /// Connections that the server ended.
    pub(crate) ended: AtomicU64,
}

/// One connection of a peer.
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    pub(crate) done: Arc<Done>,
}

impl Peer {
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.done
            .sent
            .fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Counts as a peer that attacks, although it sends nothing.
    pub(crate) fn is_connected(&self) {
        self.done.sent.fetch_add(2, Ordering::Relaxed);
    }

    /// Reads and discards until the server ends the connection.
    pub(crate) async fn until_ended(&mut self) -> io::Result<()> {
        while self.stream.read(&mut [0; 4096]).await? > 0 {}
        Ok(())
    }

    /// Writes this block again and again, and reads and discards what comes if `reads`.
    pub(crate) async fn flood(
        &mut self,
        mut block: impl FnMut() -> Option<Vec<u8>>,
        reads: bool,
    ) -> io::Result<()> {
        let (mut reader, mut writer) = self.stream.split();
        let done = &self.done;
        let write = async {
            while let Some(block) = block() {
                writer.write_all(&block).await?;
                done.sent.fetch_add(block.len() as u64, Ordering::Relaxed);
                sleep(BETWEEN_BLOCKS).await;
            }
            Ok(())
        };
        let read = async {
            if !reads {
                return std::future::pending().await;
            }
            while reader.read(&mut [0; 16 << 10]).await? > 0 {}
            Ok(())
        };
        tokio::select! {
            ended = write => ended,
            ended = read => ended,
        }
    }
}

/// An attack by this many peers.
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    pub(crate) peers: usize,
    /// How far the peak of the server's resident memory may rise, in KiB.
    pub(crate) memory: u64,
    /// Whether the server has to end connections of the peers.
    pub(crate) is_ended: bool,
}

impl Attack {
    /// Attacks the port of the application, then the admin listener. Each peer connects
    /// again when its connection has ended.
    pub(crate) fn on_both_ports<F>(&self, peer: impl Fn(Peer) -> F + Clone + Send + 'static)
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        for name in ["application", "admin"] {
            let process = Process::start(1024);
            self.on(&process, name, process.port(name), peer.clone());
            process.end();
        }
    }

    /// Attacks one port.
    pub(crate) fn on<F>(
        &self,
        process: &Process,
        port: &str,
        address: SocketAddr,
        peer: impl Fn(Peer) -> F + Clone + Send + 'static,
    ) where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let before = process.begin_peak();
        let done = Arc::<Done>::default();
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let mut peers = JoinSet::new();
        for _ in 0..self.peers {
            let (peer, done) = (peer.clone(), Arc::clone(&done));
            peers.spawn_on(again_and_again(address, peer, done), runtime.handle());
        }
        // The attack is under way.
        let enough = 2 * self.peers as u64;
        while done.sent.load(Ordering::Relaxed) < enough && !peers.is_empty() {
            thread::sleep(Duration::from_millis(5));
        }
        let lost = prober::probe(address);
        let (peak, descriptors) = (process.peak(), process.descriptors());
        drop(peers);
        runtime.shutdown_timeout(Duration::from_secs(10));
        let Done { sent, ended } = &*done;
        let (sent, ended) = (sent.load(Ordering::Relaxed), ended.load(Ordering::Relaxed));
        let (name, more) = (self.name, peak.saturating_sub(before));
        println!(
            "{name}, {port}: {} of {PROBES} answered; {more} KiB more than {before}, \
             {descriptors} descriptors; {sent} bytes sent, {ended} connections ended",
            PROBES - lost.len()
        );
        assert!(lost.len() <= 1, "{name}, {port}: {lost:?}");
        assert!(more <= self.memory, "{name}, {port}: {more} KiB more");
        assert!(ended > 0 || !self.is_ended, "{name}, {port}: no end");
        prober::once(address).unwrap();
    }
}

async fn again_and_again<F>(address: SocketAddr, peer: impl Fn(Peer) -> F, done: Arc<Done>)
where
    F: Future<Output = io::Result<()>>,
{
    loop {
        if let Ok(stream) = TcpStream::connect(address).await {
            let peer = peer(Peer {
                stream,
                done: Arc::clone(&done),
            });
            // An error: the server has reset the connection.
            let _ = peer.await;
            done.ended.fetch_add(1, Ordering::Relaxed);
        }
        sleep(PAUSE).await;
    }
}
