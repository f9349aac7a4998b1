//! Ready while all of its subsystems run, as in Pomerium. No layer gates traffic, and
//! SIGTERM closes the listener at once.

use crate::{BoxError, subsystems::Subsystems};
use axum::{Router, http::StatusCode, routing::get};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

pub(super) async fn serve(
    listener: TcpListener,
    app: Router,
    subsystems: &'static Subsystems,
) -> Result<(), BoxError> {
    let terminating = Arc::new(AtomicBool::new(false));
    let mut terminate = signal(SignalKind::terminate())?;

    let flag = Arc::clone(&terminating);
    let ready = async move || {
        let running = subsystems.all().iter().all(|subsystem| subsystem.is_up());
        if running && !flag.load(Ordering::Acquire) {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        }
    };
    let app = app.route("/ready", get(ready));
    axum::serve(listener, app)
        .with_graceful_shutdown(async move {
            terminate.recv().await;
            terminating.store(true, Ordering::Release);
        })
        .await?;
    Ok(())
}
