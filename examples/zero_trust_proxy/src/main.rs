//! Everything together: an identity-aware reverse proxy whose parts each report for
//! themselves. It authenticates and authorizes a request, counts it in the session of
//! the user, and passes it on. While one of these steps is impossible, the gate refuses
//! requests before they fail.
//!
//! The point is readiness, not security: a token is the name of its bearer.
//!
//! Run it, and enter the commands that it prints in a second terminal:
//!
//! ```sh
//! cargo run --manifest-path examples/zero_trust_proxy/Cargo.toml
//! PORT=8080 ADMIN_PORT=9090 cargo run --manifest-path examples/zero_trust_proxy/Cargo.toml
//! ```

mod audit;
mod authenticate;
mod authorize;
mod backend;
mod demo;
mod request;
mod storage;
mod upstream;
mod walk_through;

use audit::Audit;
use authenticate::Authenticate;
use authorize::Authorize;
use axum::{Router, middleware, routing::post};
use axum_reverse_proxy::ReverseProxy;
use backend::Backend;
use demo::Demo;
use request::Parts;
use std::{
    env,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use storage::Storage;
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Runtime,
};
use tower::Layer;
use tower_readiness::{
    Action, Readiness, ReadinessLayer, Subsystem,
    check::Check,
    server::Address,
    watch::{RuntimeWatch, TrafficWatch},
};
use upstream::Upstream;

/// The time in which the slowest load balancer notices a red probe.
const DRAIN_DELAY: Duration = Duration::from_secs(5);

/// Longer than every pause that the process should survive.
const STALLED_AFTER: Duration = Duration::from_secs(5);

/// The interval of the checks of the storage and the directory.
const CHECK_EVERY: Duration = Duration::from_secs(2);

/// Builds the runtime by hand: `#[tokio::main]` would wait at the end for each thread
/// of `spawn_blocking`, without a limit.
fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // Shows what the crate logs, from INFO on.
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let runtime = Runtime::new()?;
    let ended = runtime.block_on(run());
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

async fn run() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // Removed when this returns, however it does.
    let folder = tempfile::Builder::new().prefix("proxy-").tempdir()?;
    let storage = Arc::new(Storage::create(folder.path())?);
    let directory = Arc::new(Backend::start(Router::new()).await?);
    let upstream = Upstream::start().await?;

    let (asked, at) = (Arc::clone(&storage), directory.address());
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("authenticate"))
        // A sync that is silent for this long hangs.
        .subsystem(Subsystem::new("authorize").ttl(authorize::SYNC_EVERY * 6))
        // Without a check a removed file would not show: the process goes on writing
        // to the open file, which the next start will not find.
        .subsystem(Subsystem::new("storage").check(
            Check::every(CHECK_EVERY).back_off_to(CHECK_EVERY * 4),
            move || Arc::clone(&asked).prove(),
        ))
        .subsystem(Subsystem::new("proxy"))
        // The admin listener answers before the port is bound. Without this
        // subsystem, readiness could be green while no listener accepts.
        .subsystem(Subsystem::new("listener"))
        // The same directory stands behind every replica. If it were required, its
        // outage would make all replicas refuse at once.
        .subsystem(
            Subsystem::new("directory")
                .shared()
                .check(Check::every(CHECK_EVERY).failures(2), move || async move {
                    TcpStream::connect(at).await.map(drop)
                }),
        )
        // The process can do without its audit log. Only requests for secrets are
        // refused while the log cannot be written.
        .subsystem(Subsystem::new("audit").optional())
        .scope("secrets", ["audit"])
        .build()?;
    // Answers from now on, whatever becomes of the runtime.
    let admin = readiness.serve_on_thread(admin_address()?)?;
    readiness.watch_runtime(RuntimeWatch::default().stalled_after(STALLED_AFTER))?;
    readiness.watch_traffic(TrafficWatch::default())?;

    let authenticate = Arc::new(Authenticate::start(&readiness)?);
    let authorize = Authorize::start(readiness.reporter("authorize")?);
    let audit = Audit::start(folder.path(), readiness.reporter("audit")?)?;
    tokio::spawn(upstream::watch(
        upstream.address(),
        readiness.reporter("proxy")?,
    ));

    let parts = Parts {
        authenticate: Arc::clone(&authenticate),
        authorize: Arc::clone(&authorize),
        storage: Arc::clone(&storage),
        audit: Arc::clone(&audit),
    };
    let proxy = ReverseProxy::new("/", format!("http://{}", upstream.address()));
    let secrets = ReadinessLayer::gate(readiness.scope("secrets")?);
    let proxied = Router::new()
        .route_service("/secrets/{*path}", secrets.layer(proxy.clone()))
        .fallback_service(proxy)
        .layer(middleware::from_fn_with_state(parts, request::handle));

    let layer = ReadinessLayer::new(&readiness)
        // Longer than the slowest part takes to come up, and shorter than
        // clients wait.
        .when_starting(Action::hold(Duration::from_secs(10))?)
        .exempt(|head| head.uri().path().starts_with("/demo/"))
        .count_in_flight()
        .observe_outcomes();
    let app = Router::new()
        .route("/demo/{part}/{action}", post(demo::act))
        .with_state(Arc::new(Demo {
            authenticate,
            authorize,
            storage,
            audit,
            upstream,
            directory,
        }))
        .merge(proxied)
        .layer(layer); // Last, so that it wraps all of the above.

    let port: u16 = env::var("PORT").map_or(Ok(3000), |port| port.parse())?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    readiness.reporter("listener")?.leave_ready();
    let shutdown = readiness.drain_on_signal(DRAIN_DELAY)?;
    walk_through::print(listener.local_addr()?, admin.local_addr());

    let server = axum::serve(listener, app).with_graceful_shutdown(shutdown);
    readiness.run(server).await??;
    if let Some(drift) = readiness.drift() {
        let (failed, admitted) = (drift.failed(), drift.admitted());
        println!("Of {admitted} requests that were admitted while ready, {failed} failed.");
    }
    println!("Drained.");
    Ok(())
}

/// The default of the admin listener, or another port.
fn admin_address() -> Result<Address, std::num::ParseIntError> {
    env::var("ADMIN_PORT").map_or(Ok(Address::default()), |port| {
        let port: u16 = port.parse()?;
        Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())
    })
}
