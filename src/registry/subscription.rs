use super::{core::Registry, error::RegistryClosed, readiness::Readiness};
use crate::state::Snapshot;
use std::{fmt, sync::Arc};
use tokio::task::consume_budget;

impl Readiness {
    /// Follows the snapshots as they are published.
    pub fn subscribe(&self) -> Subscription {
        Subscription::new(Arc::clone(self.registry()))
    }
}

/// Follows the snapshots as they are published; see [`Readiness::subscribe`].
///
/// It is level-triggered: it gives the newest snapshot there is, never one
/// after the other. Whoever is slow skips what has been overtaken, and never
/// misses the last one. A subscriber cannot hold up a reporter.
///
/// A report wakes up to 256 waiting tasks itself and leaves the rest to a thread
/// of the crate's own, so a crowd of subscribers does not hold it up, and a waker
/// that panics is not the report's concern. A waker that blocks is: the wakers of
/// executors do not, and one of your own must not.
///
/// It does not keep the registry alive.
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
#[must_use = "a subscription tells only whoever asks"]
pub struct Subscription {
    registry: Arc<Registry>,
    seen: u64,
}

impl Subscription {
    pub(crate) fn new(registry: Arc<Registry>) -> Self {
        Self { registry, seen: 0 }
    }

    /// Waits for a snapshot newer than the one last given here, and gives it.
    /// The first call gives the present one at once.
    ///
    /// Cancel safe: a snapshot counts as seen only when it is given.
    ///
    /// # Errors
    ///
    /// When the registry is gone and its last snapshot has been given.
    pub async fn changed(&mut self) -> Result<Snapshot, RegistryClosed> {
        let Self { registry, seen } = self;
        registry.background().start();
        registry
            .wait_for(|data| (data.version > *seen).then_some(()))
            .await?;
        // Or a loop over what is published all the time would never let go of
        // its thread.
        consume_budget().await;
        // Newer still, perhaps; never older than what was found.
        let snapshot = registry.load();
        *seen = snapshot.version();
        Ok(snapshot)
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("seen", &self.seen)
            .finish_non_exhaustive()
    }
}
