//! HTTP/2 and HTTP/1 over TLS, with a certificate whose end closes the gate.
//!
//! A package of its own. Run it, and enter the commands that it prints in a second
//! terminal:
//!
//! ```sh
//! cargo run --manifest-path examples/tls/Cargo.toml
//! PORT=8443 cargo run --manifest-path examples/tls/Cargo.toml
//! ```

mod certificate;

use axum::{
    Router,
    extract::{Path, State},
    http::{StatusCode, Version},
    routing::{get, post},
};
use certificate::Certificate;
use std::{
    env,
    error::Error,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    sync::watch,
};
use tower_readiness::{
    Readiness, ReadinessLayer, Subsystem, drain,
    probe::{Detail, Probes},
};

/// Builds the runtime by hand: `#[tokio::main]` would wait at the end for each thread
/// of `spawn_blocking`, without a limit.
fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    // Shows what the crate logs, from INFO on.
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let runtime = Runtime::new()?;
    let ended = runtime.block_on(run());
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

async fn run() -> Result<(), Box<dyn Error + Send + Sync>> {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("certificate"))
        .build()?;
    let (renew, newest) = watch::channel(Certificate::issue(DAY)?);
    tokio::spawn(certificate::report(
        newest.clone(),
        readiness.reporter("certificate")?,
    ));

    let layer = ReadinessLayer::new(&readiness)
        // For the demo only. Reasons have the texts of errors, so by default a client
        // gets none.
        .with_probes(Probes::builder(&readiness).detail(Detail::Full).build()?)
        .exempt(|head| head.uri().path().starts_with("/demo/"))
        .count_in_flight();
    let app = Router::new()
        .route(
            "/",
            get(async |version: Version| format!("hello over {version:?}\n")),
        )
        .route("/demo/certificate/{seconds}", post(replace))
        .with_state(renew)
        .layer(layer);

    let port: u16 = env::var("PORT").map_or(Ok(3443), |port| port.parse())?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let shutdown = readiness.drain_on_signal(Duration::from_secs(5))?;
    print_walk_through(listener.local_addr()?);
    let server = drain::serve(&readiness, listener, app.into_make_service())
        // In the task of the connection, so that a slow client delays no other.
        .handshake(move |(stream, peer): (TcpStream, SocketAddr)| {
            let accepted = newest.borrow().acceptor.accept(stream);
            async move { Ok((accepted.await?, peer)) }
        })
        .handshake_timeout(HANDSHAKE_TIMEOUT)
        .with_graceful_shutdown(shutdown);
    readiness.run(server).await??;
    println!("Drained.");
    Ok(())
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Short, so that a reader sees it end.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);

/// `POST /demo/certificate/{seconds}`: from the next connection on, clients get a
/// certificate that ends after as many seconds.
async fn replace(
    State(renew): State<watch::Sender<Certificate>>,
    Path(seconds): Path<u32>,
) -> Result<String, (StatusCode, String)> {
    let certificate = Certificate::issue(Duration::from_secs(seconds.into()))
        .map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    // The receivers live as long as the server.
    let _ = renew.send(certificate);
    Ok(format!("the certificate ends in {seconds} s\n"))
}

fn print_walk_through(address: SocketAddr) {
    println!(
        "\
Serving on https://{address}. The certificate is signed by itself, so curl needs -k.

HTTP/2, which curl and the server choose by ALPN, and HTTP/1
  curl -ki https://{address}/
  curl -ki --http1.1 https://{address}/
  curl -ki 'https://{address}/readyz?verbose'

A certificate of 30 seconds: degraded after 20, failing after 27, which closes the gate
  curl -ki -X POST https://{address}/demo/certificate/30
  sleep 21; curl -ki https://{address}/readyz
  sleep 7; curl -ki https://{address}/readyz
  curl -ki https://{address}/
  curl -ki https://{address}/livez
Its successor opens the gate
  curl -ki -X POST https://{address}/demo/certificate/86400
  curl -ki https://{address}/

A client that says nothing delays no other, and is closed after {HANDSHAKE_TIMEOUT:?}
  time cat < /dev/tcp/{ip}/{port} &
  curl -ki https://{address}/

The end: for 5 seconds readiness is red but requests are served
  kill -TERM {pid}
  curl -ki https://{address}/
  curl -ki https://{address}/readyz
Or press ctrl-c, once to drain, twice to skip the delay, three times to kill.",
        ip = address.ip(),
        port = address.port(),
        pid = std::process::id(),
    );
}
