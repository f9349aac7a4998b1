//! Replicas in this process, each with a registry of its own, which drain one after the other.

use super::Process;
use crate::{Error, connection::Connection};
use axum::{Router, routing::get};
use bytes::Bytes;
use http::{Method, header::CONNECTION};
use http_body_util::BodyExt;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::TcpListener,
    sync::oneshot,
    time::{sleep, timeout},
};
use tower_readiness::{Action, Phase, Readiness, ReadinessLayer, Subsystem, drain};

const CLIENTS: usize = 4;

/// Fails a drain that does not end.
const SOON: Duration = Duration::from_secs(60);

/// Starts, uses and drains one replica after the other.
pub(crate) async fn replace(process: Arc<Process>) {
    while !process.ends() {
        match live().await {
            Ok(()) => process.count("replicas drained"),
            Err(error) => process.findings.add(&format!("a replica: {error}")),
        }
    }
}

async fn live() -> Result<(), Error> {
    let storage = Subsystem::new("storage");
    let readiness = Readiness::builder().subsystem(storage).build()?;
    let layer = ReadinessLayer::new(&readiness)
        .when_starting(Action::hold(Duration::from_secs(10))?)
        .count_in_flight();
    let app = Router::new().route("/", get(work)).layer(layer);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (drains, drain) = oneshot::channel::<()>();
    let shutdown = readiness
        .shutdown()
        .on(async {
            // The end of the sender is the signal.
            let _ = drain.await;
        })
        .delay(Duration::from_millis(fastrand::u64(50..500)))
        // Longer than the process is frozen.
        .closing_cap(Duration::from_secs(20))
        .build()?;
    let server = drain::serve(&readiness, listener, app.into_make_service())
        .with_graceful_shutdown(shutdown);
    let running = readiness.clone();
    let server = tokio::spawn(async move { running.run(server).await });

    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| tokio::spawn(send(address, readiness.clone())))
        .collect();
    sleep(Duration::from_millis(fastrand::u64(..100))).await;
    let storage = readiness.reporter("storage")?;
    storage.ready();
    sleep(Duration::from_millis(fastrand::u64(..1000))).await;
    drop(drains);
    let ended = timeout(SOON, server).await;
    ended.map_err(|_| "the drain does not end")????;
    if readiness.snapshot().phase() != Phase::Closed {
        return Err("the phase is not closed after the drain".into());
    }
    if readiness.in_flight() != Some(0) {
        return Err(format!(
            "{:?} requests in flight after the drain",
            readiness.in_flight()
        )
        .into());
    }
    for client in clients {
        let ended = timeout(SOON, client).await;
        ended.map_err(|_| "a client waits after the drain")???;
    }
    Ok(())
}

async fn work() -> &'static str {
    sleep(Duration::from_millis(fastrand::u64(..5))).await;
    "done"
}

/// Sends requests until the replica drains. An error counts only before.
async fn send(address: SocketAddr, readiness: Readiness) -> Result<(), Error> {
    let is_leaving = || readiness.snapshot().phase() >= Phase::Draining;
    loop {
        match visit(address).await {
            Ok(()) => {}
            Err(_) if is_leaving() => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

async fn visit(address: SocketAddr) -> Result<(), Error> {
    let mut connection = Connection::open(address).await?;
    for _ in 0..fastrand::u8(1..50) {
        let response = connection.send(Method::GET, "/", Bytes::new()).await?;
        let (head, body) = response.into_parts();
        body.collect().await?;
        if !head.status.is_success() {
            return Err(format!("a request got {}", head.status).into());
        }
        if head.headers.get(CONNECTION).is_some_and(|it| it == "close") {
            break;
        }
    }
    Ok(())
}
