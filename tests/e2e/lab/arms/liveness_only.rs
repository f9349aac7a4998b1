//! Healthy as soon as it runs; gone at once when it is told to stop.

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
