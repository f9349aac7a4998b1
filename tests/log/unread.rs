//! A process whose standard output is a full pipe without a reader.

use axum::{Router, routing::get};
use rustix::{
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    process::{Pid, Signal, kill_process},
};
use std::{
    env,
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};
use tower_readiness::{Readiness, ReadinessLayer, Subsystem};

const CHILD: &str = "TOWER_READINESS_TEST_CHILD";
const TEST: &str = "unread::a_log_that_is_not_read_holds_up_nothing";

/// Nothing is judged by this time: it ends a test that would hang.
const LONG: Duration = Duration::from_secs(30);

#[test]
fn a_log_that_is_not_read_holds_up_nothing() {
    if env::var_os(CHILD).is_some() {
        return child();
    }
    let (mut process, app, admin) = Process::start();

    // Reports return, however many there are.
    assert_eq!(status(app, "/"), Some(200));
    assert_eq!(status(app, "/flap"), Some(200), "4,000 reports");

    // A silence turns every surface red, and the admin listener answers.
    assert_eq!(status(app, "/fall-silent"), Some(200));
    until(|| status(admin, "/readyz") == Some(503));
    assert_eq!(status(app, "/"), Some(503));
    assert_eq!(status(app, "/readyz"), Some(503));
    let answered = (0..60).filter(|_| status(admin, "/livez") == Some(200));
    assert_eq!(answered.count(), 60);

    // It drains, and ends by itself and with success.
    process.terminate();
    let ended = process.wait();
    assert_eq!(ended.code(), Some(0), "{ended}");
}

/// The child process, which prints its results to standard error.
fn child() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(serve());
    // The harness would write to standard output.
    std::process::exit(0);
}

async fn serve() {
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::DEBUG)
        .with_writer(io::stdout)
        .init();
    fill_standard_output();
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage").ttl(Duration::from_secs(1)))
        .build()
        .unwrap();
    let storage = Arc::new(readiness.reporter("storage").unwrap());
    storage.ready();
    let silent = Arc::new(AtomicBool::new(false));
    tokio::spawn({
        let (storage, silent) = (Arc::clone(&storage), Arc::clone(&silent));
        async move {
            while !silent.load(Ordering::Relaxed) {
                storage.heartbeat();
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            // A reporter that was dropped would tell.
            std::future::pending::<()>().await;
        }
    });
    let flap = move || {
        // Were each to wait for its line, it would be longer than the test does.
        for _ in 0..2_000 {
            storage.failing("gone");
            storage.ready();
        }
        std::future::ready("returned")
    };
    let fall_silent = move || {
        silent.store(true, Ordering::Relaxed);
        std::future::ready("silent")
    };
    let app = Router::new()
        .route("/", get(async || "hello"))
        .route("/flap", get(flap))
        .route("/fall-silent", get(fall_silent))
        .layer(ReadinessLayer::new(&readiness).count_in_flight());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let admin = readiness.serve_on_thread("127.0.0.1:0").unwrap();
    eprintln!("app {}", listener.local_addr().unwrap());
    eprintln!("admin {}", admin.local_addr());
    let shutdown = readiness
        .drain_on_signal(Duration::from_millis(200))
        .unwrap();
    let server = axum::serve(listener, app).with_graceful_shutdown(shutdown);
    readiness.run(server).await.unwrap().unwrap();
}

fn fill_standard_output() {
    let out = io::stdout();
    let flags = fcntl_getfl(&out).unwrap();
    fcntl_setfl(&out, flags | OFlags::NONBLOCK).unwrap();
    while rustix::io::write(&out, &[b'.'; 4_096]).is_ok() {}
    while rustix::io::write(&out, b".").is_ok() {}
    fcntl_setfl(&out, flags).unwrap();
}

/// The child, killed when the test fails.
struct Process(Child);

impl Process {
    fn start() -> (Self, SocketAddr, SocketAddr) {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", TEST, "--nocapture"])
            .env(CHILD, "1")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let told = child.stderr.take().unwrap();
        let process = Self(child);
        let (mut app, mut admin) = (None, None);
        let (tell, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(told).lines().map_while(Result::ok) {
                eprintln!("{line}");
                let _ = tell.send(line);
            }
        });
        while app.is_none() || admin.is_none() {
            let line = lines.recv_timeout(LONG).expect("it tells its addresses");
            match line.split_once(' ') {
                Some(("app", address)) => app = address.parse().ok(),
                Some(("admin", address)) => admin = Some(socket(address)),
                _ => {}
            }
        }
        (process, app.unwrap(), admin.unwrap())
    }

    fn terminate(&self) {
        let process = Pid::from_child(&self.0);
        kill_process(process, Signal::TERM).unwrap();
    }

    fn wait(&mut self) -> ExitStatus {
        let mut ended = None;
        until(|| {
            ended = self.0.try_wait().unwrap();
            ended.is_some()
        });
        ended.unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An address, perhaps as a URL.
fn socket(address: &str) -> SocketAddr {
    let address = address.trim_start_matches("http://");
    address.parse().unwrap()
}

#[track_caller]
fn until(mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < LONG, "it never happened");
        thread::sleep(Duration::from_millis(10));
    }
}

/// The status of a GET on a connection of its own, or `None` if there is none.
fn status(address: SocketAddr, path: &str) -> Option<u16> {
    let mut connection = TcpStream::connect(address).ok()?;
    connection.set_read_timeout(Some(LONG)).ok()?;
    let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    connection.write_all(head.as_bytes()).ok()?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).ok()?;
    answer.split(' ').nth(1)?.parse().ok()
}
