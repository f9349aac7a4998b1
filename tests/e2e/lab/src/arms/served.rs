//! The crate, with its own server, whose connections retire one after the other.

use super::{Arm, Protection, tower_readiness::registry};
use crate::{BoxError, subsystems::Subsystems};
use ::tower_readiness::{
    ReadinessLayer,
    connections::{Connections, Retiring},
    drain::{self, Signals},
};
use axum::Router;
use http::Request;
use std::time::Duration;
use tokio::net::TcpListener;
use tower::util::MapRequestLayer;

/// Where there is none, that of the crate counts.
pub(super) struct Limits {
    pub(super) delay: Duration,
    pub(super) closing_cap: Option<Duration>,
    pub(super) max_age: Option<Duration>,
}

/// Hides from handlers when their connection retires.
fn without_signal<B>(mut request: Request<B>) -> Request<B> {
    request.extensions_mut().remove::<Retiring>();
    request
}

pub(super) async fn serve(
    listener: TcpListener,
    app: Router,
    subsystems: &'static Subsystems,
    limits: Limits,
    arm: Arm,
) -> Result<(), BoxError> {
    let readiness = registry(subsystems, arm)?;
    let app = if arm.has(Protection::Window) {
        app
    } else {
        app.layer(MapRequestLayer::new(without_signal))
    };
    let app = app.layer(ReadinessLayer::new(&readiness).count_in_flight());
    let mut connections = Connections::builder(&readiness);
    if !arm.has(Protection::Window) {
        connections = connections.window(1.0, 1.0);
    }
    if let Some(age) = limits.max_age {
        connections = connections.max_age(age);
    }
    let mut shutdown = readiness
        .shutdown()
        .on_signals(Signals::default())
        .delay(limits.delay);
    if let Some(cap) = limits.closing_cap {
        shutdown = shutdown.closing_cap(cap);
    }
    let server = drain::serve(&readiness, listener, app.into_make_service())
        .connections(connections.build()?)
        .with_graceful_shutdown(shutdown.build()?);
    readiness.run(server).await??;
    Ok(())
}
