use super::listener::SignalListener;
use crate::{
    registry::Registry,
    traffic::{PlanId, Times},
};
use std::{fmt, future::Future, pin::Pin, sync::Arc};
use tokio::time::Duration;

/// The default time in which a server with nothing in flight has to end.
pub(super) const IDLE_GRACE: Duration = Duration::from_secs(2);

pub(super) type Trigger = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The settings of one [`Shutdown`](super::Shutdown).
pub(super) struct Plan {
    pub(super) delay: Duration,
    /// At least `delay`.
    pub(super) up_to: Duration,
    pub(super) trigger: Option<Trigger>,
    pub(super) listener: SignalListener,
    /// Withdraws the plan when the shutdown is dropped.
    pub(super) _registered: RegisteredPlan,
}

/// Guard: the drain clock counts with these times until it is dropped.
pub(super) struct RegisteredPlan {
    registry: Arc<Registry>,
    id: PlanId,
}

impl RegisteredPlan {
    pub(super) fn new(registry: &Arc<Registry>, times: Times) -> Self {
        Self {
            registry: Arc::clone(registry),
            id: registry.traffic().drain_clock.plan(times),
        }
    }
}

impl Drop for RegisteredPlan {
    fn drop(&mut self) {
        self.registry.traffic().drain_clock.withdraw(self.id);
    }
}

impl fmt::Debug for RegisteredPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RegisteredPlan").field(&self.id).finish()
    }
}
