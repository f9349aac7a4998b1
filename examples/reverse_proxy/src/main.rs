//! The layer in front of a reverse proxy: whether the upstream can be reached
//! decides whether the gate is open, so clients get a prompt 503 that they may
//! retry elsewhere instead of a 502 after a failed attempt.
//!
//! Run it, and enter the commands that it prints in a second terminal. It starts a
//! small upstream, unless the environment names another:
//!
//! ```sh
//! cargo run --manifest-path examples/reverse_proxy/Cargo.toml
//! PORT=8080 UPSTREAM=http://127.0.0.1:9000 cargo run --manifest-path examples/reverse_proxy/Cargo.toml
//! ```

use axum::{
    Router,
    extract::{Path, State},
    http::{StatusCode, Uri, uri::Authority},
    routing::post,
};
use axum_reverse_proxy::ReverseProxy;
use std::{
    env,
    future::IntoFuture,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    sync::{Mutex, oneshot},
    task::JoinHandle,
    time::{interval, timeout},
};
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
    // Required, because this proxy is useless without it. If the same upstream
    // stood behind every replica, `.shared()` would keep its outage from
    // taking all of them out of the load balancer.
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("upstream"))
        .build()?;
    let reporter = readiness.reporter("upstream")?;

    let (upstream, demo) = match env::var("UPSTREAM") {
        Ok(upstream) => (upstream.parse::<Uri>()?, Router::new()),
        Err(_) => {
            let upstream = Upstream::start((Ipv4Addr::LOCALHOST, 0).into()).await?;
            let uri = format!("http://{}", upstream.address).parse()?;
            let demo = Router::new()
                .route("/demo/upstream/{action}", post(flip))
                .with_state(Arc::new(Mutex::new(upstream)));
            (uri, demo)
        }
    };
    let built_in = demo.has_routes();
    let authority = upstream
        .authority()
        .filter(|_| upstream.scheme_str() == Some("http"))
        .ok_or("UPSTREAM has to be an http:// URL")?;
    tokio::spawn(watch(authority.clone(), reporter));

    let layer = ReadinessLayer::new(&readiness)
        // For the demo only. Reasons have the texts of errors, so by default a client
        // gets none.
        .with_probes(Probes::builder(&readiness).detail(Detail::Full).build()?)
        .exempt(move |head| built_in && head.uri().path().starts_with("/demo/"))
        .count_in_flight();
    let app = demo
        .fallback_service(ReverseProxy::new("/", upstream.to_string()))
        .layer(layer);

    let port: u16 = env::var("PORT").map_or(Ok(3000), |port| port.parse())?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let shutdown = readiness.drain_on_signal(Duration::from_secs(5))?;
    print_walk_through(listener.local_addr()?, &upstream, built_in);
    let server = axum::serve(listener, app).with_graceful_shutdown(shutdown);
    readiness.run(server).await??;
    Ok(())
}

/// Reports whether the upstream accepts connections, twice a second.
async fn watch(upstream: Authority, reporter: Reporter) {
    let period = Duration::from_millis(500);
    let address = format!("{}:{}", upstream.host(), upstream.port_u16().unwrap_or(80));
    let mut ticks = interval(period);
    loop {
        ticks.tick().await;
        match timeout(period, TcpStream::connect(&address)).await {
            Ok(Ok(_)) => reporter.ready(),
            Ok(Err(error)) => reporter.failing(error.to_string()),
            Err(_) => reporter.failing("does not accept connections in time"),
        }
    }
}

/// The upstream that comes with the example.
struct Upstream {
    address: SocketAddr,
    /// While it runs.
    server: Option<(oneshot::Sender<()>, JoinHandle<io::Result<()>>)>,
}

impl Upstream {
    async fn start(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let app =
            Router::new().fallback(async |uri: Uri| format!("the upstream was asked for {uri}\n"));
        let (stop, stopped) = oneshot::channel();
        let server = axum::serve(listener, app).with_graceful_shutdown(async {
            let _ = stopped.await;
        });
        Ok(Self {
            address,
            server: Some((stop, tokio::spawn(server.into_future()))),
        })
    }

    /// Returns when the port is closed.
    async fn stop(&mut self) {
        if let Some((stop, server)) = self.server.take() {
            drop(stop);
            let _ = server.await;
        }
    }
}

/// `POST /demo/upstream/{action}`
async fn flip(
    State(upstream): State<Arc<Mutex<Upstream>>>,
    Path(action): Path<String>,
) -> Result<&'static str, (StatusCode, String)> {
    let mut upstream = upstream.lock().await;
    match action.as_str() {
        "stop" => {
            upstream.stop().await;
            Ok("the upstream is stopped\n")
        }
        "start" if upstream.server.is_some() => Ok("the upstream runs already\n"),
        "start" => {
            *upstream = Upstream::start(upstream.address)
                .await
                .map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")))?;
            Ok("the upstream is started\n")
        }
        _ => Err((
            StatusCode::BAD_REQUEST,
            "the actions are stop and start\n".to_owned(),
        )),
    }
}

fn print_walk_through(address: SocketAddr, upstream: &Uri, built_in: bool) {
    let (stop, start) = if built_in {
        let flip = format!("curl -i -X POST http://{address}/demo/upstream");
        (format!("{flip}/stop"), format!("{flip}/start"))
    } else {
        let by_hand = |what| format!("({what} {upstream} yourself)");
        (by_hand("stop"), by_hand("start"))
    };
    println!(
        "\
Serving on http://{address}, in front of {upstream}

The answer comes from the upstream
  curl -i http://{address}/any/path
  curl -i http://{address}/readyz

Stop the upstream: within a second the gate refuses, and the probe has the reason
  {stop}
  sleep 1
  curl -i http://{address}/any/path
  curl -i 'http://{address}/readyz?verbose'
  curl -i http://{address}/livez

Start it again: the gate opens by itself
  {start}
  curl -i 'http://{address}/readyz?wait=5'
  curl -i http://{address}/any/path

End with ctrl-c: once to drain for 5 seconds, twice to skip that, three times to kill."
    );
}
