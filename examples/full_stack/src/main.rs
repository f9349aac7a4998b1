//! A whole stack of layers of tower-http around an axum router, with the
//! readiness layer among them: request id, trace, CORS, readiness, panics,
//! timeout and compression. Copy `app.rs`.
//!
//! Run it, and enter the commands that it prints in a second terminal:
//!
//! ```sh
//! cargo run --manifest-path examples/full_stack/Cargo.toml
//! PORT=8080 cargo run --manifest-path examples/full_stack/Cargo.toml
//! ```

mod app;

use app::app;
use std::{
    env,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use tokio::{net::TcpListener, runtime::Runtime, time::sleep};
use tower_readiness::{Readiness, Subsystem};
use tracing_subscriber::EnvFilter;

/// Builds the runtime by hand: `#[tokio::main]` would wait at the end for each thread
/// of `spawn_blocking`, without a limit.
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let filter = EnvFilter::try_from_default_env();
    let filter = filter.unwrap_or_else(|_| EnvFilter::new("info,tower_http=debug"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
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
        .subsystem(Subsystem::new("listener"))
        .build()?;
    let storage = readiness.reporter("storage")?;

    let port: u16 = env::var("PORT").map_or(Ok(3000), |port| port.parse())?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    readiness.reporter("listener")?.leave_ready();
    let shutdown = readiness.drain_on_signal(Duration::from_secs(5))?;

    print_walk_through(listener.local_addr()?);
    tokio::spawn(async move {
        sleep(Duration::from_secs(3)).await;
        storage.ready();
        // For as long as the storage is used.
        std::future::pending::<()>().await;
        drop(storage);
    });
    let server = axum::serve(listener, app(&readiness)).with_graceful_shutdown(shutdown);
    readiness.run(server).await??;
    println!("Drained.");
    Ok(())
}

fn print_walk_through(address: SocketAddr) {
    println!(
        "\
Serving on http://{address}; the storage needs 3 seconds.

Refused while starting, with an id, and readable for scripts of other origins:
  curl -i -H 'origin: https://app.example' http://{address}/
  curl -i http://{address}/readyz

Once it is ready, compressed:
  curl -i 'http://{address}/readyz?wait=5'
  curl -i --compressed http://{address}/long

A panic is a 500, and a handler that takes too long is a 504 after 10 seconds:
  curl -i http://{address}/panic
  curl -i http://{address}/slow

The log has an error for each of these two, and none for refusals and red probes.
End it with ctrl-c: it serves on for 5 seconds, a second ctrl-c skips them.
"
    );
}
