//! What systemd is told, received by a socket in its place.
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
    /// A path that no other test has.
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

    /// What has arrived since.
    fn all(&self) -> Vec<String> {
        std::iter::from_fn(|| self.one()).collect()
    }

    /// What has arrived since, when every task has had its turn.
    async fn hears(&self) -> Vec<String> {
        settle().await;
        self.all()
    }

    /// What arrives in this time. Read all along, for a socket holds no more
    /// than ten messages by default.
    async fn hears_after(&self, time: Duration) -> Vec<String> {
        let mut heard = Vec::new();
        for _ in 0..time.as_millis() / STEP.as_millis() {
            pass(STEP).await;
            heard.extend(self.all());
        }
        heard
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

/// Lets time pass in steps, so that whatever sleeps wakes when it should.
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

fn tell(readiness: &Readiness, options: SystemdOptions) {
    assert_eq!(readiness.notify_systemd_with(options), Ok(Systemd::Present));
}

// === a life ===

#[tokio::test(start_paused = true)]
async fn a_life_is_told_from_start_to_stop() {
    let (systemd, (readiness, storage)) = (Recorder::new(), starting());
    tell(&readiness, systemd.options());
    assert_eq!(
        systemd.hears().await,
        ["STATUS=starting 0/1: storage (never reported)"]
    );

    pass(SECOND).await;
    storage.ready();
    assert_eq!(systemd.hears().await, ["READY=1\nSTATUS=ready"]);
    pass(SECOND).await;
    storage.failing("connection refused");
    assert_eq!(
        systemd.hears().await,
        ["STATUS=not ready: storage (connection refused)"]
    );
    let heard = systemd.hears_after(12 * SECOND).await;
    for age in ["1s", "5s", "10s"] {
        let status = format!("STATUS=not ready: storage (connection refused), {age}");
        assert!(heard.contains(&status), "{heard:?}");
    }
    storage.ready();
    assert_eq!(systemd.hears_after(SECOND).await, ["STATUS=ready"]);

    readiness.drain();
    assert_eq!(systemd.hears().await, ["STOPPING=1\nSTATUS=draining"]);
    readiness.advance(Phase::Closed);
    assert_eq!(systemd.hears_after(SECOND).await, ["STATUS=closed"]);
}

#[tokio::test(start_paused = true)]
async fn a_reload_is_told_by_its_guard_and_changes_no_readiness() {
    let (systemd, (readiness, _storage)) = (Recorder::new(), ready());
    tell(&readiness, systemd.options());
    assert_eq!(systemd.hears().await, ["READY=1\nSTATUS=ready"]);

    let reload = readiness.reloading();
    assert!(readiness.snapshot().is_reloading());
    assert!(readiness.verdict().is_ready());
    let heard = systemd.hears_after(SECOND).await;
    let lines: Vec<_> = heard[0].lines().collect();
    assert_eq!(lines[0], "RELOADING=1");
    let clock = lines[1].strip_prefix("MONOTONIC_USEC=").unwrap();
    let rustix::time::Timespec { tv_sec, tv_nsec } =
        rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let now = i128::from(tv_sec) * 1_000_000 + i128::from(tv_nsec) / 1_000;
    let ago = now - clock.parse::<i128>().unwrap();
    assert!((0..600_000_000).contains(&ago), "{ago} us ago");

    drop(reload);
    assert!(!readiness.snapshot().is_reloading());
    assert_eq!(systemd.hears().await, ["READY=1\nSTATUS=ready"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_in_flight_is_told_while_it_drains() {
    let (systemd, (readiness, _storage)) = (Recorder::new(), ready());
    let _layer = tower_readiness::ReadinessLayer::new(&readiness).count_in_flight();
    let jobs = [readiness.track(), readiness.track()];
    tell(&readiness, systemd.options());
    assert_eq!(systemd.hears().await, ["READY=1\nSTATUS=ready"]);
    readiness.drain();
    assert_eq!(
        systemd.hears().await,
        ["STOPPING=1\nSTATUS=draining, 2 in flight"]
    );
    drop(jobs);
    assert_eq!(
        systemd.hears_after(2 * SECOND).await,
        ["STATUS=draining, 0 in flight"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_job_in_flight_is_told_although_no_layer_counts() {
    let (systemd, (readiness, _storage)) = (Recorder::new(), ready());
    let job = readiness.track();
    tell(&readiness, systemd.options());
    assert_eq!(systemd.hears().await, ["READY=1\nSTATUS=ready"]);
    readiness.drain();
    assert_eq!(
        systemd.hears().await,
        ["STOPPING=1\nSTATUS=draining, 1 in flight"]
    );
    drop(job);
    assert_eq!(systemd.hears_after(2 * SECOND).await, ["STATUS=draining"]);
}

#[tokio::test(start_paused = true)]
async fn neither_retiring_nor_dying_means_that_the_process_stops() {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        .subsystem(Subsystem::new("worker").vital())
        .build()
        .unwrap();
    let [storage, worker] = ["storage", "worker"].map(|name| readiness.reporter(name).unwrap());
    let systemd = Recorder::new();
    tell(&readiness, systemd.options());
    storage.ready();
    worker.ready();
    pass(SECOND).await;
    storage.retire();
    pass(SECOND).await;
    worker.dead("gave up");
    let heard = systemd.hears_after(SECOND).await.join("\n");
    assert!(heard.contains("not live: worker (gave up)"), "{heard}");
    assert!(!heard.contains("STOPPING"), "{heard}");
}

#[tokio::test(start_paused = true)]
async fn a_reason_smuggles_no_assignment() {
    let (systemd, (readiness, storage)) = (Recorder::new(), starting());
    tell(&readiness, systemd.options());
    storage.failing("x\nREADY=1\nSTOPPING=1");
    assert_eq!(
        systemd.hears().await,
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
async fn pings_come_at_half_of_the_time_while_liveness_is_green() {
    let (systemd, (readiness, worker)) = (Recorder::new(), vital());
    tell(&readiness, systemd.options().watchdog(10 * SECOND));
    assert_eq!(systemd.hears().await, ["READY=1\nWATCHDOG=1\nSTATUS=ready"]);
    assert_eq!(systemd.hears_after(4 * SECOND).await, [""; 0]);
    assert_eq!(systemd.hears_after(SECOND).await, ["WATCHDOG=1"]);
    let heard = systemd.hears_after(50 * SECOND).await;
    assert_eq!(heard, ["WATCHDOG=1"; 10]);

    worker.dead("gave up");
    let heard = systemd.hears_after(60 * SECOND).await.join("\n");
    assert!(!heard.contains("WATCHDOG"), "{heard}");
    worker.ready();
    assert_eq!(systemd.hears().await, ["WATCHDOG=1\nSTATUS=ready"]);
}

#[tokio::test(start_paused = true)]
async fn a_trigger_does_not_wait_for_a_ping_to_be_missed() {
    let (systemd, (readiness, worker)) = (Recorder::new(), vital());
    tell(&readiness, systemd.options().trigger_watchdog());
    systemd.hears_after(SECOND).await;
    worker.dead("gave up");
    assert_eq!(
        systemd.hears().await,
        ["WATCHDOG=trigger\nSTATUS=not live: worker (gave up)"]
    );
}

#[tokio::test(start_paused = true)]
async fn the_pings_end_with_a_silence_although_who_keeps_the_time_hangs() {
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
    tell(&readiness, systemd.options().watchdog(2 * SECOND));
    let heard = systemd.hears_after(4 * SECOND).await;
    assert!(heard.len() >= 4, "{heard:?}");
    systemd.hears_after(2 * SECOND).await;
    let heard = systemd.hears_after(20 * SECOND).await.join("\n");
    assert!(!heard.contains("WATCHDOG"), "{heard}");
    assert!(heard.contains("STATUS=not live: worker"), "{heard}");
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
    tell(&readiness, systemd.options().watchdog(watchdog));
    let run = |time| runtime.block_on(tokio::time::sleep(time));
    run(watchdog);
    assert!(
        systemd
            .all()
            .iter()
            .any(|message| message.contains("WATCHDOG=1"))
    );
    // The thread is not in the runtime, which is all that a hang is.
    thread::sleep(watchdog * 5);
    // Neither a report nor whoever asks sends anything.
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

// === extensions ===

#[tokio::test(start_paused = true)]
async fn the_start_is_extended_by_progress_of_whoever_is_awaited() {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        .subsystem(Subsystem::new("index").optional())
        .build()
        .unwrap();
    let [storage, index] = ["storage", "index"].map(|name| readiness.reporter(name).unwrap());
    let systemd = Recorder::new();
    let options = systemd.options().extend_start(8 * SECOND, 19 * SECOND);
    tell(&readiness, options);
    systemd.hears().await;

    for _ in 0..3 {
        storage.starting("reading");
        storage.heartbeat();
        index.progress("reading");
        pass(SECOND).await;
    }
    let heard = systemd.all();
    assert_eq!(heard, ["STATUS=starting 0/1: storage (starting: reading)"]);

    // The same words again are progress, too.
    for _ in 0..4 {
        storage.progress("reading");
        assert_eq!(
            systemd.hears_after(4 * SECOND).await.len(),
            1,
            "four seconds each, from the third on"
        );
    }
    storage.progress("reading");
    assert_eq!(systemd.hears_after(4 * SECOND).await, [""; 0]);
    assert_eq!(readiness.verdict().condition(), Condition::Starting);
}

#[tokio::test(start_paused = true)]
async fn progress_is_told_at_once() {
    let (systemd, (readiness, storage)) = (Recorder::new(), starting());
    tell(
        &readiness,
        systemd.options().extend_start(4 * SECOND, 19 * SECOND),
    );
    storage.starting("reading");
    systemd.hears_after(SECOND).await;
    storage.progress("reading");
    assert_eq!(systemd.hears().await, ["EXTEND_TIMEOUT_USEC=4000000"]);
}

#[tokio::test(start_paused = true)]
async fn the_stop_is_extended_to_what_the_drain_may_take() {
    let (systemd, (readiness, _storage)) = (Recorder::new(), ready());
    tell(&readiness, systemd.options().extend_stop());
    let shutdown = readiness
        .shutdown()
        .delay(2 * SECOND)
        .extend_up_to(4 * SECOND)
        .closing_cap(14 * SECOND)
        .build()
        .unwrap();
    let shutdown = tokio::spawn(shutdown);
    systemd.hears_after(SECOND).await;
    readiness.drain();
    assert_eq!(
        systemd.hears().await,
        ["STOPPING=1\nEXTEND_TIMEOUT_USEC=15000000\nSTATUS=draining"]
    );
    let heard = systemd.hears_after(6 * SECOND).await;
    shutdown.await.unwrap();
    // Nobody came, so it closed after 2 seconds, and is cut off at 16.
    assert_eq!(heard, ["STATUS=closing", "EXTEND_TIMEOUT_USEC=13000000"]);
    let heard = systemd.hears_after(60 * SECOND).await;
    assert_eq!(
        heard,
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
    tell(&readiness, systemd.options().extend_stop());
    systemd.hears().await;
    readiness.drain();
    let heard = systemd.hears_after(60 * SECOND).await;
    assert_eq!(heard, ["STOPPING=1\nSTATUS=draining"]);
}

// === when it starts and ends ===

#[test]
fn it_starts_on_the_first_runtime_and_goes_on_with_the_next() {
    let (systemd, (readiness, storage)) = (Recorder::new(), starting());
    tell(&readiness, systemd.options());
    storage.ready();
    assert_eq!(systemd.all(), [""; 0], "nobody is there to send it");
    for expected in [
        ["READY=1\nSTATUS=ready"],
        ["STATUS=not ready: storage (gone)"],
    ] {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        let heard = runtime.block_on(async {
            // Whoever asks there starts it.
            drop(readiness.subscribe().changed().await);
            systemd.hears_after(SECOND).await
        });
        assert_eq!(heard, expected);
        // So that it is another one.
        drop(runtime);
        storage.failing("gone");
    }
}

#[tokio::test(start_paused = true)]
async fn it_does_not_keep_the_registry_alive_and_ends_with_it() {
    let (systemd, (readiness, storage)) = (Recorder::new(), ready());
    tell(&readiness, systemd.options().watchdog(SECOND));
    systemd.hears().await;
    let mut subscription = readiness.subscribe();
    drop((storage, readiness));
    while subscription.changed().await.is_ok() {}
    systemd.hears_after(SECOND / 10).await;
    assert_eq!(systemd.hears_after(60 * SECOND).await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_from_the_thread_of_a_reporter() {
    let (systemd, (readiness, storage)) = (Recorder::new(), starting());
    tell(&readiness, systemd.options());
    systemd.hears_after(SECOND).await;
    thread::spawn(move || storage.ready()).join().unwrap();
    assert_eq!(systemd.all(), [""; 0]);
    assert_eq!(systemd.hears().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn it_is_told_only_once() {
    let (systemd, (readiness, _storage)) = (Recorder::new(), ready());
    tell(&readiness, systemd.options());
    let again = readiness.notify_systemd_with(systemd.options());
    assert_eq!(again, Err(SystemdError::Twice));
    assert_eq!(systemd.hears().await, ["READY=1\nSTATUS=ready"]);
}

// === a socket that does not do what it should ===

#[tokio::test(start_paused = true)]
async fn a_socket_that_is_not_there_yet_is_told_when_it_is() {
    let (path, (readiness, storage)) = (Recorder::path(), starting());
    tell(&readiness, SystemdOptions::default().socket(&path));
    storage.ready();
    pass(60 * SECOND).await;
    storage.failing("gone");
    pass(SECOND).await;
    let systemd = Recorder::at(path);
    // What is true by then, and never what was.
    let heard = systemd.hears_after(2 * SECOND).await;
    assert!(
        heard[0].starts_with("READY=1\nSTATUS=not ready: storage (gone)"),
        "{heard:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_vanished_is_told_when_it_is_back() {
    let (systemd, (readiness, storage)) = (Recorder::new(), ready());
    let path = systemd.path.clone();
    tell(&readiness, systemd.options());
    assert_eq!(systemd.hears().await.len(), 1);
    drop(systemd);
    pass(SECOND).await;
    storage.degraded("slow");
    pass(10 * SECOND).await;
    assert!(readiness.verdict().is_ready());
    let systemd = Recorder::at(path);
    assert_eq!(
        systemd.hears_after(2 * SECOND).await,
        ["STATUS=degraded: storage (slow)"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_full_socket_holds_up_nobody_and_gets_the_newest_at_last() {
    let (systemd, (readiness, storage)) = (Recorder::new(), ready());
    tell(&readiness, systemd.options());
    systemd.hears().await;
    let filler = UnixDatagram::unbound().unwrap();
    filler.set_nonblocking(true).unwrap();
    let full = loop {
        if let Err(error) = filler.send_to(b"x", &systemd.path) {
            break error;
        }
    };
    assert_eq!(full.kind(), io::ErrorKind::WouldBlock);

    // Everything goes on: were the send to block, so would this test.
    for round in 0..100 {
        storage.degraded(format!("{round}"));
        pass(SECOND / 10).await;
    }
    let fill = systemd.all();
    assert!(fill.iter().all(|message| message == "x"));
    assert_eq!(
        systemd.hears_after(2 * SECOND).await,
        ["STATUS=degraded: storage (99)"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_ping_is_tried_again_before_it_is_missed() {
    let (path, (readiness, _worker)) = (Recorder::path(), vital());
    let options = SystemdOptions::default().socket(&path);
    tell(&readiness, options.watchdog(SECOND));
    pass(60 * SECOND).await;
    let systemd = Recorder::at(path);
    assert!(!systemd.hears_after(SECOND / 4).await.is_empty());
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
    tell(&readiness, options);
    settle().await;
    let mut buffer = [0; 64];
    let bytes = socket.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..bytes], b"READY=1\nSTATUS=ready");
}

#[test]
fn an_address_that_is_none_is_an_error() {
    let (readiness, _storage) = ready();
    let tell = |socket: &str| {
        let options = SystemdOptions::default().socket(socket);
        readiness.notify_systemd_with(options)
    };
    assert!(matches!(tell("notify"), Err(SystemdError::Socket { .. })));
    assert!(matches!(tell("vsock:2:9"), Err(SystemdError::Vsock { .. })));
    let long = "/".to_owned() + &"x".repeat(200);
    assert!(matches!(tell(&long), Err(SystemdError::LongSocket { .. })));
    assert_eq!(tell(""), Ok(Systemd::Absent));
    // None of them counts as told.
    assert_eq!(tell("/nowhere/notify"), Ok(Systemd::Present));
}

#[test]
fn options_that_make_no_sense_are_errors() {
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

/// This process again, with another environment: runs the test `name` alone,
/// which is told by a variable that it is the inner one.
fn again(name: &str, environment: &[(&str, &str)]) -> String {
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

/// Tells whatever the environment says, and what comes of it.
#[test]
#[ignore = "run by the tests below, with an environment of their own"]
fn told_by_the_environment() {
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
    let outcome = again(
        "told_by_the_environment",
        &[("NOTIFY_SOCKET", path), ("WATCHDOG_USEC", "1600000")],
    );
    assert!(outcome.contains("outcome: Ok(Present)"), "{outcome}");
    assert_eq!(
        systemd.all(),
        ["READY=1\nWATCHDOG=1\nSTATUS=ready", "WATCHDOG=1"]
    );
    again(
        "told_by_the_environment",
        &[
            ("NOTIFY_SOCKET", path),
            ("WATCHDOG_USEC", "1600000"),
            ("WATCHDOG_PID", "1"),
        ],
    );
    assert_eq!(systemd.all(), ["READY=1\nSTATUS=ready"]);
}

#[test]
fn an_environment_that_makes_no_sense_is_an_error_and_none_is_none() {
    let told = |environment: &[_]| again("told_by_the_environment", environment);
    assert!(told(&[]).contains("outcome: Ok(Absent)"));
    assert!(told(&[("NOTIFY_SOCKET", "")]).contains("outcome: Ok(Absent)"));
    assert!(told(&[("NOTIFY_SOCKET", "x")]).contains("outcome: Err(Socket"));
    for usec in ["0", "soon", "-5"] {
        let outcome = told(&[("NOTIFY_SOCKET", "/nowhere/x"), ("WATCHDOG_USEC", usec)]);
        assert!(outcome.contains("outcome: Err(Watchdog"), "{outcome}");
        // Without a systemd there is nobody who means it.
        assert!(told(&[("WATCHDOG_USEC", usec)]).contains("outcome: Ok(Absent)"));
    }
}

#[cfg(feature = "tracing")]
#[tokio::test(start_paused = true)]
async fn a_socket_that_is_gone_is_logged_once() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_writer({
            let log = log.clone();
            move || log.clone()
        })
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .finish();
    let _guard = tracing_subscriber::util::SubscriberInitExt::set_default(subscriber);
    let (readiness, storage) = ready();
    tell(
        &readiness,
        SystemdOptions::default().socket(Recorder::path()),
    );
    for _ in 0..100 {
        storage.ready();
        pass(SECOND).await;
    }
    let logged = || String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let told = || logged().matches("cannot notify systemd").count();
    // Another thread writes it.
    while told() == 0 {
        std::thread::yield_now();
    }
    // A line that waits for no longer than this one would have come before it.
    storage.failing("gone");
    while !logged().contains("subsystem failing") {
        std::thread::yield_now();
    }
    assert_eq!(told(), 1, "{}", logged());
}

#[cfg(feature = "tracing")]
#[tokio::test(start_paused = true)]
async fn a_subscriber_that_panics_does_not_end_who_tells() {
    let (path, (readiness, _storage)) = (Recorder::path(), ready());
    use tracing_subscriber::layer::SubscriberExt;
    let subscriber = tracing_subscriber::registry().with(Panics);
    let _logs = tracing::subscriber::set_default(subscriber);
    tell(&readiness, SystemdOptions::default().socket(&path));
    pass(SECOND).await;
    let systemd = Recorder::at(path);
    let heard = systemd.hears_after(4 * SECOND).await;
    assert_eq!(heard, ["READY=1\nSTATUS=ready"]);
}

/// A subscriber that cannot write. (Not one of `fmt` with such a writer: that
/// leaves its line behind, for the next subscriber on the same thread to write.)
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
impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
