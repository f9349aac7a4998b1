use super::ears::Ears;
use std::{future::Future, pin::Pin};
use tokio::time::Duration;

pub(super) type Trigger = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a [`Shutdown`](super::Shutdown) goes by.
pub(super) struct Plan {
    pub(super) delay: Duration,
    /// At least `delay`.
    pub(super) up_to: Duration,
    pub(super) trigger: Option<Trigger>,
    pub(super) ears: Ears,
}
