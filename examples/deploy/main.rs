//! The service that the files beside this one deploy: it serves HTTP and gRPC
//! health checks on one port, and the probes on an admin listener as well. Under
//! systemd it notifies systemd of its state, and takes over the socket of a socket unit.
//!
//! ```sh
//! cargo run --features full --example deploy
//! LISTEN=[::]:3000 ADMIN=:28080 cargo run --features full --example deploy
//! ```
//!
//! | variable | default | |
//! |---|---|---|
//! | `LISTEN` | `127.0.0.1:3000` | where it serves, unless systemd hands a socket over |
//! | `ADMIN` | `127.0.0.1:28080` | where it answers probes of the same machine |
//! | `NAME` | `app` | its name in answers |
//! | `START_SECONDS` | 2 | how long it takes to come up |
//! | `DRAIN_SECONDS` | 5 | how long it serves on after SIGTERM, until load balancers know |
//! | `FINISH_SECONDS` | 20 | how long it finishes requests in flight after that |
//! | `STOP_SECONDS` | none | the `TimeoutStopSec` of its unit, for comparison with the two above |
//! | `TERMINATION_LOG` | none | an existing file, in which it explains its state in case it is killed |

mod listener;

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, post},
};
use listener::Gentle;
use std::{
    collections::HashMap,
    env,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};
#[cfg(unix)]
use std::{fs::DirBuilder, os::unix::fs::DirBuilderExt};
#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::{net::TcpListener, runtime::Runtime, time::sleep};
use tonic::service::Routes;
#[cfg(unix)]
use tower_readiness::notify::systemd::SystemdOptions;
use tower_readiness::{
    Action, Readiness, ReadinessLayer, Reason, Reporter, Subsystem,
    drain::{self, Signals},
    probe::Probes,
    server::AdminListener,
};

type Error = Box<dyn std::error::Error>;

/// The subsystems; their states are made up, see [`flip`].
const SUBSYSTEMS: [&str; 3] = ["storage", "worker", "database"];

/// Builds the runtime by hand: `#[tokio::main]` would wait at the end for each thread
/// of `spawn_blocking`, without a limit.
fn main() -> Result<(), Error> {
    // Shows what the crate logs, from INFO on.
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let runtime = Runtime::new()?;
    let ended = runtime.block_on(run());
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

async fn run() -> Result<(), Error> {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("listener"))
        .subsystem(Subsystem::new("storage"))
        // Only a new process can cure its death.
        .subsystem(Subsystem::new("worker").vital())
        .subsystem(Subsystem::new("database").shared())
        .build()?;
    // Before systemd knows of the process: without a handler, SIGHUP ends it.
    #[cfg(unix)]
    let hangup = signal(SignalKind::hangup())?;
    // Without systemd this does nothing.
    #[cfg(unix)]
    readiness.notify_systemd_with(systemd_options()?)?;
    #[cfg(unix)]
    if let Some(file) = env::var_os("TERMINATION_LOG") {
        readiness.termination_message(file);
    }
    let mut reporters = HashMap::new();
    for name in SUBSYSTEMS {
        reporters.insert(name, readiness.reporter(name)?);
    }
    let service = Arc::new(Service {
        readiness: readiness.clone(),
        name: setting("NAME", "app".to_owned())?,
        handled: AtomicU64::new(0),
        reporters,
    });

    let handed_over = listener::handed_over()?;
    let activated = handed_over.is_some();
    // HAProxy sends no new sessions to a replica that answers 404, and does so
    // after one check; for all others 404 is as red as 503.
    let probes = Probes::builder(&readiness).not_found_while_draining();
    let layer = ReadinessLayer::new(&readiness)
        .with_probes(probes.build()?)
        // A load balancer sends a refused request to another replica. Behind a socket
        // of systemd there is none, so an early request waits.
        .when_starting(if activated {
            Action::hold(Duration::from_secs(30))?
        } else {
            Action::Refuse
        })
        // For the demo only.
        .exempt(|head| head.uri().path().starts_with("/demo/"))
        .count_in_flight();
    let app = Router::new()
        .route("/", get(hello).post(hello))
        .route("/slow", get(slow))
        .route("/busy", get(busy).post(busy))
        .route("/archive", get(archive))
        .route("/demo/counts", get(counts))
        .route("/demo/{subsystem}/{state}", post(flip))
        .with_state(Arc::clone(&service))
        .merge(Routes::new(readiness.grpc_health()).into_axum_router())
        .layer(layer);

    // It answers probes from the beginning of the start.
    let admin = setting("ADMIN", "127.0.0.1:28080".to_owned())?;
    // Every user may write to Kubernetes' `emptyDir`, so the listener refuses
    // commands there, and an image without a shell cannot make a folder below it.
    #[cfg(unix)]
    if let Ok(tower_readiness::server::Address::Unix(socket)) = admin.parse() {
        if let Some(folder) = socket.parent() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)?;
        }
    }
    let listener = AdminListener::new(&readiness);
    // Commands exist only on a unix socket, and only for its owner.
    #[cfg(unix)]
    let listener = listener.with_commands();
    listener.serve_on_thread(&*admin)?;
    let listener = match handed_over {
        Some(listener) => listener,
        None => TcpListener::bind(setting("LISTEN", "127.0.0.1:3000".to_owned())?).await?,
    };
    readiness.reporter("listener")?.leave_ready();

    let shutdown = readiness
        .shutdown()
        .on_signals(Signals::default())
        .delay(seconds("DRAIN_SECONDS", 5.0)?)
        .closing_cap(seconds("FINISH_SECONDS", 20.0)?)
        .build()?;
    tokio::spawn(come_up(service, seconds("START_SECONDS", 2.0)?));
    #[cfg(unix)]
    tokio::spawn(reload(readiness.clone(), hangup));
    println!("Serving on {}", listener.local_addr()?);
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

