//! What operators see of a process over time.

#[cfg(feature = "events")]
pub mod events;
#[cfg(feature = "metrics")]
pub mod metrics;
#[cfg(feature = "page")]
pub(crate) mod page;
