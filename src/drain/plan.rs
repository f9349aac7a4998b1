use super::ears::Ears;
use crate::{
    registry::Registry,
    traffic::{PlanId, Times},
};
use std::{fmt, future::Future, pin::Pin, sync::Arc};
use tokio::time::Duration;

/// How long a server with nothing in flight has to end, unless a shutdown says
/// otherwise.
pub(super) const IDLE_GRACE: Duration = Duration::from_secs(2);

pub(super) type Trigger = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a [`Shutdown`](super::Shutdown) goes by.
pub(super) struct Plan {
    pub(super) delay: Duration,
    /// At least `delay`.
    pub(super) up_to: Duration,
    pub(super) trigger: Option<Trigger>,
    pub(super) ears: Ears,
    /// Withdrawn with the shutdown.
    pub(super) _announced: Announced,
}

/// What others know of a plan, until this is dropped.
pub(super) struct Announced {
    registry: Arc<Registry>,
    id: PlanId,
}

impl Announced {
    pub(super) fn new(registry: &Arc<Registry>, times: Times) -> Self {
        Self {
            registry: Arc::clone(registry),
            id: registry.traffic().drain_clock.plan(times),
        }
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        self.registry.traffic().drain_clock.withdraw(self.id);
    }
}

impl fmt::Debug for Announced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Announced").field(&self.id).finish()
    }
}
