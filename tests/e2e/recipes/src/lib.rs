//! The recipes of the guide for libraries that the crate itself does not need.

#[path = "../../../../src/guide/metrics/facade.rs"]
pub mod facade;
#[path = "../../../../src/guide/metrics/opentelemetry.rs"]
pub mod opentelemetry;
#[path = "../../../../src/guide/graceful_shutdown/websocket.rs"]
pub mod websocket;

/// The route of the websocket.
pub fn route() -> axum::routing::MethodRouter {
    axum::routing::get(websocket::chat)
}
