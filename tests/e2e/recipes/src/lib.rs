//! The recipes of the guide page about metrics.

#[path = "../../../../src/guide/metrics/facade.rs"]
pub mod facade;
#[path = "../../../../src/guide/metrics/opentelemetry.rs"]
pub mod opentelemetry;
