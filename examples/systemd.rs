//! A service that systemd starts, watches, reloads, restarts and stops.
//!
//! Run it by hand, or as the unit that it prints:
//!
//! ```sh
//! cargo run --example systemd --features serve,systemd
//! PORT=8080 STARTUP_SECONDS=20 cargo run --example systemd --features serve,systemd
//! ```

#[path = "deploy/listener.rs"]
mod listener;

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, post},
};
use listener::Gentle;
use std::{
    collections::HashMap,
    env,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    thread,
    time::Duration,
};
use tokio::{
    net::TcpListener,
    runtime::Builder,
    signal::unix::{Signal, SignalKind, signal},
    sync::Mutex,
    time::sleep,
};
use tower_readiness::{
    Action, Readiness, ReadinessLayer, Reporter, Subsystem,
    drain::{self, Signals},
    notify::systemd::{Systemd, SystemdOptions},
    probe::{Detail, Probes},
};

/// Builds the runtime by hand: `#[tokio::main]` would wait at the end for each thread
/// of `spawn_blocking`, without a limit.
fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Shows what the crate logs, from INFO on.
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    // On one thread, so that a single handler that blocks stalls all of it.
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(run());
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("authorize"))
        .subsystem(Subsystem::new("storage"))
        .subsystem(Subsystem::new("listener"))
        // Only a restart helps if it dies.
        .subsystem(Subsystem::new("worker").vital())
        .subsystem(Subsystem::new("database").shared())
        .subsystem(Subsystem::new("cache").optional())
        .build()?;
    // Before systemd knows of the process: without a handler, SIGHUP ends it.
    let hangup = signal(SignalKind::hangup())?;
    let systemd = readiness.notify_systemd_with(
        SystemdOptions::default()
            .extend_start(Duration::from_secs(3), Duration::from_secs(600))
            .extend_stop(),
    )?;

    let names = ["authorize", "storage", "worker", "database", "cache"];
    let reporters = names
        .into_iter()
        .map(|name| Ok((name.to_owned(), readiness.reporter(name)?)))
        .collect::<Result<_, tower_readiness::ClaimError>>()?;
    let reporters: Demo = Arc::new(Mutex::new(reporters));

    let layer = ReadinessLayer::new(&readiness)
        // For the demo only: by default a client gets no details.
        .with_probes(Probes::builder(&readiness).detail(Detail::Full).build()?)
        .exempt(|head| head.uri().path().starts_with("/demo/"))
        // An early request waits here; a connection that arrives while no process
        // accepts waits in the kernel.
        .when_starting(Action::hold(Duration::from_secs(30))?)
        .count_in_flight();
    let app = Router::new()
        .route("/", get(async || "hello\n"))
        .route("/slow", get(slow))
        .route("/demo/block", post(block))
        .route("/demo/{subsystem}/{state}", post(flip))
        .with_state(Arc::clone(&reporters))
        .layer(layer);

    let handed_over = listener::handed_over()?;
    let activated = handed_over.is_some();
    let listener = match handed_over {
        Some(listener) => listener,
        None => {
            let port = env::var("PORT").map_or(Ok(3000), |port| port.parse::<u16>())?;
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?
        }
    };
    let address = listener.local_addr()?;
    readiness.reporter("listener")?.leave_ready();

    // With a socket that outlives the process, no load balancer has to notice. An
    // accepted connection gets the time to send its request.
    let delay = Duration::from_millis(if activated { 500 } else { 5_000 });
    let shutdown = readiness
        .shutdown()
        .on_signals(Signals::default())
        .delay(delay)
        .closing_cap(Duration::from_secs(20))
        .build()?;

    print_walk_through(address, systemd);
    tokio::spawn(come_up(reporters));
    tokio::spawn(reload(readiness.clone(), hangup));
    let listener = Gentle {
        listener,
        leave_the_rest: activated.then(|| readiness.clone()),
    };
    let server = drain::serve(&readiness, listener, app.into_make_service())
        .with_graceful_shutdown(shutdown);
    readiness.run(server).await??;
    println!("Drained.");
    Ok(())
}

