//! The application with a database that no connection reaches.

use super::app;
use axum::Router;
use std::time::Duration;
use tower_readiness::Readiness;

pub(crate) fn starting() -> (Readiness, Router) {
    // No server listens on the port for discarded bytes.
    let pool = app::database::pool("host=127.0.0.1 port=9 user=app").unwrap();
    // After its first runs, the check leaves the tests alone.
    let readiness = app::registry(&pool, Duration::from_secs(86_400)).unwrap();
    let app = app::app(&readiness, pool).unwrap();
    (readiness, app)
}

pub(crate) fn become_ready(readiness: &Readiness) {
    readiness.reporter("listener").unwrap().leave_ready();
    let database = readiness.check_handle("database").unwrap();
    database.report_outcome(Ok::<(), &str>(()));
}
