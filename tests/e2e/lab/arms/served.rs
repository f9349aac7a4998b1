//! The crate, with its own server, whose connections retire one after the other.

use super::{Arm, Protection, tower_readiness::registry};
use crate::{BoxError, subsystems::Subsystems};
use ::tower_readiness::{ReadinessLayer, connections::Connections, drain};
use axum::Router;
use std::time::Duration;
use tokio::net::TcpListener;

pub(super) async fn serve(
    listener: TcpListener,
    app: Router,
    subsystems: &'static Subsystems,
    delay: Duration,
    arm: Arm,
) -> Result<(), BoxError> {
    let readiness = registry(subsystems, arm)?;
    let app = app.layer(ReadinessLayer::new(&readiness).count_in_flight());
    let mut connections = Connections::builder(&readiness);
    if !arm.has(Protection::Window) {
        connections = connections.window(1.0, 1.0);
    }
    let shutdown = readiness.drain_on_signal(delay)?;
    let server = drain::serve(&readiness, listener, app.into_make_service())
        .connections(connections.build()?)
        .with_graceful_shutdown(shutdown);
    readiness.run(server).await??;
    Ok(())
}
