use super::{core::Registry, error::RegistryClosed, readiness::Readiness};
use crate::state::Snapshot;
use std::sync::Arc;
use tokio::task::consume_budget;

impl Readiness {
    /// Returns a subscription to the snapshots of this registry.
    pub fn subscribe(&self) -> Subscription {
        Subscription::new(Arc::clone(self.registry()))
    }
}

/// Waits for new snapshots; see [`Readiness::subscribe`].
///
/// A subscription is level-triggered: it returns the newest snapshot. A slow
/// subscriber skips older snapshots but never misses the last one, and it cannot
/// delay a reporter.
///
/// A report wakes up to 256 waiting tasks itself and leaves the rest to a thread
/// of the crate, so many subscribers do not delay it. A waker that panics does not
/// affect the report. A waker that blocks delays it; the wakers of executors never
/// block, and a custom waker must not.
///
/// A subscription does not keep the registry alive.
///
/// ```
/// # use tower_readiness::{Readiness, Subsystem};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let readiness = Readiness::builder().subsystem(Subsystem::new("storage")).build()?;
/// let mut subscription = readiness.subscribe();
/// # let mirror = async move {
/// while let Ok(snapshot) = subscription.changed().await {
///     println!("{}: {}", snapshot.version(), snapshot.verdict().condition());
/// }
/// # };
/// # drop(readiness);
/// # mirror.await;
/// # Ok(())
/// # }
/// ```
#[must_use = "a subscription does nothing until `changed` is called"]
pub struct Subscription {
    registry: Arc<Registry>,
    seen: u64,
}

impl Subscription {
    pub(crate) fn new(registry: Arc<Registry>) -> Self {
        Self { registry, seen: 0 }
    }

    /// Waits for a snapshot newer than the last one that this subscription
    /// returned, and returns it. The first call returns the current snapshot at
    /// once.
    ///
    /// Cancel safe: a snapshot counts as seen only when it is returned.
    ///
    /// # Errors
    ///
    /// When the registry is closed and its last snapshot has been returned.
    pub async fn changed(&mut self) -> Result<Snapshot, RegistryClosed> {
        let Self { registry, seen } = self;
        registry.background().start();
        registry
            .wait_for(|data| (data.version > *seen).then_some(()))
            .await?;
        // Otherwise a loop over a registry that changes all the time would never
        // yield its thread.
        consume_budget().await;
        // This may be newer than the snapshot just found, but never older.
        let snapshot = registry.load();
        *seen = snapshot.version();
        Ok(snapshot)
    }
}

crate::debug::fields!(Subscription, |this| {
    seen: this.seen,
});