/// Opens the storage, and reports the progress.
async fn come_up(demo: Demo) {
    let seconds = env::var("STARTUP_SECONDS").ok();
    let seconds = seconds.and_then(|seconds| seconds.parse().ok());
    let steps = 2 * seconds.unwrap_or(3);
    let tells = env::var("TELL_PROGRESS").as_deref() != Ok("no");
    for step in 0..steps {
        if let Some(storage) = demo.lock().await.get("storage") {
            let detail = format!("read {step} of {steps} parts");
            if tells {
                storage.progress(detail);
            } else {
                storage.starting(detail);
            }
        }
        sleep(Duration::from_millis(500)).await;
    }
    // `authorize` comes last, and systemd waits for it.
    for name in ["storage", "worker", "database", "cache"] {
        if let Some(reporter) = demo.lock().await.get(name) {
            reporter.ready();
        }
    }
    sleep(Duration::from_secs(1)).await;
    if let Some(authorize) = demo.lock().await.get("authorize") {
        authorize.ready();
    }
}

/// At SIGHUP, reads the configuration anew.
async fn reload(readiness: Readiness, mut hangup: Signal) {
    while hangup.recv().await.is_some() {
        let _reloading = readiness.reloading();
        // … read it …
        sleep(Duration::from_secs(1)).await;
    }
}

/// All reporters in one place, so that requests can change their states.
type Demo = Arc<Mutex<HashMap<String, Reporter>>>;

/// `POST /demo/{subsystem}/{state}`
async fn flip(
    State(demo): State<Demo>,
    Path((subsystem, state)): Path<(String, String)>,
) -> Result<String, (StatusCode, &'static str)> {
    let mut demo = demo.lock().await;
    let reporter = demo.get(&subsystem);
    let reporter = reporter.ok_or((StatusCode::NOT_FOUND, "there is no such subsystem\n"))?;
    match state.as_str() {
        "ready" => reporter.ready(),
        "degraded" => reporter.degraded("slow today"),
        "failing" => reporter.failing("connection refused"),
        "dead" => reporter.dead("gave up"),
        "retire" => {
            if let Some(reporter) = demo.remove(&subsystem) {
                reporter.retire();
            }
        }
        _ => {
            let message = "the states are ready, degraded, failing, dead and retire\n";
            return Err((StatusCode::BAD_REQUEST, message));
        }
    }
    Ok(format!("{subsystem}: {state}\n"))
}

/// `POST /demo/block`: blocks the runtime, which no handler should do.
async fn block() -> &'static str {
    thread::sleep(Duration::from_secs(60));
    "no other task ran for a minute\n"
}

async fn slow() -> &'static str {
    sleep(Duration::from_secs(5)).await;
    "that took a while\n"
}

fn print_walk_through(address: SocketAddr, systemd: Systemd) {
    let told = match systemd {
        Systemd::Present => "systemd is notified",
        _ => "there is no systemd to notify",
    };
    let program = env::current_exe().map_or_else(
        |_| "/path/to/this/example".to_owned(),
        |program| program.display().to_string(),
    );
    println!(
        "\
Serving on http://{address}; {told}. At once: an early request waits
  curl -i http://{address}/

As a unit of your own, with a socket that outlives it; the first request starts it
  systemd-run --user --unit=demo --socket-property=ListenStream=127.0.0.1:3001 \\
    --service-type=notify --property=WatchdogSec=5 --property=Restart=on-failure \\
    --property=ExecReload='kill -HUP $MAINPID' --property=TimeoutStopSec=30 {program}
  curl -i http://127.0.0.1:3001/
  systemctl --user status demo

A failing dependency shows in the status, and restarts nothing
  curl -X POST http://127.0.0.1:3001/demo/storage/failing
  systemctl --user status demo
  curl -X POST http://127.0.0.1:3001/demo/storage/ready

A reload
  systemctl --user reload demo

A restart under load: no request is refused
  while curl -sS http://127.0.0.1:3001/; do :; done &
  systemctl --user restart demo

No more pings: the death of a vital subsystem, and a handler that blocks the thread
  curl -X POST http://127.0.0.1:3001/demo/worker/dead
  curl -X POST http://127.0.0.1:3001/demo/block
  systemctl --user show --property=NRestarts demo

The end: requests in flight are finished
  curl -i http://127.0.0.1:3001/slow &
  systemctl --user stop demo.socket demo.service"
    );
}
