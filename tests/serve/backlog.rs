//! What becomes of the connections that the server has not accepted when the process begins
//! `Closing`.

use super::*;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use tracing_subscriber::util::SubscriberInitExt as _;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// Starts a process, and begins `Closing` while these connections wait in the backlog, each
/// with a request. Returns their answers.
async fn closing_with(max_connections: usize, waiting: usize) -> Vec<String> {
    let process = Process::with(max_connections);
    sleep(Duration::from_secs(1)).await;
    let mut clients: Vec<_> = (0..waiting).map(|_| process.peers.connect()).collect();
    for client in &mut clients {
        client.write_all(REQUEST).await.unwrap();
    }
    // The server has not run since.
    process.readiness.advance(Phase::Closing);
    let mut answers = Vec::new();
    for mut client in clients {
        let mut answer = String::new();
        soon(client.read_to_string(&mut answer)).await.unwrap();
        answers.push(answer);
    }
    soon(process.ended()).await.unwrap();
    answers
}

fn is_served(answer: &str) -> bool {
    answer.contains("\r\nconnection: close\r\n") && answer.ends_with("served")
}

#[tokio::test(start_paused = true)]
async fn requests_on_connections_that_wait_at_closing_are_answered() {
    // More would use up tokio's budget, and the server would run before `Closing`.
    for answer in closing_with(usize::MAX, 100).await {
        assert!(is_served(&answer), "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn at_closing_no_more_connections_are_accepted_than_before() {
    let answers = closing_with(2, 3).await;
    let served: Vec<_> = answers.iter().map(|it| is_served(it)).collect();
    assert_eq!(served, [true, true, false], "{answers:?}");
    assert_eq!(answers[2], "");
}

/// Sends each logged line to a channel.
struct Log(std::sync::mpsc::Sender<String>);

impl io::Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let _ = self.0.send(String::from_utf8_lossy(line).into_owned());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_of_accept_at_closing_is_logged_and_ends_the_accepting() {
    let (logged, log) = std::sync::mpsc::channel();
    let subscriber = tracing_subscriber::fmt().with_writer(move || Log(logged.clone()));
    let logs = subscriber.set_default();
    let process = Process::start();
    sleep(Duration::from_secs(1)).await;
    let begin = Instant::now();
    process.peers.lack_descriptors();
    let mut client = process.peers.connect();
    process.readiness.advance(Phase::Closing);
    assert_eq!(soon(client.read(&mut [0])).await.unwrap(), 0);
    process.ended().await.unwrap();
    // No other try follows.
    assert!(begin.elapsed() < Duration::from_millis(100));
    drop(logs);
    if cfg!(feature = "tracing") {
        assert!(log.iter().any(|line| line.contains("server cannot accept")));
    }
}

/// A listener on which a client connects again at once, for ever, after the first one has.
struct Flood {
    first: mpsc::UnboundedReceiver<()>,
    accepted: Arc<AtomicUsize>,
}

impl Listener for Flood {
    type Connection = (DuplexStream, usize);

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Self::Connection>> {
        if self.first.poll_recv(cx).is_pending() {
            return Poll::Pending;
        }
        let (_gone, stream) = duplex(1);
        Poll::Ready(Ok((stream, self.accepted.fetch_add(1, Relaxed))))
    }
}

#[tokio::test(start_paused = true)]
async fn clients_that_go_on_connecting_do_not_delay_the_end() {
    let (readiness, _storage) = ready();
    let accepted = Arc::new(AtomicUsize::new(0));
    let (begin, first) = mpsc::unbounded_channel();
    let listener = Flood {
        first,
        accepted: Arc::clone(&accepted),
    };
    let server = drain::serve(&readiness, listener, app(&readiness).into_make_service());
    let run = run(&readiness, server);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(accepted.load(Relaxed), 0);
    drop(begin);
    readiness.advance(Phase::Closing);
    soon(run).await.unwrap().unwrap().unwrap();
    assert_eq!(accepted.load(Relaxed), 4096);
}

/// A connection that was accepted at `Closing` or just before.
#[tokio::test(start_paused = true)]
async fn a_new_connection_has_a_tenth_of_a_second_for_its_first_request() {
    for (accepted_before, is_served) in [(0, true), (60, true), (1_000, false)] {
        let process = Process::start();
        let mut asks = process.peers.connect();
        let mut silent = process.peers.connect();
        sleep(Duration::from_millis(accepted_before)).await;
        let begin = Instant::now();
        process.readiness.advance(Phase::Closing);
        sleep(Duration::from_millis(20)).await;
        let _ = asks.write_all(REQUEST).await;
        let mut answer = String::new();
        soon(asks.read_to_string(&mut answer)).await.unwrap();
        assert_eq!(answer.ends_with("served"), is_served, "{answer}");
        assert_eq!(soon(silent.read(&mut [0])).await.unwrap(), 0);
        let left = Duration::from_millis(100_u64.saturating_sub(accepted_before));
        assert!(begin.elapsed() < left + Duration::from_millis(25));
        drop(asks);
        drop(silent);
        process.ended().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_connection_that_has_had_its_first_request_ends_at_once() {
    let process = Process::start();
    let mut client = process.peers.connect();
    client.write_all(REQUEST).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"served") {
        answer.push(soon(client.read_u8()).await.unwrap());
    }
    let begin = Instant::now();
    process.readiness.advance(Phase::Closing);
    assert_eq!(soon(client.read(&mut [0])).await.unwrap(), 0);
    assert!(begin.elapsed() < Duration::from_millis(50));
    drop(client);
    process.ended().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_new_connection_has_the_same_time_for_its_handshake() {
    let (readiness, _storage) = ready();
    let (peers, listener) = pipes();
    let server = drain::serve(&readiness, listener, app(&readiness).into_make_service()).handshake(
        async |(mut stream, peer): (DuplexStream, usize)| {
            stream.read_u8().await?;
            Ok((stream, peer))
        },
    );
    let run = run(&readiness, server);
    sleep(Duration::from_secs(1)).await;
    let mut client = peers.connect();
    readiness.advance(Phase::Closing);
    sleep(Duration::from_millis(50)).await;
    client.write_all(&[b"\0", REQUEST].concat()).await.unwrap();
    let mut answer = String::new();
    soon(client.read_to_string(&mut answer)).await.unwrap();
    assert!(is_served(&answer), "{answer}");
    drop(client);
    soon(run).await.unwrap().unwrap().unwrap();
}

/// The runtime has not asked the kernel for the connection, nor for its bytes.
#[cfg(target_os = "linux")]
#[tokio::test(start_paused = true)]
async fn a_request_that_only_the_kernel_has_at_closing_is_answered() {
    use std::io::Write as _;

    let (readiness, _storage) = ready();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let app = app(&readiness).into_make_service();
    let server = tokio::spawn(drain::serve(&readiness, listener, app).into_future());
    sleep(Duration::from_secs(1)).await;
    // Linux blocks a `connect` that the backlog has no room for.
    let room = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
    let room: usize = room.trim().parse().unwrap();
    // More than tokio's budget of one turn, which is 128.
    let clients = (0..room.min(140)).map(|_| {
        let mut client = std::os::unix::net::UnixStream::connect(&path).unwrap();
        client.write_all(REQUEST).unwrap();
        client
    });
    let clients: Vec<_> = clients.collect();
    readiness.advance(Phase::Closing);
    for client in clients {
        client.set_nonblocking(true).unwrap();
        let mut client = tokio::net::UnixStream::from_std(client).unwrap();
        let mut answer = String::new();
        soon(client.read_to_string(&mut answer)).await.unwrap();
        assert!(is_served(&answer), "{answer}");
    }
    soon(server).await.unwrap().unwrap();
}

/// The only thread that asks the kernel is busy when `Closing` begins, and the server runs on
/// another.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_outside_of_the_workers_waits_until_one_has_asked_the_kernel() {
    use std::io::Write as _;

    let (readiness, _storage) = ready();
    let (listener, address) = listen().await;
    let app = app(&readiness).into_make_service();
    let mut server = drain::serve(&readiness, listener, app).into_future();
    assert!((&mut server).now_or_never().is_none());
    let (begins, begun) = std::sync::mpsc::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    tokio::spawn(async move {
        begins.send(()).unwrap();
        let _ = released.recv();
    });
    begun.recv().unwrap();
    let clients = [(); 3].map(|()| {
        let mut client = std::net::TcpStream::connect(address).unwrap();
        client.write_all(REQUEST).unwrap();
        client
    });
    readiness.advance(Phase::Closing);
    for _ in 0..10 {
        assert!((&mut server).now_or_never().is_none());
    }
    drop(release);
    let answers = async {
        for client in clients {
            client.set_nonblocking(true).unwrap();
            let mut client = TcpStream::from_std(client).unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            assert!(is_served(&answer), "{answer}");
        }
    };
    let (served, ()) = soon(async { tokio::join!(server, answers) }).await;
    served.unwrap();
}
