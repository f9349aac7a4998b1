//! The server in a process of its own, which receives real signals and runs out of real
//! file descriptors.
#![cfg(unix)]

mod support;

use axum::{Router, extract::State, routing::get};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustix::process::{Pid, Resource, Signal, getrlimit, kill_process, setrlimit};
use std::{
    env, io,
    net::SocketAddr,
    os::unix::process::ExitStatusExt,
    process::{ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use support::{listen, ready, soon, until};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines},
    net::{TcpListener, TcpStream},
    process::{Child, ChildStdout, Command},
    runtime,
    signal::unix::{SignalKind, signal},
    task::JoinHandle,
    time::{Instant, sleep},
};
use tower_readiness::{
    Readiness,
    drain::{self, Listener, Signals},
};

const CHILD: &str = "TOWER_READINESS_TEST_CHILD";
/// The file descriptors of a child.
const DESCRIPTORS: u64 = 64;
/// A delay that only a signal ends.
const HOUR: Duration = Duration::from_secs(3_600);

// === the child ===

/// Counts the connections that the system could not accept.
struct CountsFailures(TcpListener, Arc<AtomicUsize>);

impl Listener for CountsFailures {
    type Connection = (TcpStream, SocketAddr);

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Self::Connection>> {
        let accepted = self.0.poll_accept(cx);
        if let Poll::Ready(Err(_)) = accepted {
            self.1.fetch_add(1, Ordering::Relaxed);
        }
        accepted
    }
}

/// Whether this is the child process. If so, it serves until its drain has ended.
fn is_child() -> bool {
    let Ok(delay) = env::var(CHILD) else {
        return false;
    };
    let delay = Duration::from_secs(delay.parse().unwrap());
    let mut builder = runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build().unwrap();
    runtime.block_on(serve(delay));
    true
}

async fn serve(delay: Duration) {
    let mut few = getrlimit(Resource::Nofile);
    few.current = Some(DESCRIPTORS);
    setrlimit(Resource::Nofile, few).unwrap();
    tracing_subscriber::fmt()
        .with_writer(io::stdout)
        .with_ansi(false)
        .init();
    let (readiness, _storage) = ready();
    let phase = async |State(readiness): State<Readiness>| readiness.verdict().phase().to_string();
    // No layer counts the requests, so that the process succeeds only if the server ends
    // by itself.
    let router = Router::new()
        .route("/phase", get(phase))
        .route("/held", get(held))
        .with_state(readiness.clone());
    let (listener, address) = listen().await;
    let failures = Arc::new(AtomicUsize::new(0));
    let listener = CountsFailures(listener, Arc::clone(&failures));
    let shutdown = readiness
        .shutdown()
        .delay(delay)
        .closing_cap(Duration::from_secs(30))
        .on_signals(Signals::default())
        .build()
        .unwrap();
    let server = drain::serve(&readiness, listener, router.into_make_service())
        .with_graceful_shutdown(shutdown);
    let mut terminate = signal(SignalKind::terminate()).unwrap();
    tokio::spawn(async move {
        while terminate.recv().await.is_some() {
            println!("SIGTERM");
        }
    });
    let begin = Instant::now();
    println!("\nserving at {address}");
    readiness.run(server).await.unwrap().unwrap();
    let tenths = begin.elapsed().as_millis() / 100;
    let failures = failures.load(Ordering::Relaxed);
    println!("failures {failures} {tenths}");
}

/// Answers after SIGUSR1.
async fn held() -> &'static str {
    let mut release = signal(SignalKind::user_defined1()).unwrap();
    println!("held");
    release.recv().await;
    "held until now"
}

// === the parent ===

/// A child process, killed when it is dropped.
struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    address: SocketAddr,
}

impl Process {
    /// Executes `test` of this binary with this drain delay.
    async fn start(test: &str, delay: Duration) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(CHILD, delay.as_secs().to_string())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut process = Self {
            lines: BufReader::new(child.stdout.take().unwrap()).lines(),
            child,
            address: SocketAddr::from(([0; 4], 0)),
        };
        let line = process.line("serving at ").await;
        let (_, address) = line.split_once("serving at ").unwrap();
        process.address = address.parse().unwrap();
        process
    }

    /// The next line of output with this text.
    async fn line(&mut self, text: &str) -> String {
        soon(async {
            loop {
                let line = self.lines.next_line().await.unwrap();
                let line = line.unwrap_or_else(|| panic!("the child ended without '{text}'"));
                if line.contains(text) {
                    return line;
                }
            }
        })
        .await
    }

    fn send(&self, signal: Signal) {
        let id = self.child.id().unwrap().try_into().unwrap();
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
    }

    async fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(connection);
        Client { sender, connection }
    }

    async fn ended(&mut self) -> ExitStatus {
        soon(self.child.wait()).await.unwrap()
    }
}

fn request(path: &str) -> Request<Empty<Bytes>> {
    let builder = Request::get(path).header("host", "localhost");
    builder.body(Empty::new()).unwrap()
}

