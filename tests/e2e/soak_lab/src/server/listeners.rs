//! Admin listeners that come and go, and their clients.

use super::Process;
use crate::{Error, asker, connection::Connection};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::time::{sleep, timeout};
use tower_readiness::server::AdminListener;

/// How long a listener may take to stop, and its clients to notice.
const SOON: Duration = Duration::from_secs(30);

/// Serves, asks and stops one listener after the other.
pub(crate) async fn come_and_go(process: Arc<Process>) {
    while !process.ends() {
        match live(&process).await {
            Ok(()) => process.count("listeners stopped"),
            Err(error) => process.findings.add(&format!("a listener: {error}")),
        }
    }
}

async fn live(process: &Process) -> Result<(), Error> {
    let listener = AdminListener::new(&process.readiness).events().metrics();
    let server = if fastrand::bool() {
        listener.serve("127.0.0.1:0").await?
    } else {
        listener.serve_on_thread("127.0.0.1:0")?
    };
    let address = server.local_addr().socket_addr().ok_or("no address")?;
    let clients: Vec<_> = (0..fastrand::u8(1..6))
        .map(|_| tokio::spawn(ask(address)))
        .collect();
    sleep(Duration::from_millis(fastrand::u64(..1500))).await;
    server.stop();
    let stopped = timeout(SOON, server.stopped()).await;
    stopped.map_err(|_| "it does not stop")?;
    for client in clients {
        let ended = timeout(SOON, client).await;
        ended.map_err(|_| "a client waits after the listener has stopped")??;
    }
    Ok(())
}

/// Asks until the listener stops.
async fn ask(address: SocketAddr) {
    while let Ok(mut connection) = Connection::open(address).await {
        // The end of the listener is an error of its clients.
        if asker::visit(&mut connection).await.is_err() {
            break;
        }
    }
}
