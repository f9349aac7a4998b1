use super::{
    builder::Builder,
    core::{Core, now},
    error::{AddError, ClaimError, Ended, UnknownScope, WaitError},
    name,
    pause::PauseGuard,
    reporter::Reporter,
    scope::Scope,
    subscription::Subscription,
    subsystem::Subsystem,
    text,
};
use crate::state::{Claim, Data, Phase, ScopeId, Snapshot, SubsystemView, Verdict};
use std::{fmt, sync::Arc};

/// The readiness of this process: a handle on its registry of subsystems.
///
/// Cheap to clone; every clone is the same registry. Everything but the
/// `async` methods can be called from any thread, without a runtime.
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

/// Shared by everybody who could still write, as opposed to [`Core`], which
/// those who only wait share too.
struct Handle(Arc<Core>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Readiness {
    pub(crate) fn new(core: Core) -> Self {
        Self(Arc::new(Handle(Arc::new(core))))
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.0.0
    }

    /// Begins to declare the subsystems of a process.
    pub fn builder() -> Builder {
        Builder::default()
    }

    // === reporting ===

    /// Claims the subsystem `name`, to report for it.
    ///
    /// # Errors
    ///
    /// When there is no such subsystem, when another reporter of it is alive,
    /// or when it was [left ready](Reporter::leave_ready) for good. After a
    /// drop it can be claimed again, so that a restarted task recovers.
    pub fn reporter(&self, name: &str) -> Result<Reporter, ClaimError> {
        let slot = self.core().update(|desk, draft| {
            let (slot, view) = desk
                .slots
                .get(name)
                .and_then(|slot| Some((*slot, draft.view(*slot)?)))
                .ok_or_else(|| ClaimError::Unknown {
                    name: name::shown(name),
                })?;
            match view.claim() {
                Claim::Unclaimed | Claim::Dropped => {}
                Claim::Held => return Err(ClaimError::Held { name: name.into() }),
                Claim::LeftReady => return Err(ClaimError::LeftReady { name: name.into() }),
            }
            let claimed = view.with_claim(Claim::Held);
            draft.set(slot, Some(claimed));
            Ok(slot)
        })?;
        Ok(Reporter::new(self.clone(), slot))
    }

    /// Adds a subsystem while the process runs, and claims it.
    ///
    /// Until it is first up it is [pending](SubsystemView::is_pending): it
    /// degrades, and nothing more. Then it counts like the rest. The startup
    /// latch never waits for it. It leaves by [`Reporter::retire`].
    ///
    /// # Errors
    ///
    /// When its name cannot be used or is taken.
    pub fn add(&self, subsystem: Subsystem) -> Result<Reporter, AddError> {
        name::check(&subsystem.name).map_err(|source| AddError::Name {
            name: name::shown(&subsystem.name),
            source,
        })?;
        let at = now();
        let slot = self.core().update(|desk, draft| {
            let name = &*subsystem.name;
            if desk.slots.contains_key(name) || draft.has_scope(name) {
                return Err(AddError::Duplicate { name: name.into() });
            }
            let slot = desk.take_slot(name.into());
            let view = SubsystemView::declared(subsystem.declare(false, Vec::new()), at)
                .with_claim(Claim::Held);
            draft.set(slot, Some(view));
            Ok(slot)
        })?;
        Ok(Reporter::new(self.clone(), slot))
    }

    /// Makes readiness red until the guard is dropped, while traffic is still
    /// served: for maintenance, a standby replica, blue/green.
    ///
    /// Pauses may overlap; the process is paused while any guard is alive.
    /// The reason is kept to 1 KiB.
    pub fn pause(&self, reason: impl AsRef<str>) -> PauseGuard {
        let reason: Arc<str> = text::cut(reason.as_ref(), text::MAX_BYTES).into();
        let id = self.core().update(|desk, draft| {
            desk.pauses_so_far += 1;
            desk.pauses.push((desk.pauses_so_far, Arc::clone(&reason)));
            draft.set_pause(Some(reason));
            desk.pauses_so_far
        });
        PauseGuard::new(self.clone(), id)
    }

    // === lifecycle ===

    /// Begins to drain: readiness is red at once and for good, whatever is
    /// reported later, while traffic is still served. Call it as soon as the
    /// process knows that it will stop; load balancers learn of it late.
    ///
    /// Does nothing if the process drains already.
    pub fn drain(&self) {
        self.advance(Phase::Draining);
    }

    /// Moves the process on to `phase`, for whoever drives the shutdown of
    /// their server themselves: [`Draining`](Phase::Draining), then
    /// [`Closing`](Phase::Closing) when the server stops to accept, then
    /// [`Closed`](Phase::Closed) when whatever still arrives shall be refused.
    ///
    /// Phases never go back: one that is not later than the present one
    /// changes nothing. [`Started`](Phase::Started) is what the subsystems
    /// say, never the caller; asking for it changes nothing either.
    pub fn advance(&self, phase: Phase) {
        if phase >= Phase::Draining {
            self.core().update(|_, draft| draft.advance(phase));
        }
    }

    // === reading ===

    /// The newest snapshot.
    pub fn snapshot(&self) -> Snapshot {
        self.core().load()
    }

    /// The newest verdict on the process.
    pub fn verdict(&self) -> Verdict {
        self.core().look(|data| data.verdict(ScopeId::Process))
    }

    /// A handle on the named scope.
    ///
    /// # Errors
    ///
    /// When no scope of this name was declared.
    pub fn scope(&self, name: &str) -> Result<Scope, UnknownScope> {
        self.core()
            .look(|data| data.scope_id(name))
            .map(|id| Scope::new(self.clone(), id))
            .ok_or_else(|| UnknownScope {
                name: name::shown(name),
            })
    }

    /// Follows the snapshots as they are published.
    pub fn subscribe(&self) -> Subscription {
        Subscription::new(Arc::clone(self.core()))
    }

    /// Waits until the process is ready. Returns at once if it is.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// Once the process drains, for it will not become ready again.
    pub async fn wait_ready(&self) -> Result<(), WaitError> {
        self.wait_ready_in(ScopeId::Process).await
    }

    pub(crate) async fn wait_ready_in(&self, scope: ScopeId) -> Result<(), WaitError> {
        self.wait_for(|data| {
            if data.phase >= Phase::Draining {
                return Some(Err(WaitError::Draining));
            }
            data.verdict(scope).is_ready().then_some(Ok(()))
        })
        .await
    }

    /// Completes once the process drains: for the handler of a long stream,
    /// to end it politely. The future keeps the registry alive.
    ///
    /// Cancel safe.
    pub fn draining(&self) -> impl Future<Output = ()> + Send + Sync + 'static + use<> {
        let readiness = self.clone();
        async move {
            readiness
                .wait_for(|data| (data.phase >= Phase::Draining).then_some(()))
                .await;
        }
    }

    async fn wait_for<R>(&self, find: impl FnMut(&Data) -> Option<R>) -> R {
        match self.core().wait_for(find).await {
            Ok(found) => found,
            // It ends when the last handle goes, and this is one.
            Err(Ended {}) => std::future::pending().await,
        }
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Readiness").field(&self.snapshot()).finish()
    }
}
