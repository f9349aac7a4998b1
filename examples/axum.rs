//! Subsystems report; one layer gates an axum router and answers its probes.
//!
//! Run it, and enter the commands that it prints in a second terminal:
//!
//! ```sh
//! cargo run --features full --example axum
//! PORT=8080 ADMIN_PORT=9090 cargo run --features full --example axum
//! ```

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, post},
};
use std::{
    collections::HashMap,
    env,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{net::TcpListener, runtime::Runtime, sync::Mutex, time::sleep};
use tower_readiness::{
    ClaimError, Readiness, ReadinessLayer, Reporter, Subsystem, drain,
    probe::{Detail, Probes},
    server::Address,
};

/// Builds the runtime by hand: `#[tokio::main]` would wait at the end for each thread
/// of `spawn_blocking`, without a limit.
fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Shows what the crate logs, from INFO on.
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let runtime = Runtime::new()?;
    let ended = runtime.block_on(run());
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("authenticate"))
        .subsystem(Subsystem::new("authorize"))
        .subsystem(Subsystem::new("storage"))
        .subsystem(Subsystem::new("listener"))
        .subsystem(Subsystem::new("database").shared())
        .subsystem(Subsystem::new("cache").optional())
        // The process can do without the cache; searching cannot.
        .scope("search", ["cache"])
        .build()?;
    let demo = Demo::claim(&readiness, &COMING_UP)?;

    let search_gate = ReadinessLayer::gate(readiness.scope("search")?);
    let layer = ReadinessLayer::new(&readiness)
        // For the demo only. Reasons have the texts of errors, so by default a client
        // gets none.
        .with_probes(Probes::builder(&readiness).detail(Detail::Full).build()?)
        .exempt(|head| head.uri().path().starts_with("/demo/"))
        .count_in_flight()
        .observe_outcomes();
    let app = Router::new()
        .route("/", get(async || "hello\n"))
        .route("/slow", get(slow))
        .route("/search", get(async || "found\n").layer(search_gate))
        .route("/demo/{subsystem}/{state}", post(flip))
        .with_state(demo.clone())
        .layer(layer); // Last, so that it wraps all of the above.
    let port: u16 = env::var("PORT").map_or(Ok(3000), |port| port.parse())?;
    let next_to_it = if port == 0 { 0 } else { port.saturating_add(1) };
    let admin_port = env::var("ADMIN_PORT").map_or(Ok(next_to_it), |port| port.parse())?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    // The probes with all details, and a page for browsers, until the process ends.
    let admin = SocketAddr::from((Ipv4Addr::LOCALHOST, admin_port));
    let admin = readiness.serve_on_thread(admin)?;
    // A bound listener does not fail, so its reporter is consumed.
    readiness.reporter("listener")?.leave_ready();

    let shutdown = readiness.drain_on_signal(DRAIN_DELAY)?;

    print_walk_through(listener.local_addr()?, admin.local_addr());
    tokio::spawn(come_up(demo));
    // Clients leave one after the other during the delay, not all at its end.
    let server = drain::serve(&readiness, listener, app.into_make_service())
        .with_graceful_shutdown(shutdown);
    readiness.run(server).await??;
    println!("Drained.");
    Ok(())
}

/// The time in which the slowest load balancer notices a red probe.
const DRAIN_DELAY: Duration = Duration::from_secs(5);

/// The subsystems that come up, in this order, one every [`STEP`].
const COMING_UP: [&str; 5] = ["authenticate", "authorize", "storage", "cache", "database"];
const STEP: Duration = Duration::from_millis(600);

/// Stands in for the tasks that would each own a reporter.
async fn come_up(demo: Demo) {
    for subsystem in COMING_UP {
        sleep(STEP).await;
        // A quick user may have dropped it already.
        if let Some(reporter) = demo.reporters.lock().await.get(subsystem) {
            reporter.ready();
        }
    }
}

/// All reporters in one place, so that requests can change their states.
#[derive(Clone)]
struct Demo {
    readiness: Readiness,
    reporters: Arc<Mutex<HashMap<String, Reporter>>>,
}

