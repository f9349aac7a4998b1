//! Readiness by hand: a flag that is set after startup and cleared at SIGTERM, a sleep,
//! then axum's graceful shutdown.

use crate::{BoxError, subsystems::Subsystems};
use axum::{Router, http::StatusCode, routing::get};
use std::{
    sync::{
        Arc, Once,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    time::sleep,
};

pub(super) async fn serve(
    listener: TcpListener,
    app: Router,
    subsystems: &'static Subsystems,
    delay: Duration,
) -> Result<(), BoxError> {
    let is_ready = Arc::new(AtomicBool::new(false));
    let mut terminate = signal(SignalKind::terminate())?;

    // The last subsystem that comes up sets the flag, once.
    let flag = Arc::clone(&is_ready);
    let started = Once::new();
    subsystems.database.tell(move |up| {
        if up {
            started.call_once(|| flag.store(true, Ordering::Release));
        }
    });

    let flag = Arc::clone(&is_ready);
    let ready = async move || {
        if flag.load(Ordering::Acquire) {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        }
    };
    let app = app.route("/ready", get(ready));
    axum::serve(listener, app)
        .with_graceful_shutdown(async move {
            terminate.recv().await;
            is_ready.store(false, Ordering::Release);
            sleep(delay).await;
        })
        .await?;
    Ok(())
}
