//! The messages to systemd, received by a socket in its place.
#![cfg(unix)]

mod support;

use std::{
    env, fs, io,
    os::unix::net::{SocketAddr, UnixDatagram},
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};
use support::{ready, starting};
use tokio::{
    runtime,
    task::yield_now,
    time::{Duration, advance},
};
use tower_readiness::{
    Condition, Phase, Readiness, Reporter, SettingError, Subsystem,
    notify::systemd::{Systemd, SystemdError, SystemdOptions},
};

/// Receives in systemd's place.
struct Recorder {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Recorder {
    /// Returns a path that no other test uses.
    fn path() -> PathBuf {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        env::temp_dir().join(format!("readiness-notify-{process}-{count}"))
    }

    fn at(path: PathBuf) -> Self {
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self { socket, path }
    }

    fn new() -> Self {
        Self::at(Self::path())
    }

    fn options(&self) -> SystemdOptions {
        SystemdOptions::default().socket(&self.path)
    }

    fn one(&self) -> Option<String> {
        let mut buffer = [0; 8_192];
        match self.socket.recv(&mut buffer) {
            Ok(bytes) => Some(String::from_utf8(buffer[..bytes].to_vec()).unwrap()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Returns the messages that have arrived since the last call.
    fn all(&self) -> Vec<String> {
        std::iter::from_fn(|| self.one()).collect()
    }

    /// As [`Self::all`], after every task has been polled.
    async fn receive(&self) -> Vec<String> {
        settle().await;
        self.all()
    }

    /// Lets this time pass, and returns the messages that arrive in it. Reads in
    /// each step, because a socket holds ten messages by default.
    async fn receive_for(&self, time: Duration) -> Vec<String> {
        let mut received = Vec::new();
        for _ in 0..time.as_millis() / STEP.as_millis() {
            pass(STEP).await;
            received.extend(self.all());
        }
        received
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

async fn settle() {
    for _ in 0..16 {
        yield_now().await;
    }
}

/// Advances the clock in steps, so that each sleeping task wakes in time.
async fn pass(time: Duration) {
    let mut left = time;
    while !left.is_zero() {
        advance(left.min(STEP)).await;
        left = left.saturating_sub(STEP);
        settle().await;
    }
}

const STEP: Duration = Duration::from_millis(50);
const SECOND: Duration = Duration::from_secs(1);

fn notify(readiness: &Readiness, options: SystemdOptions) {
    assert_eq!(readiness.notify_systemd_with(options), Ok(Systemd::Present));
}

// === from start to stop ===

#[tokio::test(start_paused = true)]
async fn messages_follow_a_process_from_start_to_stop() {
    let (systemd, (readiness, storage)) = (Recorder::new(), starting());
    notify(&readiness, systemd.options());
    assert_eq!(
        systemd.receive().await,
        ["STATUS=starting 0/1: storage (never reported)"]
    );

    pass(SECOND).await;
    storage.ready();
    assert_eq!(systemd.receive().await, ["READY=1\nSTATUS=ready"]);
    pass(SECOND).await;
    storage.failing("connection refused");
    assert_eq!(
        systemd.receive().await,
        ["STATUS=not ready: storage (connection refused)"]
    );
    let received = systemd.receive_for(12 * SECOND).await;
    for age in ["1s", "5s", "10s"] {
        let status = format!("STATUS=not ready: storage (connection refused), {age}");
        assert!(received.contains(&status), "{received:?}");
    }
    storage.ready();
    assert_eq!(systemd.receive_for(SECOND).await, ["STATUS=ready"]);

    readiness.drain();
    assert_eq!(systemd.receive().await, ["STOPPING=1\nSTATUS=draining"]);
    readiness.advance(Phase::Closed);
    assert_eq!(systemd.receive_for(SECOND).await, ["STATUS=closed"]);
}

#[tokio::test(start_paused = true)]
async fn a_reload_is_sent_and_changes_no_readiness() {
    let (systemd, (readiness, _storage)) = (Recorder::new(), ready());
    notify(&readiness, systemd.options());
    assert_eq!(systemd.receive().await, ["READY=1\nSTATUS=ready"]);

    let reload = readiness.reloading();
    assert!(readiness.snapshot().is_reloading());
    assert!(readiness.verdict().is_ready());
    let received = systemd.receive_for(SECOND).await;
    let lines: Vec<_> = received[0].lines().collect();
    assert_eq!(lines[0], "RELOADING=1");
    let clock = lines[1].strip_prefix("MONOTONIC_USEC=").unwrap();
    let rustix::time::Timespec { tv_sec, tv_nsec } =
        rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let now = i128::from(tv_sec) * 1_000_000 + i128::from(tv_nsec) / 1_000;
    let ago = now - clock.parse::<i128>().unwrap();
    assert!((0..600_000_000).contains(&ago), "{ago} us ago");

    drop(reload);
    assert!(!readiness.snapshot().is_reloading());
    assert_eq!(systemd.receive().await, ["READY=1\nSTATUS=ready"]);
}

#[tokio::test(start_paused = true)]
async fn the_status_counts_requests_in_flight_during_a_drain() {
    let (systemd, (readiness, _storage)) = (Recorder::new(), ready());
    let _layer = tower_readiness::ReadinessLayer::new(&readiness).count_in_flight();
    let jobs = [readiness.track(), readiness.track()];
    notify(&readiness, systemd.options());
    assert_eq!(systemd.receive().await, ["READY=1\nSTATUS=ready"]);
    readiness.drain();
    assert_eq!(
        systemd.receive().await,
        ["STOPPING=1\nSTATUS=draining, 2 in flight"]
    );
    drop(jobs);
    assert_eq!(
        systemd.receive_for(2 * SECOND).await,
        ["STATUS=draining, 0 in flight"]
    );
}

#[tokio::test(start_paused = true)]
async fn the_status_counts_jobs_without_a_layer() {
    let (systemd, (readiness, _storage)) = (Recorder::new(), ready());
    let job = readiness.track();
    notify(&readiness, systemd.options());
    assert_eq!(systemd.receive().await, ["READY=1\nSTATUS=ready"]);
    readiness.drain();
    assert_eq!(
        systemd.receive().await,
        ["STOPPING=1\nSTATUS=draining, 1 in flight"]
    );
    drop(job);
    assert_eq!(systemd.receive_for(2 * SECOND).await, ["STATUS=draining"]);
}

#[tokio::test(start_paused = true)]
async fn a_retired_or_dead_subsystem_does_not_send_stopping() {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        .subsystem(Subsystem::new("worker").vital())
        .build()
        .unwrap();
    let [storage, worker] = ["storage", "worker"].map(|name| readiness.reporter(name).unwrap());
    let systemd = Recorder::new();
    notify(&readiness, systemd.options());
    storage.ready();
    worker.ready();
    pass(SECOND).await;
    storage.retire();
    pass(SECOND).await;
    worker.dead("gave up");
    let received = systemd.receive_for(SECOND).await.join("\n");
    assert!(
        received.contains("not live: worker (gave up)"),
        "{received}"
    );
    assert!(!received.contains("STOPPING"), "{received}");
}

#[tokio::test(start_paused = true)]
async fn a_line_break_in_a_reason_adds_no_assignment() {
    let (systemd, (readiness, storage)) = (Recorder::new(), starting());
    notify(&readiness, systemd.options());
    storage.failing("x\nREADY=1\nSTOPPING=1");
    assert_eq!(
        systemd.receive().await,
        ["STATUS=starting 0/1: storage (x READY=1 STOPPING=1)"]
    );
}

// === watchdog ===

fn vital() -> (Readiness, Reporter) {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("worker").vital())
        .subsystem(Subsystem::new("storage"))
        .build()
        .unwrap();
    readiness.reporter("storage").unwrap().leave_ready();
    let worker = readiness.reporter("worker").unwrap();
    worker.ready();
    (readiness, worker)
}

#[tokio::test(start_paused = true)]
async fn pings_come_at_half_of_the_interval_while_liveness_is_green() {
    let (systemd, (readiness, worker)) = (Recorder::new(), vital());
    notify(&readiness, systemd.options().watchdog(10 * SECOND));
    assert_eq!(
        systemd.receive().await,
        ["READY=1\nWATCHDOG=1\nSTATUS=ready"]
    );
    assert_eq!(systemd.receive_for(4 * SECOND).await, [""; 0]);
    assert_eq!(systemd.receive_for(SECOND).await, ["WATCHDOG=1"]);
    let received = systemd.receive_for(50 * SECOND).await;
    assert_eq!(received, ["WATCHDOG=1"; 10]);

    worker.dead("gave up");
    let received = systemd.receive_for(60 * SECOND).await.join("\n");
    assert!(!received.contains("WATCHDOG"), "{received}");
    worker.ready();
    assert_eq!(systemd.receive().await, ["WATCHDOG=1\nSTATUS=ready"]);
}

#[tokio::test(start_paused = true)]
async fn a_trigger_does_not_wait_for_a_ping_to_be_missed() {
    let (systemd, (readiness, worker)) = (Recorder::new(), vital());
    notify(&readiness, systemd.options().trigger_watchdog());
    systemd.receive_for(SECOND).await;
    worker.dead("gave up");
    assert_eq!(
        systemd.receive().await,
        ["WATCHDOG=trigger\nSTATUS=not live: worker (gave up)"]
    );
}

#[tokio::test(start_paused = true)]
async fn pings_end_when_a_ttl_expires_although_the_runtime_of_the_timer_hangs() {
    let mut builder = runtime::Builder::new_current_thread();
    let hangs = builder.enable_all().build().unwrap();
    let readiness = {
        let _there = hangs.enter();
        let worker = Subsystem::new("worker").vital().ttl(4 * SECOND);
        Readiness::builder().subsystem(worker).build().unwrap()
    };
    let worker = readiness.reporter("worker").unwrap();
    worker.ready();
    let systemd = Recorder::new();
    notify(&readiness, systemd.options().watchdog(2 * SECOND));
    let received = systemd.receive_for(4 * SECOND).await;
    assert!(received.len() >= 4, "{received:?}");
    systemd.receive_for(2 * SECOND).await;
    let received = systemd.receive_for(20 * SECOND).await.join("\n");
    assert!(!received.contains("WATCHDOG"), "{received}");
    assert!(received.contains("STATUS=not live: worker"), "{received}");
    hangs.shutdown_background();
}

#[test]
fn a_runtime_that_hangs_sends_no_ping() {
    let (systemd, (readiness, _worker)) = (Recorder::new(), vital());
    let watchdog = Duration::from_millis(20);
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let _guard = runtime.enter();
    notify(&readiness, systemd.options().watchdog(watchdog));
    let run = |time| runtime.block_on(tokio::time::sleep(time));
    run(watchdog);
    assert!(
        systemd
            .all()
            .iter()
            .any(|message| message.contains("WATCHDOG=1"))
    );
    // While this thread sleeps outside of the runtime, the runtime hangs.
    thread::sleep(watchdog * 5);
    // Neither a report nor a reader of the verdict sends a message.
    assert!(readiness.verdict().is_live());
    drop(readiness.pause("seen"));
    assert_eq!(systemd.all(), [""; 0]);
    run(watchdog);
    assert!(
        systemd
            .all()
            .iter()
            .any(|message| message.contains("WATCHDOG=1"))
    );
}

#[cfg(feature = "server")]
#[test]
fn a_runtime_that_hangs_sends_no_ping_although_a_probe_came_before_it() {
    use std::io::{Read, Write};
    let (systemd, (readiness, _worker)) = (Recorder::new(), vital());
    let watchdog = Duration::from_millis(20);
    notify(&readiness, systemd.options().watchdog(watchdog));
    let admin = readiness.serve_on_thread("127.0.0.1:0").unwrap();
    let address = admin.local_addr().socket_addr().unwrap();
    let probe = || {
        let mut connection = std::net::TcpStream::connect(address).unwrap();
        let request = b"GET /livez HTTP/1.0\r\n\r\n";
        connection.write_all(request).unwrap();
        connection.read_to_end(&mut Vec::new()).unwrap();
    };
    let pings = || systemd.all().join("\n").contains("WATCHDOG=1");
    probe();
    // Without a runtime of the application, the thread of the listener sends them.
    let sent = (0..30_000).any(|_| {
        thread::sleep(Duration::from_millis(1));
        pings()
    });
    assert!(sent);

    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let sent_by_application = || {
        runtime.block_on(async {
            for _ in 0..30_000 {
                tokio::time::sleep(Duration::from_millis(1)).await;
                if pings() {
                    return true;
                }
            }
            false
        })
    };
    runtime.block_on(async { drop(readiness.snapshot()) });
    // The thread of the listener drops its task before it answers.
    probe();
    let _before = systemd.all();
    assert!(sent_by_application());
    let _before = systemd.all();
    thread::sleep(watchdog * 5);
    probe();
    assert_eq!(systemd.all(), [""; 0]);
    assert!(sent_by_application());
}

// === extensions ===

#[tokio::test(start_paused = true)]
async fn progress_of_an_awaited_subsystem_extends_the_start() {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        .subsystem(Subsystem::new("index").optional())
        .build()
        .unwrap();
    let [storage, index] = ["storage", "index"].map(|name| readiness.reporter(name).unwrap());
    let systemd = Recorder::new();
    let options = systemd.options().extend_start(8 * SECOND, 19 * SECOND);
    notify(&readiness, options);
    systemd.receive().await;

    for _ in 0..3 {
        storage.starting("reading");
        storage.heartbeat();
        index.progress("reading");
        pass(SECOND).await;
    }
    let received = systemd.all();
    assert_eq!(
        received,
        ["STATUS=starting 0/1: storage (starting: reading)"]
    );

    // The same text run_child is progress too.
    for _ in 0..4 {
        storage.progress("reading");
        assert_eq!(
            systemd.receive_for(4 * SECOND).await.len(),
            1,
            "four seconds each, from the third on"
        );
    }
    storage.progress("reading");
    assert_eq!(systemd.receive_for(4 * SECOND).await, [""; 0]);
    assert_eq!(readiness.verdict().condition(), Condition::Starting);
}

#[tokio::test(start_paused = true)]
async fn progress_is_sent_at_once() {
    let (systemd, (readiness, storage)) = (Recorder::new(), starting());
    notify(
        &readiness,
        systemd.options().extend_start(4 * SECOND, 19 * SECOND),
    );
    storage.starting("reading");
    systemd.receive_for(SECOND).await;
    storage.progress("reading");
    assert_eq!(systemd.receive().await, ["EXTEND_TIMEOUT_USEC=4000000"]);
}

#[tokio::test(start_paused = true)]
async fn the_stop_is_extended_for_as_long_as_the_drain_may_take() {
    let (systemd, (readiness, _storage)) = (Recorder::new(), ready());
    notify(&readiness, systemd.options().extend_stop());
    let shutdown = readiness
        .shutdown()
        .delay(2 * SECOND)
        .extend_up_to(4 * SECOND)
        .closing_cap(14 * SECOND)
        .build()
        .unwrap();
    let shutdown = tokio::spawn(shutdown);
    systemd.receive_for(SECOND).await;
    readiness.drain();
    assert_eq!(
        systemd.receive().await,
        ["STOPPING=1\nEXTEND_TIMEOUT_USEC=15000000\nSTATUS=draining"]
    );
    let received = systemd.receive_for(6 * SECOND).await;
    shutdown.await.unwrap();
    // No request came, so it closes after 2 seconds; the limit is at 16.
    assert_eq!(received, ["STATUS=closing", "EXTEND_TIMEOUT_USEC=13000000"]);
    let received = systemd.receive_for(60 * SECOND).await;
    assert_eq!(
        received,
        [
            "EXTEND_TIMEOUT_USEC=8000000",
            "EXTEND_TIMEOUT_USEC=3000000",
            "STATUS=closed"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_drain_without_an_end_is_not_extended() {
    let (systemd, (readiness, _storage)) = (Recorder::new(), ready());
    notify(&readiness, systemd.options().extend_stop());
    systemd.receive().await;
    readiness.drain();
    let received = systemd.receive_for(60 * SECOND).await;
    assert_eq!(received, ["STOPPING=1\nSTATUS=draining"]);
}

// === when it starts and ends ===

#[test]
fn the_mirror_starts_in_the_first_runtime_and_continues_in_the_next() {
    let (systemd, (readiness, storage)) = (Recorder::new(), starting());
    notify(&readiness, systemd.options());
    storage.ready();
    assert_eq!(systemd.all(), [""; 0], "no runtime could send it");
    for expected in [
        ["READY=1\nSTATUS=ready"],
        ["STATUS=not ready: storage (gone)"],
    ] {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        let received = runtime.block_on(async {
            // A subscriber in the runtime starts the mirror.
            drop(readiness.subscribe().changed().await);
            systemd.receive_for(SECOND).await
        });
        assert_eq!(received, expected);
        // The next round has another runtime.
        drop(runtime);
        storage.failing("gone");
    }
}

#[tokio::test(start_paused = true)]
async fn the_mirror_does_not_keep_the_registry_alive_and_ends_with_it() {
    let (systemd, (readiness, storage)) = (Recorder::new(), ready());
    notify(&readiness, systemd.options().watchdog(SECOND));
    systemd.receive().await;
    let mut subscription = readiness.subscribe();
    drop((storage, readiness));
    while subscription.changed().await.is_ok() {}
    systemd.receive_for(SECOND / 10).await;
    assert_eq!(systemd.receive_for(60 * SECOND).await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_from_the_thread_of_a_reporter() {
    let (systemd, (readiness, storage)) = (Recorder::new(), starting());
    notify(&readiness, systemd.options());
    systemd.receive_for(SECOND).await;
    thread::spawn(move || storage.ready()).join().unwrap();
    assert_eq!(systemd.all(), [""; 0]);
    assert_eq!(systemd.receive().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_mirror_starts_only_once() {
    let (systemd, (readiness, _storage)) = (Recorder::new(), ready());
    notify(&readiness, systemd.options());
    let run_child = readiness.notify_systemd_with(systemd.options());
    assert_eq!(run_child, Err(SystemdError::AlreadyRunning));
    assert_eq!(systemd.receive().await, ["READY=1\nSTATUS=ready"]);
}

// === sockets that are missing, full or invalid ===

#[tokio::test(start_paused = true)]
async fn a_missing_socket_gets_the_state_once_it_exists() {
    let (path, (readiness, storage)) = (Recorder::path(), starting());
    notify(&readiness, SystemdOptions::default().socket(&path));
    storage.ready();
    pass(60 * SECOND).await;
    storage.failing("gone");
    pass(SECOND).await;
    let systemd = Recorder::at(path);
    // Only the present state is sent, no earlier one.
    let received = systemd.receive_for(2 * SECOND).await;
    assert!(
        received[0].starts_with("READY=1\nSTATUS=not ready: storage (gone)"),
        "{received:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_removed_socket_gets_the_state_once_it_is_back() {
    let (systemd, (readiness, storage)) = (Recorder::new(), ready());
    let path = systemd.path.clone();
    notify(&readiness, systemd.options());
    assert_eq!(systemd.receive().await.len(), 1);
    drop(systemd);
    pass(SECOND).await;
    storage.degraded("slow");
    pass(10 * SECOND).await;
    assert!(readiness.verdict().is_ready());
    let systemd = Recorder::at(path);
    assert_eq!(
        systemd.receive_for(2 * SECOND).await,
        ["STATUS=degraded: storage (slow)"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_full_socket_blocks_no_report_and_gets_the_newest_state() {
    let (systemd, (readiness, storage)) = (Recorder::new(), ready());
    notify(&readiness, systemd.options());
    systemd.receive().await;
    let filler = UnixDatagram::unbound().unwrap();
    filler.set_nonblocking(true).unwrap();
    let full = loop {
        if let Err(error) = filler.send_to(b"x", &systemd.path) {
            break error;
        }
    };
    assert_eq!(full.kind(), io::ErrorKind::WouldBlock);

    // If the send blocked, this test would block too.
    for round in 0..100 {
        storage.degraded(format!("{round}"));
        pass(SECOND / 10).await;
    }
    let fill = systemd.all();
    assert!(fill.iter().all(|message| message == "x"));
    assert_eq!(
        systemd.receive_for(2 * SECOND).await,
        ["STATUS=degraded: storage (99)"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_ping_is_tried_again_before_it_is_missed() {
    let (path, (readiness, _worker)) = (Recorder::path(), vital());
    let options = SystemdOptions::default().socket(&path);
    notify(&readiness, options.watchdog(SECOND));
    pass(60 * SECOND).await;
    let systemd = Recorder::at(path);
    assert!(!systemd.receive_for(SECOND / 4).await.is_empty());
}

#[cfg(target_os = "linux")]
#[tokio::test(start_paused = true)]
async fn an_abstract_name_is_a_socket_too() {
    use std::os::linux::net::SocketAddrExt;
    let (readiness, _storage) = ready();
    let name = format!("readiness-notify-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let socket = UnixDatagram::bind_addr(&address).unwrap();
    socket.set_nonblocking(true).unwrap();
    let options = SystemdOptions::default().socket(format!("@{name}"));
    notify(&readiness, options);
    settle().await;
    let mut buffer = [0; 64];
    let bytes = socket.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..bytes], b"READY=1\nSTATUS=ready");
}

#[test]
fn an_invalid_address_is_an_error() {
    let (readiness, _storage) = ready();
    let notify = |socket: &str| {
        let options = SystemdOptions::default().socket(socket);
        readiness.notify_systemd_with(options)
    };
    assert!(matches!(notify("notify"), Err(SystemdError::Socket { .. })));
    assert!(matches!(
        notify("vsock:2:9"),
        Err(SystemdError::Vsock { .. })
    ));
    let long = "/".to_owned() + &"x".repeat(200);
    assert!(matches!(
        notify(&long),
        Err(SystemdError::LongSocket { .. })
    ));
    assert_eq!(notify(""), Ok(Systemd::Absent));
    // After each error, the mirror can still be started.
    assert_eq!(notify("/nowhere/notify"), Ok(Systemd::Present));
}

#[test]
fn options_out_of_bounds_are_errors() {
    let (readiness, _storage) = ready();
    let options = || SystemdOptions::default().socket("/nowhere/notify");
    for options in [
        options().watchdog(Duration::ZERO),
        options().extend_start(Duration::ZERO, SECOND),
        options().extend_start(SECOND, Duration::MAX),
    ] {
        let error = readiness.notify_systemd_with(options).unwrap_err();
        assert!(
            matches!(
                error,
                SystemdError::Setting(SettingError::OutOfBounds { .. })
            ),
            "{error}"
        );
    }
}

// === the environment, and the log ===

/// Runs the ignored test `name` alone in a child process with another environment,
/// and returns its output.
fn run_child(name: &str, environment: &[(&str, &str)]) -> String {
    let output = Command::new(env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture", "--ignored"])
        .env_remove("NOTIFY_SOCKET")
        .env_remove("WATCHDOG_USEC")
        .env_remove("WATCHDOG_PID")
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    text
}

/// Notifies systemd as the environment says, and prints the result.
#[test]
#[ignore = "run by the tests below, with an environment of their own"]
fn notify_as_the_environment_says() {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let (readiness, _storage) = ready();
        println!("outcome: {:?}", readiness.notify_systemd());
        pass(SECOND).await;
    });
}

#[test]
fn systemd_is_found_by_the_environment() {
    let systemd = Recorder::new();
    let path = systemd.path.to_str().unwrap();
    let outcome = run_child(
        "notify_as_the_environment_says",
        &[("NOTIFY_SOCKET", path), ("WATCHDOG_USEC", "1600000")],
    );
    assert!(outcome.contains("outcome: Ok(Present)"), "{outcome}");
    assert_eq!(
        systemd.all(),
        ["READY=1\nWATCHDOG=1\nSTATUS=ready", "WATCHDOG=1"]
    );
    run_child(
        "notify_as_the_environment_says",
        &[
            ("NOTIFY_SOCKET", path),
            ("WATCHDOG_USEC", "1600000"),
            ("WATCHDOG_PID", "1"),
        ],
    );
    assert_eq!(systemd.all(), ["READY=1\nSTATUS=ready"]);
}

#[test]
fn an_invalid_environment_is_an_error_and_an_empty_one_is_absent() {
    let run = |environment: &[_]| run_child("notify_as_the_environment_says", environment);
    assert!(run(&[]).contains("outcome: Ok(Absent)"));
    assert!(run(&[("NOTIFY_SOCKET", "")]).contains("outcome: Ok(Absent)"));
    assert!(run(&[("NOTIFY_SOCKET", "x")]).contains("outcome: Err(Socket"));
    for usec in ["0", "soon", "-5"] {
        let outcome = run(&[("NOTIFY_SOCKET", "/nowhere/x"), ("WATCHDOG_USEC", usec)]);
        assert!(outcome.contains("outcome: Err(Watchdog"), "{outcome}");
        // Without NOTIFY_SOCKET the variable does not matter.
        assert!(run(&[("WATCHDOG_USEC", usec)]).contains("outcome: Ok(Absent)"));
    }
}

#[cfg(feature = "tracing")]
#[tokio::test(start_paused = true)]
async fn a_socket_that_is_gone_is_logged_once() {
    let (log, _guard) = Log::of_warnings();
    let (readiness, storage) = ready();
    notify(
        &readiness,
        SystemdOptions::default().socket(Recorder::path()),
    );
    for _ in 0..100 {
        storage.ready();
        pass(SECOND).await;
    }
    let logged = || log.text();
    let count = || logged().matches("cannot notify systemd").count();
    log.wait_for("cannot notify systemd");
    // A second line would have been written before this one.
    storage.failing("gone");
    log.wait_for("subsystem failing");
    assert_eq!(count(), 1, "{}", logged());
}

#[cfg(feature = "tracing")]
#[tokio::test]
async fn a_stop_timeout_that_the_drain_may_exceed_is_logged() {
    let seconds = Duration::from_secs;
    let recorder = Recorder::new();
    let timeout = |time| SystemdOptions::default().stop_timeout(seconds(time));
    let given = |options: SystemdOptions| options.socket(&recorder.path);
    let short = "TimeoutStopSec is 25 s, but the drain may take 25 s";
    for (options, of_plan, warning) in [
        (given(timeout(25)), Some(20), Some(short)),
        (given(timeout(26)), Some(20), None),
        (given(timeout(25)).extend_stop(), Some(20), None),
        (given(timeout(25)), None, None),
        (given(SystemdOptions::default()), Some(200), None),
        // There is no systemd.
        (timeout(25).socket(""), Some(20), None),
    ] {
        for notify_first in [true, false] {
            let (log, _guard) = Log::of_warnings();
            let (readiness, storage) = ready();
            let notify = || {
                let notified = readiness.notify_systemd_with(options.clone());
                notified.unwrap();
            };
            if notify_first {
                notify();
            }
            let _shutdown = of_plan.map(|cap| {
                let plan = readiness
                    .shutdown()
                    .delay(seconds(1))
                    .closing_cap(seconds(cap));
                plan.extend_up_to(seconds(5)).build().unwrap()
            });
            if !notify_first {
                notify();
            }
            storage.failing("gone");
            log.wait_for("subsystem failing");
            let logged = log.text();
            let found = logged.lines().find(|line| line.contains("TimeoutStopSec"));
            let as_expected = match (found, warning) {
                (Some(line), Some(warning)) => line.contains(warning),
                (found, warning) => found.is_none() && warning.is_none(),
            };
            assert!(as_expected, "{options:?}, {of_plan:?}: {logged}");
        }
    }

    let (readiness, _storage) = ready();
    let invalid = readiness.notify_systemd_with(given(timeout(0)));
    assert!(
        matches!(invalid, Err(SystemdError::Setting(_))),
        "{invalid:?}"
    );
}

#[cfg(feature = "tracing")]
#[tokio::test(start_paused = true)]
async fn a_subscriber_that_panics_does_not_end_the_mirror() {
    let (path, (readiness, _storage)) = (Recorder::path(), ready());
    use tracing_subscriber::layer::SubscriberExt;
    let subscriber = tracing_subscriber::registry().with(Panics);
    let _logs = tracing::subscriber::set_default(subscriber);
    notify(&readiness, SystemdOptions::default().socket(&path));
    pass(SECOND).await;
    let systemd = Recorder::at(path);
    let received = systemd.receive_for(4 * SECOND).await;
    assert_eq!(received, ["READY=1\nSTATUS=ready"]);
}

/// A subscriber that panics. (A `fmt` subscriber whose writer panics would leave its
/// line in a buffer, and the next subscriber on the same thread would write it.)
#[cfg(feature = "tracing")]
struct Panics;

#[cfg(feature = "tracing")]
impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Panics {
    fn on_event(&self, _: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        panic!("cannot write");
    }
}

#[cfg(feature = "tracing")]
#[derive(Clone, Default)]
struct Log(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

#[cfg(feature = "tracing")]
impl Log {
    /// The warnings of this thread.
    fn of_warnings() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
            .finish();
        let guard = tracing_subscriber::util::SubscriberInitExt::set_default(subscriber);
        (log, guard)
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// The log thread writes the lines.
    fn wait_for(&self, text: &str) {
        while !self.text().contains(text) {
            thread::yield_now();
        }
    }
}

#[cfg(feature = "tracing")]
impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
