//! The layer without a framework: around a plain Tower service that is served
//! by hyper, over HTTP/1 and HTTP/2.
//!
//! Run it, and enter the commands that it prints in a second terminal:
//!
//! ```sh
//! cargo run --features serve --example hyper
//! PORT=8080 cargo run --features serve --example hyper
//! ```
//!
//! To measure the cost of the layer, compare with the same service without it:
//!
//! ```sh
//! cargo run --release --features serve --example hyper
//! LAYER=off cargo run --release --features serve --example hyper
//! ```

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use std::{
    convert::Infallible,
    env,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{net::TcpListener, runtime::Runtime, time::sleep};
use tower::{Layer, make::Shared, service_fn};
use tower_readiness::{Readiness, ReadinessLayer, Reporter, Subsystem, drain};

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

    let reporter = Arc::clone(&storage);
    let service = service_fn(move |request: Request<Incoming>| {
        let response = answer(&request, &reporter);
        async { Ok::<_, Infallible>(response) }
    });
    let layer = ReadinessLayer::new(&readiness)
        .exempt(|head| head.uri().path().starts_with("/demo/"))
        .count_in_flight();

    let port: u16 = env::var("PORT").map_or(Ok(3000), |port| port.parse())?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    tokio::spawn(async move {
        sleep(Duration::from_secs(2)).await;
        storage.ready();
    });

    let address = listener.local_addr()?;
    let shutdown = readiness.drain_on_signal(Duration::from_secs(5))?;
    if env::var("LAYER").is_ok_and(|layer| layer == "off") {
        println!("Serving on http://{address} without the layer:\n  curl -i http://{address}/");
        let server = drain::serve(&readiness, listener, Shared::new(service));
        readiness
            .run(server.with_graceful_shutdown(shutdown))
            .await??;
    } else {
        print_walk_through(address);
        let server = drain::serve(&readiness, listener, Shared::new(layer.layer(service)));
        readiness
            .run(server.with_graceful_shutdown(shutdown))
            .await??;
    }
    println!("Drained.");
    Ok(())
}

/// The application.
fn answer(request: &Request<Incoming>, storage: &Reporter) -> Response<Full<Bytes>> {
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/") => (StatusCode::OK, "hello\n"),
        (&Method::POST, "/demo/storage/ready") => {
            storage.ready();
            (StatusCode::OK, "storage is ready\n")
        }
        (&Method::POST, "/demo/storage/failing") => {
            storage.failing("connection refused");
            (StatusCode::OK, "storage fails\n")
        }
        _ => (StatusCode::NOT_FOUND, "not found\n"),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response
}

fn print_walk_through(address: SocketAddr) {
    println!(
        "\
Serving on http://{address}.

At once: 503 for 2 seconds, with retry-after and x-readiness: starting
  curl -i http://{address}/
  curl -i http://{address}/readyz
Then 200, over HTTP/1 and HTTP/2
  sleep 2
  curl -i http://{address}/
  curl -i --http2-prior-knowledge http://{address}/
  curl -i --http2-prior-knowledge http://{address}/readyz

Storage fails: the gate closes, the process is alive, and storage comes back
  curl -i -X POST http://{address}/demo/storage/failing
  curl -i http://{address}/
  curl -i http://{address}/livez
  curl -i -X POST http://{address}/demo/storage/ready
  curl -i http://{address}/

End with ctrl-c: once to drain for 5 seconds, twice to skip that, three times to kill."
    );
}
