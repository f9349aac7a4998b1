//! A whole service to copy: an axum router with a database, in a stack of layers of
//! tower-http (request id, trace, CORS, readiness, panics, timeout, compression), with
//! metrics and a page on an admin port, under systemd, and with a drain at its end.
//!
//! It needs a PostgreSQL, for example in a container. Run it, and enter the commands that
//! it prints in a second terminal:
//!
//! ```sh
//! docker run -d --rm --name db -p 5432:5432 -e POSTGRES_HOST_AUTH_METHOD=trust postgres
//! cargo run --manifest-path examples/full_stack/Cargo.toml
//! PORT=8080 DATABASE_URL=postgres://app@db.internal/app cargo run --manifest-path examples/full_stack/Cargo.toml
//! ```

mod app;

use app::{app, database, registry};
use std::{
    env,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use tokio::{net::TcpListener, runtime::Runtime};
use tower_readiness::{drain, server::Address};
use tracing_subscriber::EnvFilter;

/// Builds the runtime by hand: `#[tokio::main]` would wait at the end for each thread
/// of `spawn_blocking`, without a limit.
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let filter = EnvFilter::try_from_default_env();
    let filter = filter.unwrap_or_else(|_| EnvFilter::new("info"));
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
    let url = env::var("DATABASE_URL");
    let pool = database::pool(url.as_deref().unwrap_or("postgres://postgres@127.0.0.1"))?;
    let readiness = registry(&pool, Duration::from_secs(2))?;
    let app = app(&readiness, pool)?;

    let port: u16 = env::var("PORT").map_or(Ok(3000), |port| port.parse())?;
    let next_to_it = if port == 0 { 0 } else { port.saturating_add(1) };
    let admin_port = env::var("ADMIN_PORT").map_or(Ok(next_to_it), |port| port.parse())?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    // Probes with all details, metrics, and a page for browsers.
    let admin = SocketAddr::from((Ipv4Addr::LOCALHOST, admin_port));
    let admin = readiness.serve_on_thread(admin)?;
    readiness.reporter("listener")?.leave_ready();
    // Without systemd this does nothing.
    readiness.notify_systemd()?;
    // The time in which the slowest load balancer notices a red probe.
    let shutdown = readiness.drain_on_signal(Duration::from_secs(5))?;

    print_walk_through(listener.local_addr()?, admin.local_addr());
    // Clients leave one after the other during the delay, not all at its end.
    let server = drain::serve(&readiness, listener, app.into_make_service())
        .with_graceful_shutdown(shutdown);
    readiness.run(server).await??;
    println!("Drained.");
    Ok(())
}

fn print_walk_through(address: SocketAddr, admin: &Address) {
    println!(
        "\
Serving on http://{address}, probes, metrics and a page for operators on http://{admin}.

Refused until the database has answered once, with an id, and readable for scripts of other origins:
  curl -i -H 'origin: https://app.example' http://{address}/
  curl -i http://{admin}/readyz
The start does not wait for the database, so its outage restarts no process:
  curl -i http://{address}/startupz

Once it is ready; the second response is compressed:
  curl -i http://{address}/divide/5
  curl -i --compressed http://{address}/long

A mistake of the client says nothing about the database:
  curl -i http://{address}/divide/0
  curl -i http://{admin}/readyz

Stop the database: the two queries notice it, the route that needs the database refuses,
the rest of the service goes on, and the load balancer keeps the replica
  docker stop db
  curl -i http://{address}/divide/5
  curl -i http://{address}/divide/5
  curl -i http://{address}/divide/5
  curl -i http://{address}/
  curl -i http://{admin}/readyz
  curl -i http://{admin}/readyz/data
Start it again: the check notices that within 2 seconds

A panic is a 500, and a handler that takes too long is a 504 after 10 seconds:
  curl -i http://{address}/panic
  curl -i http://{address}/slow

The log has an error for each of these two, and none for refusals and red probes.
End it with ctrl-c: it serves on for 5 seconds, a second ctrl-c skips them.
"
    );
}
