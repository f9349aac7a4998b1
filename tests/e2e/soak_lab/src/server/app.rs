//! The application that the clients ask.

use super::{Process, explain::Answered};
use axum::{
    Router,
    body::Bytes,
    extract::{Request, State},
    middleware::{self, Next},
    response::Response,
    routing::get,
};
use std::{sync::Arc, time::Duration};
use tokio::time::sleep;
use tower_readiness::{ReadinessLayer, gate::Refusal};

pub(crate) fn router(
    process: &Arc<Process>,
    whole: ReadinessLayer,
    scope: ReadinessLayer,
) -> Router {
    let record = middleware::from_fn_with_state(Arc::clone(process), record);
    Router::new()
        .route("/", get(hello).post(upload))
        .route("/search", get(search).layer(scope))
        .layer(whole)
        // Outside of the gates, whose decisions it records.
        .layer(record)
}

async fn hello() -> &'static str {
    "hello"
}

async fn upload(body: Bytes) -> String {
    body.len().to_string()
}

/// Stays in flight for a while.
async fn search() -> &'static str {
    sleep(Duration::from_millis(fastrand::u64(..5))).await;
    "found"
}

async fn record(State(process): State<Arc<Process>>, request: Request, next: Next) -> Response {
    let began = process.readiness.snapshot().version();
    let response = next.run(request).await;
    process.explainer.add(Answered {
        began,
        ended: process.readiness.snapshot().version(),
        refusal: response.extensions().get::<Refusal>().cloned(),
    });
    response
}
