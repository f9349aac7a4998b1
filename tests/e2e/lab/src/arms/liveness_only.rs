//! Healthy as soon as the process runs; SIGTERM ends it at once.

use crate::BoxError;
use axum::{Router, routing::get};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

pub(super) async fn serve(listener: TcpListener, app: Router) -> Result<(), BoxError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let app = app.route("/health", get(async || "alive\n"));
    tokio::select! {
        served = axum::serve(listener, app) => Ok(served?),
        _ = terminate.recv() => Ok(()),
    }
}
