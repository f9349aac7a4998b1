//! The layer among axum, hyper, tonic and the layers of tower-http.

mod axum;
mod hyper;
mod shutdown;
#[path = "../support/mod.rs"]
mod support;
mod tonic;
mod tower_http;
