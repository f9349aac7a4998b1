use super::{
    core::Registry,
    error::{RegistryClosed, WaitError},
};
use crate::state::{Phase, Reason, ScopeId, Snapshot, SnapshotBuilder, Transition, Verdict};
use std::{fmt, sync::Arc};
use tokio::time::Instant;

/// A handle on the registry of the subsystems of this process.
///
/// Cheap to clone; every clone refers to the same registry. All methods but the
/// `async` ones can be called from any thread, without a runtime.
///
/// The registry closes with the last handle on it, such as a `Readiness`, a reporter or a
/// layer. The drop of that handle ends the checks, and may drop the futures of their runs, so
/// hold no lock then that their destructors take.
///
/// ```
/// use tower_readiness::{Readiness, Subsystem};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let readiness = Readiness::builder()
///     .subsystem(Subsystem::new("storage"))
///     .subsystem(Subsystem::new("index").optional())
///     .scope("search", ["index"])
///     .build()?;
///
/// let storage = readiness.reporter("storage")?;
/// tokio::spawn(async move {
///     // … open it …
///     storage.ready();
///     // … and keep the reporter for as long as the storage is used.
///     std::future::pending::<()>().await;
///     drop(storage);
/// });
///
/// readiness.wait_ready().await?;
/// assert!(!readiness.scope("search")?.verdict().is_ready());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Readiness(Arc<Handle>);

/// Closes the registry when the last handle that could write is dropped. A
/// subscription only has the [`Registry`], so it does not delay this.
struct Handle(Arc<Registry>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Readiness {
    pub(crate) fn new(registry: Arc<Registry>) -> Self {
        Self(Arc::new(Handle(registry)))
    }

    pub(crate) fn registry(&self) -> &Arc<Registry> {
        &self.0.0
    }

    // === lifecycle ===

    /// Begins to drain: readiness is red at once and for good, despite later reports,
    /// while traffic is still served. Call it as soon as the
    /// process knows that it will stop, since load balancers notice late.
    ///
    /// Has no effect if the process drains already.
    pub fn drain(&self) {
        self.advance(Phase::Draining);
    }

    /// Moves the process on to `phase`, for an application that shuts its server
    /// down itself: [`Draining`](Phase::Draining), then
    /// [`Closing`](Phase::Closing) when the server stops accepting connections,
    /// then [`Closed`](Phase::Closed) when the gates shall refuse every request.
    ///
    /// Phases never go back: a call with the current or an earlier phase has no
    /// effect. Nor has a call with [`Started`](Phase::Started), which only the
    /// subsystems bring about.
    pub fn advance(&self, phase: Phase) {
        if phase >= Phase::Draining {
            let registry = self.registry();
            registry.report(|_, draft| registry.set_phase(draft, phase));
        }
    }

    // === reading ===

    /// Returns the newest snapshot.
    pub fn snapshot(&self) -> Snapshot {
        self.registry().publish_overdue();
        self.registry().load()
    }

    /// Returns the last transitions, the oldest first: of the states of subsystems, of
    /// the conditions of the process and its scopes, of the phase, and of pauses. By
    /// default the last 256; see [`Builder::history`](crate::Builder::history).
    ///
    /// The history has each transition that was published, also those between two
    /// snapshots that a reader has loaded. A report that changes only the reason is no
    /// transition.
    pub fn history(&self) -> Vec<Transition> {
        self.registry().publish_overdue();
        self.registry()
            .read(|data| data.history.iter().cloned().collect())
    }

    /// Returns the newest verdict on the process.
    pub fn verdict(&self) -> Verdict {
        self.registry().publish_overdue();
        self.registry().read(|data| data.verdict(ScopeId::Process))
    }

    /// Returns how many requests the layers of this registry have refused for
    /// `reason` so far. (A layer has its own
    /// [counts](crate::ReadinessLayer::counts), and so has a
    /// [scope](crate::Scope::refused).)
    pub fn refused(&self, reason: Reason) -> u64 {
        self.registry().traffic().gates.refused(None, reason)
    }

    /// Returns how many requests the layers of this registry would have refused
    /// for `reason` so far without their [dry
    /// run](crate::ReadinessLayer::dry_run).
    pub fn dry_run_refused(&self, reason: Reason) -> u64 {
        let traffic = self.registry().traffic();
        traffic.dry_run_gates.refused(None, reason)
    }

    /// Waits until the process is ready. Returns at once if it is.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// When the process drains, since it will not become ready again.
    pub async fn wait_ready(&self) -> Result<(), WaitError> {
        self.wait_ready_in(ScopeId::Process).await
    }

    pub(crate) async fn wait_ready_in(&self, scope: ScopeId) -> Result<(), WaitError> {
        self.registry().publish_overdue();
        let ready = self.registry().wait_for(|data| {
            if data.phase >= Phase::Draining {
                return Some(Err(WaitError::Draining));
            }
            data.verdict(scope).is_ready().then_some(Ok(()))
        });
        match ready.await {
            Ok(ready) => ready,
            // The registry closes with its last handle, and `self` is a handle.
            Err(RegistryClosed {}) => std::future::pending().await,
        }
    }

    /// Completes once the process drains, so that the handler of a long stream can
    /// end it in time. The future keeps the registry alive.
    ///
    /// Cancel safe.
    pub fn draining(&self) -> impl Future<Output = ()> + Send + Sync + 'static + use<> {
        self.reached(Phase::Draining)
    }

    /// Completes once the process is in `phase` or a later one.
    pub(crate) fn reached(
        &self,
        phase: Phase,
    ) -> impl Future<Output = ()> + Send + Sync + 'static + use<> {
        let readiness = self.clone();
        async move {
            readiness.registry().background().start();
            // The registry closes with its last handle, and this is one.
            if readiness.registry().wait_for_phase(phase).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

impl Registry {
    /// Moves the process on to `phase`, [`Draining`](Phase::Draining) or a later one.
    /// Never waits for the log: for the tasks that shut the process down.
    pub(crate) fn advance(&self, phase: Phase) {
        self.update(|_, draft| self.set_phase(draft, phase));
    }

    fn set_phase(&self, draft: &mut SnapshotBuilder, phase: Phase) {
        // Before a reader can see that the process drains, or closes.
        self.drain_clock().record(phase, Instant::now());
        draft.advance(phase);
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Readiness").field(&self.snapshot()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Subsystem;
    use tokio_test::{assert_pending, assert_ready, task};

    #[tokio::test]
    async fn a_report_does_not_wake_a_stream_that_waits_for_the_drain() {
        let builder = Readiness::builder().subsystem(Subsystem::new("storage"));
        let readiness = builder.build().unwrap();
        let storage = readiness.reporter("storage").unwrap();
        storage.ready();
        let mut draining = task::spawn(readiness.draining());
        assert_pending!(draining.poll());
        storage.failing("disk");
        storage.ready();
        assert!(!draining.is_woken());
        readiness.drain();
        assert!(draining.is_woken());
        assert_ready!(draining.poll());
    }
}
