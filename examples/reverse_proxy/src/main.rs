//! A reverse proxy whose upstreams are the members of a group. Real traffic shows
//! which of them answer, a reload adds and removes them, and while too few answer the
//! gate gives clients a prompt 503 instead of a 502 after a failed attempt.
//!
//! Run it, and enter the commands that it prints in a second terminal. It starts five
//! small upstreams, unless the environment names a file with an address in each line:
//!
//! ```sh
//! cargo run --manifest-path examples/reverse_proxy/Cargo.toml
//! PORT=8080 UPSTREAMS=upstreams.txt cargo run --manifest-path examples/reverse_proxy/Cargo.toml
//! ```

mod demo;
mod proxy;
mod upstreams;

use demo::Demo;
use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::TcpListener,
    runtime::Runtime,
    signal::unix::{Signal, SignalKind, signal},
};
use tower_readiness::{
    Group, Readiness, ReadinessLayer, Subsystem,
    probe::{Detail, Probes},
};
use upstreams::Upstreams;

type Error = Box<dyn std::error::Error>;

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
        // Shared, as groups are by default: the same upstreams stand behind every
        // replica, so their outage takes no replica out of the load balancer.
        .group(
            Group::new("upstream")
                .at_least(1)
                .degraded_below(0.8)
                .failing_below(0.3),
        )
        // Requests to upstreams need them.
        .scope("forwarding", ["upstream"])
        .build()?;
    let hangup = signal(SignalKind::hangup())?;

    let (file, demo) = match env::var_os("UPSTREAMS") {
        Some(file) => (PathBuf::from(file), None),
        None => {
            let demo = Demo::start(5).await?;
            (demo.file().to_owned(), Some(demo))
        }
    };
    let upstreams = Arc::new(Upstreams::new(readiness.group("upstream")?));
    upstreams.apply(&fs::read_to_string(&file)?)?;

    let gate = ReadinessLayer::gate(readiness.scope("forwarding")?);
    let layer = ReadinessLayer::new(&readiness)
        // For the demo only. Reasons have the texts of errors, so by default a client
        // gets none.
        .with_probes(Probes::builder(&readiness).detail(Detail::Full).build()?)
        .exempt(|head| head.uri().path().starts_with("/demo/"))
        .count_in_flight();
    let app = proxy::router(Arc::clone(&upstreams)).layer(gate);
    let app = match demo {
        Some(demo) => demo.router().fallback_service(app),
        None => app,
    };
    let app = app.layer(layer); // Last, so that it wraps all of the above.

    let port: u16 = env::var("PORT").map_or(Ok(3000), |port| port.parse())?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    readiness.reporter("listener")?.leave_ready();
    let shutdown = readiness.drain_on_signal(Duration::from_secs(5))?;
    print_walk_through(listener.local_addr()?, &file);
    tokio::spawn(reload(readiness.clone(), hangup, file, upstreams));
    let server = axum::serve(listener, app).with_graceful_shutdown(shutdown);
    readiness.run(server).await??;
    println!("Drained.");
    Ok(())
}

/// Reads the file again at each SIGHUP. If that fails, the old upstreams stay.
async fn reload(
    readiness: Readiness,
    mut hangup: Signal,
    file: PathBuf,
    upstreams: Arc<Upstreams>,
) {
    while hangup.recv().await.is_some() {
        let _reloading = readiness.reloading();
        let read = fs::read_to_string(&file).map_err(Error::from);
        match read.and_then(|text| upstreams.apply(&text)) {
            Ok(()) => println!("Reloaded."),
            Err(error) => tracing::warn!(%error, "cannot reload"),
        }
    }
}

fn print_walk_through(address: SocketAddr, file: &Path) {
    println!(
        "\
Serving on http://{address}, in front of the upstreams in {file}

The upstreams answer in turn
  curl -i 'http://{address}/readyz?wait=5'
  curl -i http://{address}/any/path
  curl -i http://{address}/statusz

Stop two of five: requests notice it, 502 twice for each, and then the others serve
  curl -i -X POST http://{address}/demo/upstreams/0/stop
  curl -i -X POST http://{address}/demo/upstreams/1/stop
  for i in $(seq 12); do curl -s -w '%{{http_code}}\\n' -o /dev/null http://{address}/; done
  curl -i http://{address}/readyz
  curl -i 'http://{address}/statusz/upstream?state=failing&limit=50'

Stop two more: the gate refuses, and the load balancer keeps the replica
  curl -i -X POST http://{address}/demo/upstreams/2/stop
  curl -i -X POST http://{address}/demo/upstreams/3/stop
  for i in $(seq 12); do curl -s -w '%{{http_code}}\\n' -o /dev/null http://{address}/; done
  curl -i http://{address}/any/path
  curl -i http://{address}/readyz/forwarding
  curl -i http://{address}/readyz

Remove these four from the configuration: the one that is left is all there is
  sed -i 1,4d {file}
  kill -HUP {pid}
  curl -i http://{address}/any/path
  curl -i http://{address}/statusz/upstream

Start one again and add it: it serves as soon as it accepts a connection
  curl -s -X POST http://{address}/demo/upstreams/0/start >>{file}
  kill -HUP {pid}
  curl -i http://{address}/statusz/upstream

End with ctrl-c: once to drain for 5 seconds, twice to skip that, three times to kill.",
        file = file.display(),
        pid = std::process::id(),
    );
}