struct Client {
    sender: http1::SendRequest<Empty<Bytes>>,
    connection: JoinHandle<hyper::Result<()>>,
}

impl Client {
    async fn get(&mut self, path: &str) -> String {
        let body = soon(async {
            self.sender.ready().await.unwrap();
            let response = self.sender.send_request(request(path)).await.unwrap();
            response.into_body().collect().await.unwrap().to_bytes()
        });
        String::from_utf8(body.await.into()).unwrap()
    }

    /// Keeps the connection until the server ends it.
    async fn leaves(self) {
        soon(self.connection).await.unwrap().unwrap();
    }
}

#[test]
fn a_process_that_runs_out_of_descriptors_while_it_drains_serves_and_ends() {
    run(async {
        let test = "a_process_that_runs_out_of_descriptors_while_it_drains_serves_and_ends";
        let mut process = Process::start(test, Duration::from_secs(5)).await;
        let mut kept = Vec::new();
        for _ in 0..10 {
            let mut client = process.connect().await;
            assert_eq!(client.get("/phase").await, "started");
            kept.push(client);
        }
        process.send(Signal::TERM);
        while kept[0].get("/phase").await != "draining" {}

        let mut crowd = Vec::new();
        for _ in 0..CROWD {
            let mut stream = TcpStream::connect(process.address).await.unwrap();
            // A client closes its side once the server has closed.
            crowd.push(tokio::spawn(async move { stream.read(&mut [0]).await }));
        }
        process.line("server cannot accept").await;
        // The last connection that waits for a descriptor.
        let mut late = process.connect().await;
        for client in &mut kept {
            assert_eq!(client.get("/phase").await, "draining");
        }
        assert_eq!(late.get("/phase").await, "draining");
        for client in kept {
            client.leaves().await;
        }
        late.leaves().await;
        for client in crowd {
            assert_eq!(soon(client).await.unwrap().unwrap(), 0, "EOF, not an error");
        }

        let line = process.line("failures ").await;
        let mut numbers = line
            .split(' ')
            .skip(1)
            .map(|number| number.parse().unwrap());
        let (failures, tenths): (u64, u64) = (numbers.next().unwrap(), numbers.next().unwrap());
        assert!(failures > 1, "{line}");
        // One failure after each back-off of a tenth of a second, or after a connection has ended.
        let ended = CROWD + 11;
        assert!(failures <= tenths + ended + 1, "{line}");
        let status = process.ended().await;
        assert!(status.success(), "{status}");
    });
}

/// More connections than a child has descriptors for.
const CROWD: u64 = 70;

#[test]
fn a_second_sigterm_changes_nothing_and_a_sigint_ends_the_delay() {
    run(async {
        let test = "a_second_sigterm_changes_nothing_and_a_sigint_ends_the_delay";
        let mut process = Process::start(test, HOUR).await;
        let mut busy = process.connect().await;
        let held = tokio::spawn(async move {
            let answer = busy.get("/held").await;
            busy.leaves().await;
            answer
        });
        process.line("held").await;
        let mut kept = process.connect().await;
        for _ in 0..2 {
            process.send(Signal::TERM);
            process.line("SIGTERM").await;
            // On a kept connection, and on a new one.
            assert_eq!(kept.get("/phase").await, "draining");
            assert_eq!(process.connect().await.get("/phase").await, "draining");
            assert!(!held.is_finished());
        }

        process.send(Signal::INT);
        // An hour too early, but for the signal.
        kept.leaves().await;
        let address = process.address;
        until(|| std::net::TcpStream::connect(address).is_err()).await;
        assert!(!held.is_finished());
        process.send(Signal::USR1);
        assert_eq!(soon(held).await.unwrap(), "held until now");
        let status = process.ended().await;
        assert!(status.success(), "{status}");
    });
}

#[test]
fn a_sigint_after_the_delay_kills_whatever_is_in_flight() {
    run(async {
        let test = "a_sigint_after_the_delay_kills_whatever_is_in_flight";
        let mut process = Process::start(test, HOUR).await;
        let mut busy = process.connect().await;
        let held = tokio::spawn(async move { busy.sender.send_request(request("/held")).await });
        process.line("held").await;
        let mut kept = process.connect().await;
        process.send(Signal::TERM);
        while kept.get("/phase").await != "draining" {}
        process.send(Signal::INT);
        kept.leaves().await;
        assert!(!held.is_finished());
        // A tenth of a second later, the signal has its default again.
        let status = soon(async {
            loop {
                match process.child.try_wait().unwrap() {
                    Some(status) => return status,
                    None => process.send(Signal::INT),
                }
                sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        assert_eq!(status.signal(), Some(2), "{status}");
    });
}

fn run(test: impl Future<Output = ()>) {
    if is_child() {
        return;
    }
    let mut builder = runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build().unwrap();
    runtime.block_on(test);
}