fn setting<T: FromStr>(name: &str, default: T) -> Result<T, String> {
    let Ok(text) = env::var(name) else {
        return Ok(default);
    };
    text.parse().map_err(|_| format!("{name}: what is {text}?"))
}

fn seconds(name: &str, default: f64) -> Result<Duration, Error> {
    Ok(Duration::try_from_secs_f64(setting(name, default)?)?)
}

#[cfg(unix)]
fn systemd_options() -> Result<SystemdOptions, Error> {
    let options = SystemdOptions::default();
    if env::var_os("STOP_SECONDS").is_none() {
        return Ok(options);
    }
    Ok(options.stop_timeout(seconds("STOP_SECONDS", 0.0)?))
}

struct Service {
    readiness: Readiness,
    name: String,
    handled: AtomicU64,
    reporters: HashMap<&'static str, Reporter>,
}

impl Service {
    /// Counts a request that the gate let in.
    fn handle(&self, answer: &str) -> String {
        self.handled.fetch_add(1, Ordering::Relaxed);
        format!("{answer} from {}\n", self.name)
    }
}

async fn come_up(service: Arc<Service>, takes: Duration) {
    sleep(takes).await;
    for reporter in service.reporters.values() {
        reporter.ready();
    }
}

/// At SIGHUP, which `systemctl reload` sends, reads the configuration anew.
/// Without a handler the signal would end the process, and nothing would drain.
#[cfg(unix)]
async fn reload(readiness: Readiness, mut hangup: Signal) {
    while hangup.recv().await.is_some() {
        let _reloading = readiness.reloading();
        // … read it …
        println!("Reloaded.");
    }
}

/// Reads the body: hyper closes the connection after an answer to an unread body, and
/// a proxy that keeps connections may have sent the next request on it by then.
async fn hello(State(service): State<Arc<Service>>, _: Bytes) -> String {
    service.handle("hello")
}

async fn slow(State(service): State<Arc<Service>>) -> String {
    sleep(Duration::from_secs(2)).await;
    service.handle("at last")
}

/// The application's own 503, which does not come from the gate: the request
/// was handled.
async fn busy(State(service): State<Arc<Service>>, _: Bytes) -> (StatusCode, String) {
    (StatusCode::SERVICE_UNAVAILABLE, service.handle("busy"))
}

/// Work that blocks a thread, which nothing can interrupt: not the end of the
/// client, not the cap, and not the end of the runtime either.
async fn archive(State(service): State<Arc<Service>>) -> String {
    let answer = service.handle("archived");
    let work = || thread::sleep(Duration::from_secs(60));
    match tokio::task::spawn_blocking(work).await {
        Ok(()) => answer,
        Err(error) => format!("{error}\n"),
    }
}

async fn counts(State(service): State<Arc<Service>>) -> String {
    let handled = service.handled.load(Ordering::Relaxed);
    let refused = service.readiness.refused(Reason::Failing);
    format!("{handled} {refused}")
}

/// `POST /demo/{subsystem}/{state}`
async fn flip(
    State(service): State<Arc<Service>>,
    Path((subsystem, state)): Path<(String, String)>,
) -> Result<String, (StatusCode, &'static str)> {
    let unknown = (StatusCode::NOT_FOUND, "no such subsystem\n");
    let reporter = service.reporters.get(&*subsystem).ok_or(unknown)?;
    match &*state {
        "ready" => reporter.ready(),
        "failing" => reporter.failing("connection refused"),
        "dead" => reporter.dead("gave up"),
        _ => {
            let message = "the states are ready, failing and dead\n";
            return Err((StatusCode::BAD_REQUEST, message));
        }
    }
    Ok(format!("{subsystem} is {state}\n"))
}
