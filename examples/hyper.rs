//! The layer without a framework: around a plain Tower service that is served
//! by hyper, over HTTP/1 and HTTP/2.
//!
//! Run it, and enter the commands that it prints in a second terminal:
//!
//! ```sh
//! cargo run --example hyper
//! PORT=8080 cargo run --example hyper
//! ```
//!
//! To measure the cost of the layer, compare with the same service without it:
//!
//! ```sh
//! cargo run --release --example hyper
//! LAYER=off cargo run --release --example hyper
//! ```

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use std::{
    convert::Infallible,
    env,
    net::{Ipv4Addr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};
use tokio::{net::TcpListener, runtime::Runtime, time::sleep};
use tower::{Layer, Service, service_fn};
use tower_readiness::{Readiness, ReadinessLayer, Reporter, Subsystem, drain::Shutdown};

/// Builds the runtime by hand: `#[tokio::main]` would wait at the end for each thread
/// of `spawn_blocking`, without a limit.
fn main() -> Result<(), Box<dyn std::error::Error>> {
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
        readiness.run(serve(listener, service, shutdown)).await?;
    } else {
        print_walk_through(address);
        let server = serve(listener, layer.layer(service), shutdown);
        readiness.run(server).await?;
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

/// Serves any Tower service until the shutdown completes, and then finishes the requests
/// in flight.
async fn serve<S, B>(listener: TcpListener, service: S, shutdown: Shutdown)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let server = auto::Builder::new(TokioExecutor::new());
    let graceful = GracefulShutdown::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut shutdown => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            // The client hung up, or there is no file descriptor left for it. It
            // waits in the kernel until another connection has ended.
            Err(error) => {
                eprintln!("cannot accept: {error}");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(service.clone());
        let connection = server
            .serve_connection(TokioIo::new(stream), service)
            .into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            // An error means that the client has hung up.
            let _ = connection.await;
        });
    }
    // Accepts no more connections; HTTP/2 clients get GOAWAY and finish their streams.
    drop(listener);
    graceful.shutdown().await;
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
