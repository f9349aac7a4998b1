//! The crate: subsystems report, the layer answers probes and gates traffic.

use super::{Arm, Protection};
use crate::{BoxError, subsystems::Subsystems};
use axum::{Router, http::header::CONNECTION, middleware::map_response, response::Response};
use std::time::Duration;
use tokio::net::TcpListener;
use tower_readiness::{Action, Readiness, ReadinessLayer, Subsystem};

pub(super) async fn serve(
    listener: TcpListener,
    app: Router,
    subsystems: &'static Subsystems,
    delay: Duration,
    arm: Arm,
) -> Result<(), BoxError> {
    let readiness = registry(subsystems, arm)?;
    let mut layer = ReadinessLayer::new(&readiness).count_in_flight();
    if arm.has(Protection::Hold) {
        layer = layer.when_failing(Action::hold(Duration::from_secs(2))?);
    }
    let mut app = app.layer(layer);
    if !arm.has(Protection::ConnectionClose) {
        app = app.layer(map_response(async |mut response: Response| {
            response.headers_mut().remove(CONNECTION);
            response
        }));
    }
    let shutdown = readiness.drain_on_signal(delay)?;
    let server = axum::serve(listener, app).with_graceful_shutdown(shutdown);
    readiness.run(server).await??;
    Ok(())
}

/// The registry, to which the subsystems report.
pub(super) fn registry(subsystems: &'static Subsystems, arm: Arm) -> Result<Readiness, BoxError> {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("authenticate"))
        .subsystem(Subsystem::new("authorize"))
        .subsystem(Subsystem::new("storage"))
        .subsystem(Subsystem::new("database").shared())
        .build()?;
    for subsystem in subsystems.all() {
        let reporter = readiness.reporter(subsystem.name)?;
        if !arm.has(Protection::StartupGating) {
            reporter.ready();
        }
        subsystem.tell(move |up| {
            if up {
                reporter.ready();
            } else {
                reporter.failing("reconnecting");
            }
        });
    }
    Ok(readiness)
}