impl Demo {
    fn claim(readiness: &Readiness, subsystems: &[&str]) -> Result<Self, ClaimError> {
        let reporters = subsystems
            .iter()
            .map(|name| Ok(((*name).to_owned(), readiness.reporter(name)?)))
            .collect::<Result<_, ClaimError>>()?;
        Ok(Self {
            readiness: readiness.clone(),
            reporters: Arc::new(Mutex::new(reporters)),
        })
    }
}

/// `POST /demo/{subsystem}/{state}`
async fn flip(
    State(demo): State<Demo>,
    Path((subsystem, state)): Path<(String, String)>,
) -> Result<String, (StatusCode, String)> {
    let report: Option<fn(&Reporter)> = match state.as_str() {
        "ready" => Some(Reporter::ready),
        "degraded" => Some(|reporter| reporter.degraded("slow today")),
        "failing" => Some(|reporter| reporter.failing("connection refused")),
        "dead" => Some(|reporter| reporter.dead("gave up")),
        "drop" => None,
        _ => {
            let message = "the states are ready, degraded, failing, dead and drop\n";
            return Err((StatusCode::BAD_REQUEST, message.to_owned()));
        }
    };

    let mut reporters = demo.reporters.lock().await;
    let reporter = match reporters.remove(&subsystem) {
        Some(reporter) => reporter,
        // Dropped before: claim it again, as a restarted task would.
        None => demo.readiness.reporter(&subsystem).map_err(|error| {
            let status = match error {
                ClaimError::Unknown { .. } => StatusCode::NOT_FOUND,
                _ => StatusCode::CONFLICT,
            };
            (status, format!("{error}\n"))
        })?,
    };
    match report {
        Some(report) => {
            report(&reporter);
            reporters.insert(subsystem, reporter);
        }
        // As a panic of its owner would.
        None => drop(reporter),
    }
    let condition = demo.readiness.verdict().condition();
    Ok(format!("the process is {condition} now\n"))
}

async fn slow() -> &'static str {
    sleep(Duration::from_secs(8)).await;
    "that took a while\n"
}

fn print_walk_through(address: SocketAddr, admin: &Address) {
    println!(
        "\
Serving on http://{address}, probes for operators on http://{admin}.
Open http://{admin}/ in a browser: the page shows each of the changes below.

At once: every request is 503 for 3 seconds, with retry-after and x-readiness: starting
  curl -i http://{address}/
  curl -i http://{address}/readyz
Wait until it is ready; then every request is 200
  curl -i 'http://{address}/readyz?wait=10'
  curl -i http://{address}/
  curl -i http://{address}/search

Storage is required: its failure closes the gate, and liveness stays green
  curl -i -X POST http://{address}/demo/storage/failing
  curl -i http://{address}/
  curl -i http://{address}/readyz
  curl -i http://{address}/livez
  curl -i -X POST http://{address}/demo/storage/ready

The database is shared by all replicas: its failure degrades, the gate stays open
  curl -i -X POST http://{address}/demo/database/failing
  curl -i http://{address}/
  curl -i 'http://{address}/readyz?verbose'
  curl -i -H 'accept: application/json' http://{address}/readyz
  curl -i -X POST http://{address}/demo/database/ready

Each of these changes as it comes (feature `events`)
  curl -N http://{admin}/statusz/events

Metrics for Prometheus (feature `metrics`)
  curl -i http://{admin}/metrics

The cache is optional, except for /search, which alone is 503
  curl -i -X POST http://{address}/demo/cache/failing
  curl -i http://{address}/
  curl -i http://{address}/search
  curl -i http://{address}/readyz/search
  curl -i -X POST http://{address}/demo/cache/ready

A dropped reporter, as after a panic, closes the gate, with a reason; its successor opens it
  curl -i -X POST http://{address}/demo/authorize/drop
  curl -i http://{address}/
  curl -i 'http://{admin}/readyz?verbose'
  curl -i -X POST http://{address}/demo/authorize/ready

Any of {COMING_UP:?}
can be ready, degraded, failing, dead or drop.

The end: for {DRAIN_DELAY:?} readiness is red but requests are served, then those in flight are finished
  curl -i http://{address}/slow &
  kill -TERM {pid}
  curl -i http://{address}/
  curl -i http://{address}/readyz
  curl -i http://{admin}/readyz
Or press ctrl-c, once to drain, twice to skip the delay, three times to kill.",
        pid = std::process::id(),
    );
}
