//! Two ports: one for traffic, with a gate and probes that tell strangers
//! nothing but the verdict, and one for operators, with every detail.
//!
//! Run it, and enter the commands that it prints in a second terminal:
//!
//! ```sh
//! cargo run --example admin_port
//! PORT=8080 ADMIN_PORT=9090 cargo run --example admin_port
//! ```

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, post},
};
use std::{
    env,
    future::IntoFuture,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{net::TcpListener, runtime::Runtime};
use tower_readiness::{
    Readiness, ReadinessLayer, Reporter, Subsystem,
    probe::{Detail, Probes},
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
        .subsystem(Subsystem::new("storage"))
        .build()?;
    let storage = Arc::new(readiness.reporter("storage")?);
    storage.starting("opening /var/lib/demo");

    let app = Router::new()
        .route("/", get(async || "hello\n"))
        .layer(ReadinessLayer::new(&readiness).count_in_flight());

    // Another layer of the same registry. It has no gate: operators are needed most when
    // the gate is closed.
    let probes = Probes::builder(&readiness).detail(Detail::Full).build()?;
    let admin = Router::new()
        .route("/demo/{subsystem}/{state}", post(flip))
        .with_state(storage)
        .layer(ReadinessLayer::probes(&readiness).with_probes(probes));

    let port: u16 = env::var("PORT").map_or(Ok(3000), |port| port.parse())?;
    let next_to_it = if port == 0 { 0 } else { port.saturating_add(1) };
    let admin_port = env::var("ADMIN_PORT").map_or(Ok(next_to_it), |port| port.parse())?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let admin_listener = TcpListener::bind((Ipv4Addr::LOCALHOST, admin_port)).await?;
    let shutdown = readiness.drain_on_signal(Duration::from_secs(5))?;
    print_walk_through(listener.local_addr()?, admin_listener.local_addr()?);

    // In a task of its own, so that it answers until the process ends.
    tokio::spawn(axum::serve(admin_listener, admin).into_future());
    let server = axum::serve(listener, app).with_graceful_shutdown(shutdown);
    readiness.run(server).await??;
    Ok(())
}

/// `POST /demo/{subsystem}/{state}`
async fn flip(
    State(storage): State<Arc<Reporter>>,
    Path((subsystem, state)): Path<(String, String)>,
) -> Result<String, (StatusCode, &'static str)> {
    match (subsystem.as_str(), state.as_str()) {
        ("storage", "ready") => storage.ready(),
        ("storage", "degraded") => storage.degraded("replica 2 of 3 lags by 40 s"),
        ("storage", "failing") => storage.failing("/var/lib/demo: no space left on device"),
        ("storage", _) => {
            let message = "the states are ready, degraded and failing\n";
            return Err((StatusCode::BAD_REQUEST, message));
        }
        _ => return Err((StatusCode::NOT_FOUND, "the only subsystem is storage\n")),
    }
    Ok(format!("{subsystem} is {state}\n"))
}

fn print_walk_through(address: SocketAddr, admin: SocketAddr) {
    println!(
        "\
Serving on http://{address}, for operators on http://{admin}.

Storage has not come up: 503, without the reason
  curl -i http://{address}/
  curl -i 'http://{address}/readyz?verbose'
Operators see what the process waits for
  curl -i 'http://{admin}/readyz?verbose'
  curl -i -H 'accept: application/json' http://{admin}/statusz

Storage comes up: the gate opens
  curl -i -X POST http://{admin}/demo/storage/ready
  curl -i http://{address}/

It fails: 503 again, with the reason on the port of the operators alone
  curl -i -X POST http://{admin}/demo/storage/failing
  curl -i http://{address}/
  curl -i http://{address}/readyz
  curl -i http://{admin}/readyz

Degraded counts as ready
  curl -i -X POST http://{admin}/demo/storage/degraded
  curl -i http://{address}/
  curl -i http://{admin}/readyz

End with ctrl-c: once to drain for 5 seconds, twice to skip that, three times to kill."
    );
}
