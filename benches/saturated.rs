//! Probes of a process whose runtime is busy with handlers that block.
//!
//! `cargo bench --bench saturated --features server` lets `wrk` keep every
//! worker of a runtime busy, and asks `/livez` a thousand times each on the port of the application
//! and on an admin listener on a thread of its own, in turn. Then it blocks all
//! workers for good, and measures how long it takes until liveness is red.
//! Needs wrk. Without `--bench` (as `cargo test` runs it) it asks twenty times,
//! under a load of its own.

use axum::{Router, routing::get};
use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use tower_readiness::{Readiness, ReadinessLayer, Subsystem, watch::RuntimeWatch};

const WORKERS: usize = 2;
const HANDLER_BLOCKS: Duration = Duration::from_millis(5);
const STALLED_AFTER: Duration = Duration::from_secs(2);
/// No probe waits that long.
const PATIENCE: Duration = Duration::from_secs(30);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let full = std::env::args().any(|argument| argument == "--bench");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()?;

    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("listener"))
        .build()?;
    let admin = readiness.serve_on_thread("127.0.0.1:0")?;
    let admin = admin.local_addr().socket_addr().ok_or("not a port")?;
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
    let address = listener.local_addr()?;
    runtime.block_on(async {
        let watch = RuntimeWatch::default().stalled_after(STALLED_AFTER);
        readiness.watch_runtime(watch)
    })?;
    readiness.reporter("listener")?.leave_ready();
    let app = Router::new()
        // A blocking call, which belongs into `spawn_blocking`.
        .route("/", get(async || thread::sleep(HANDLER_BLOCKS)))
        .layer(ReadinessLayer::new(&readiness));
    runtime.spawn(async { axum::serve(listener, app).await });

    let load = if full {
        Load::wrk(address)?
    } else {
        Load::own(address)
    };
    let probes = if full { 1_000 } else { 20 };
    // Until it has its connections.
    thread::sleep(Duration::from_millis(500));
    let (mut main_port, mut admin_port) = (Vec::new(), Vec::new());
    for _ in 0..probes {
        main_port.push(probe(address)?);
        admin_port.push(probe(admin)?);
    }
    drop(load);
    println!("/livez, {probes} times each, while {WORKERS} workers run handlers that block");
    for (name, answers) in [("main port", main_port), ("admin thread", admin_port)] {
        assert!(answers.iter().all(|(status, _)| *status == 200), "{name}");
        let mut times: Vec<_> = answers.into_iter().map(|(_, time)| time).collect();
        times.sort_unstable();
        let rank = |percent: usize| times[(times.len() * percent).div_ceil(100).max(1) - 1];
        println!(
            "{name:>14}: p50 {:>7.1?}, p99 {:>7.1?}, most {:>7.1?}",
            rank(50),
            rank(99),
            rank(100)
        );
    }

    for _ in 0..WORKERS {
        runtime.spawn(async { thread::sleep(PATIENCE) });
    }
    let blocked = Instant::now();
    while probe(admin)?.0 == 200 {
        assert!(blocked.elapsed() < PATIENCE, "liveness is still green");
        thread::sleep(Duration::from_millis(10));
    }
    println!(
        "blocked for good: /livez is red after {:.2?}, told to be so after {STALLED_AFTER:?}",
        blocked.elapsed()
    );
    runtime.shutdown_background();
    Ok(())
}

/// Asks on a connection of its own, as a kubelet does.
fn probe(address: SocketAddr) -> io::Result<(u16, Duration)> {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.get(9..12).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("an answer: {answer:?}")))?;
    Ok((status, begun.elapsed()))
}

/// Keeps the server busy until it is dropped.
enum Load {
    Wrk(Child),
    Own(Arc<AtomicBool>),
}

impl Load {
    fn wrk(address: SocketAddr) -> io::Result<Self> {
        let wrk = Command::new("wrk")
            .args(["-t1", "-c32", "-d600s", &format!("http://{address}/")])
            .stdout(Stdio::null())
            .spawn();
        wrk.map(Self::Wrk)
            .map_err(|error| io::Error::other(format!("cannot run wrk: {error}")))
    }

    fn own(address: SocketAddr) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        for _ in 0..4 {
            let over = Arc::clone(&over);
            thread::spawn(move || {
                let request = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
                let mut stream = TcpStream::connect(address)?;
                while !over.load(Ordering::Relaxed) {
                    stream.write_all(request)?;
                    // The head of the answer; it has no body.
                    let _ = stream.read(&mut [0; 1_024])?;
                }
                Ok::<_, io::Error>(())
            });
        }
        Self::Own(over)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        match self {
            Self::Wrk(wrk) => {
                let _ = wrk.kill();
                let _ = wrk.wait();
            }
            Self::Own(over) => over.store(true, Ordering::Relaxed),
        }
    }
}
