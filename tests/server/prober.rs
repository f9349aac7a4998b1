use std::{
    collections::HashMap,
    fs,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

/// A kubelet's default.
const TIMEOUT: Duration = Duration::from_secs(1);

/// How long the prober waits for an answer that may still count.
const PATIENCE: Duration = Duration::from_secs(120);

/// The pause between connecting and sending the request, as of a prober whose thread
/// waits for a processor in between.
const GAP: Duration = Duration::from_millis(50);

/// Probes at the same time, as many as the kinds that a kubelet has.
const PROBERS: usize = 3;

const PROBES: usize = 60;

/// Probes liveness 60 times as a kubelet does: on a connection of its own each
/// time, with an answer within a second. One may be lost.
///
/// The time that the prober or the listener, a thread of this process, waits for a
/// processor does not count: it depends on what else the machine runs.
pub(crate) fn probe(address: SocketAddr, process: u32) {
    let lost = Mutex::new(Vec::new());
    let prober = || {
        for _ in 0..PROBES / PROBERS {
            if let Err(error) = once(address, process) {
                lost.lock().unwrap().push(error.to_string());
            }
            if lost.lock().unwrap().len() > 1 {
                return;
            }
        }
    };
    thread::scope(|scope| (0..PROBERS).for_each(|_| drop(scope.spawn(prober))));
    let lost = lost.into_inner().unwrap();
    assert!(lost.len() <= 1, "lost: {lost:?}");
}

fn once(address: SocketAddr, process: u32) -> io::Result<()> {
    let (begin, waits) = (Instant::now(), Waits::until_now(process));
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    thread::sleep(GAP);
    stream.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nlive\n") {
        let mut buffer = [0; 1024];
        match stream.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            length => answer.extend_from_slice(&buffer[..length]),
        }
    }
    let (took, waited) = (begin.elapsed(), waits.since(process));
    if took.saturating_sub(waited) > TIMEOUT {
        let late = format!("an answer after {took:?}, of which {waited:?} without a processor");
        return Err(io::Error::other(late));
    }
    match answer.starts_with(b"HTTP/1.1 200 ") {
        true => Ok(()),
        false => Err(io::Error::other("it is not live")),
    }
}

/// How long threads have waited for a processor, as far as the system counts it.
struct Waits {
    prober: Duration,
    /// By thread of the process. Tests beside this one have listeners, too.
    listeners: HashMap<PathBuf, Duration>,
}

impl Waits {
    fn until_now(process: u32) -> Self {
        let threads = fs::read_dir(format!("/proc/{process}/task"));
        let threads = threads.into_iter().flatten().flatten();
        let is_listener = |thread: &PathBuf| {
            fs::read_to_string(thread.join("comm")).is_ok_and(|name| name == "readiness\n")
        };
        let listeners = threads.map(|thread| thread.path()).filter(is_listener);
        let wait = |thread: PathBuf| {
            let waited = waited(&thread);
            (thread, waited)
        };
        Self {
            prober: waited(Path::new("/proc/thread-self")),
            listeners: listeners.map(wait).collect(),
        }
    }

    /// The waits of the prober and of the listener that has waited longest.
    fn since(&self, process: u32) -> Duration {
        let now = Self::until_now(process);
        let waits = now.listeners.into_iter().map(|(thread, waited)| {
            waited.saturating_sub(self.listeners.get(&thread).copied().unwrap_or_default())
        });
        now.prober.saturating_sub(self.prober) + waits.max().unwrap_or_default()
    }
}

/// The second number of `schedstat` is the time on a run queue in nanoseconds.
fn waited(thread: &Path) -> Duration {
    let counts = fs::read_to_string(thread.join("schedstat")).unwrap_or_default();
    let wait = counts
        .split(' ')
        .nth(1)
        .and_then(|count| count.parse().ok());
    wait.map(Duration::from_nanos).unwrap_or_default()
}
