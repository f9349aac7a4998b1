//! tonic and axum on one port, behind one layer. The gRPC service needs an index that the
//! website does without: a scope closes the service alone, and its health check says so.
//!
//! A package of its own. Run it, and enter the commands that it prints in a second
//! terminal:
//!
//! ```sh
//! cargo run --manifest-path examples/mux/Cargo.toml
//! PORT=8080 cargo run --manifest-path examples/mux/Cargo.toml
//! ```

mod greeter;

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, post},
};
use greeter::Greeter;
use std::{
    env,
    error::Error,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{net::TcpListener, runtime::Runtime};
use tonic::{server::NamedService, service::Routes};
use tower_readiness::{
    Readiness, ReadinessLayer, Reporter, Subsystem, drain, notify::grpc::GrpcHealth,
};

/// Builds the runtime by hand: `#[tokio::main]` would wait at the end for each thread
/// of `spawn_blocking`, without a limit.
fn main() -> Result<(), Box<dyn Error>> {
    // Shows what the crate logs, from INFO on.
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let runtime = Runtime::new()?;
    let ended = runtime.block_on(run());
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

async fn run() -> Result<(), Box<dyn Error>> {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        .subsystem(Subsystem::new("index").optional())
        .scope("greeter", ["index", "storage"])
        .build()?;
    let demo = Arc::new(Demo {
        storage: readiness.reporter("storage")?,
        index: readiness.reporter("index")?,
    });

    // Clients ask for the health of a service by its name in the .proto file.
    let health = GrpcHealth::builder(&readiness)
        .alias(Greeter::NAME, "greeter")
        .build()?;
    // From a router, because `Routes::default()` answers every path that no route has with
    // 200 and a gRPC status, as if it were a page of the website.
    let grpc = Routes::from(Router::new())
        .add_service(Greeter)
        .into_axum_router()
        .route_layer(ReadinessLayer::gate(readiness.scope("greeter")?));
    let website = Router::new()
        .route("/", get(async || "hello from the website\n"))
        .route("/demo/{subsystem}/{state}", post(flip))
        .with_state(demo);
    let layer = ReadinessLayer::new(&readiness)
        // For the demo only.
        .exempt(|head| head.uri().path().starts_with("/demo/"))
        .count_in_flight();
    let app = Routes::from(website)
        .add_service(health)
        .into_axum_router()
        .merge(grpc)
        .layer(layer); // Last, so that it wraps all of the above.

    let port: u16 = env::var("PORT").map_or(Ok(3000), |port| port.parse())?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let shutdown = readiness.drain_on_signal(Duration::from_secs(5))?;
    print_walk_through(listener.local_addr()?);
    // HTTP/1 for browsers and HTTP/2 for gRPC, by the first bytes of each connection.
    let server = drain::serve(&readiness, listener, app.into_make_service())
        .with_graceful_shutdown(shutdown);
    readiness.run(server).await??;
    println!("Drained.");
    Ok(())
}

struct Demo {
    storage: Reporter,
    index: Reporter,
}

/// `POST /demo/{subsystem}/{state}`
async fn flip(
    State(demo): State<Arc<Demo>>,
    Path((subsystem, state)): Path<(String, String)>,
) -> Result<String, (StatusCode, &'static str)> {
    let reporter = match subsystem.as_str() {
        "storage" => &demo.storage,
        "index" => &demo.index,
        _ => return Err((StatusCode::NOT_FOUND, "there are storage and index\n")),
    };
    match state.as_str() {
        "ready" => reporter.ready(),
        "failing" => reporter.failing("connection refused"),
        _ => {
            let message = "the states are ready and failing\n";
            return Err((StatusCode::BAD_REQUEST, message));
        }
    }
    Ok(format!("{subsystem} is {state}\n"))
}

fn print_walk_through(address: SocketAddr) {
    println!(
        "\
Serving on http://{address}, the website and gRPC.
A call of gRPC by hand, whose message is empty:
  call() {{ printf '\\0\\0\\0\\0\\0' | curl -s --http2-prior-knowledge --data-binary @- -o /dev/null \\
    -D - -H 'content-type: application/grpc' -H 'te: trailers' http://{address}/$1; }}

Nothing is ready: the website is 503, a call has the status 14, UNAVAILABLE
  curl -i http://{address}/
  call demo.Greeter/Say

The storage alone: the website serves, calls wait for the index
  curl -i -X POST http://{address}/demo/storage/ready
  curl -i http://{address}/
  call demo.Greeter/Say

With the index, a call has the status 0
  curl -i -X POST http://{address}/demo/index/ready
  call demo.Greeter/Say

The health of the service, by its name in the .proto file
  grpcurl -plaintext -d '{{\"service\": \"demo.Greeter\"}}' {address} grpc.health.v1.Health/Check
  curl -i -X POST http://{address}/demo/index/failing
  grpcurl -plaintext -d '{{\"service\": \"demo.Greeter\"}}' {address} grpc.health.v1.Health/Check
  curl -i http://{address}/readyz

A page that does not exist is 404, and no answer of gRPC
  curl -i http://{address}/none

End with ctrl-c: once to drain for 5 seconds, twice to skip that, three times to kill."
    );
}
