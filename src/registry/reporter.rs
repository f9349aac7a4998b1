use super::{
    background::TaskId,
    core::now,
    error::{AddError, AttributeError, ClaimError},
    handle::SubsystemHandle,
    name,
    readiness::Readiness,
    subsystem::Subsystem,
};
use crate::state::{Claim, Declaration, Phase, Slot, State, SubsystemView, TooMany, text};
use std::{fmt, sync::Arc};

impl Readiness {
    /// Claims the subsystem `name`, to report for it.
    ///
    /// # Errors
    ///
    /// When there is no such subsystem, when another reporter of it is alive,
    /// or when it was [left ready](Reporter::leave_ready) for good. After a
    /// drop it can be claimed again, so that a restarted task recovers.
    pub fn reporter(&self, name: &str) -> Result<Reporter, ClaimError> {
        let (slot, declaration) = self.registry().report(|writer_state, draft| {
            let (slot, view) = writer_state
                .slots
                .get(name)
                .and_then(|slot| Some((*slot, draft.view(*slot)?)))
                .ok_or_else(|| ClaimError::Unknown {
                    name: name::shown(name),
                    known: name::listed(draft.names()),
                })?;
            match view.claim() {
                Claim::Unclaimed | Claim::Checked | Claim::Dropped => {}
                Claim::Held => return Err(ClaimError::Held { name: name.into() }),
                Claim::LeftReady => return Err(ClaimError::LeftReady { name: name.into() }),
            }
            let claimed = view.with_claim(Claim::Held);
            let declaration = Arc::clone(claimed.declaration());
            draft.set(slot, Some(claimed));
            Ok((slot, declaration))
        })?;
        Ok(Reporter::new(self.clone(), slot, declaration))
    }

    /// Adds a subsystem while the process runs, and claims it.
    ///
    /// Until it is first up, or [its time for that](Subsystem::ready_within) is
    /// over, it is [pending](SubsystemView::is_pending): it degrades, and
    /// nothing more. Then it counts like the rest. The startup latch never
    /// waits for it, and it is a member of no named scope, whatever
    /// its name. It leaves by [`Reporter::retire`].
    ///
    /// # Errors
    ///
    /// When its name cannot be used or is taken, or it was told something that
    /// cannot be.
    pub fn add(&self, subsystem: Subsystem) -> Result<Reporter, AddError> {
        name::check(&subsystem.name).map_err(|source| AddError::Name {
            name: name::shown(&subsystem.name),
            source,
        })?;
        self.add_named(&subsystem)
    }

    /// Adds a subsystem whose name was found to be right.
    pub(crate) fn add_named(&self, subsystem: &Subsystem) -> Result<Reporter, AddError> {
        subsystem.validate().map_err(|source| AddError::Setting {
            name: subsystem.name.clone(),
            source,
        })?;
        let at = now();
        let (slot, declaration) = self.registry().report(|writer_state, draft| {
            let name = &*subsystem.name;
            if writer_state.slots.contains_key(name) || draft.has_scope(name) {
                return Err(AddError::Duplicate { name: name.into() });
            }
            let slot = writer_state.take_slot(name.into());
            let view = SubsystemView::declared(subsystem.declare(false, Vec::new()), at)
                .with_claim(Claim::Held);
            let declaration = Arc::clone(view.declaration());
            draft.set(slot, Some(view));
            Ok((slot, declaration))
        })?;
        // Only now is it listened for. It cannot have left again, for whoever
        // could let it is yet to be made.
        self.registry().start_tasks(slot, subsystem, &declaration);
        Ok(Reporter::new(self.clone(), slot, declaration))
    }
}

/// Speaks for one subsystem; see [`Readiness::reporter`].
///
/// Every setter is synchronous, may be called from any thread and needs no
/// runtime. When it returns, every later request and probe sees the new state
/// or a newer one (unless it is [held down](Subsystem::hold_down)). The latest
/// report wins. Repeating the same state and reason
/// publishes nothing and takes no lock, so report as often as you like.
///
/// Reasons are kept to 1 KiB; an empty one counts as none.
///
/// **Dropping a reporter is a report**: of `failing("reporter dropped")` (one
/// that had reported ready adds `was ready; keep the reporter, or call
/// leave_ready()`), or
/// of `dead` where the subsystem is [vital](crate::Subsystem::vital) or had
/// said so itself; the reason of a failure that was reported before is kept
/// behind it. So a task
/// that panicked or was cancelled cannot leave green behind. (While the process
/// drains it says nothing, for tasks end in any order then.) To end on purpose,
/// [`retire`](Self::retire) or [`leave_ready`](Self::leave_ready).
///
/// Purposefully not `Clone`, or nobody would know whose drop counts. Share it
/// in an [`Arc`](std::sync::Arc).
#[must_use = "dropping a reporter reports that its subsystem fails"]
pub struct Reporter {
    readiness: Readiness,
    handle: SubsystemHandle,
    on_drop: OnDrop,
}

/// What is left to say when the reporter goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OnDrop {
    Report,
    Nothing,
}

impl Reporter {
    pub(crate) fn new(readiness: Readiness, slot: Slot, declaration: Arc<Declaration>) -> Self {
        let registry = readiness.registry();
        registry.background().start();
        Self {
            handle: SubsystemHandle::new(registry, slot, declaration).waiting_for_log(true),
            readiness,
            on_drop: OnDrop::Report,
        }
    }

    /// Speaks on without keeping the registry alive.
    pub(crate) fn into_handle(mut self) -> SubsystemHandle {
        self.on_drop = OnDrop::Nothing;
        self.handle.clone().waiting_for_log(false)
    }

    /// The subsystem comes up, or comes back: `detail` says how far it is.
    ///
    /// Counts as failing if it has been up before.
    pub fn starting(&self, detail: impl AsRef<str>) {
        self.handle.report(State::Starting, detail.as_ref());
    }

    /// The subsystem comes up and has got further: [`starting`](Self::starting)
    /// with a promise that it is not stuck. Say it again, with the same
    /// `detail` or another, at each step.
    ///
    /// A service manager may give a process that makes progress more time to
    /// start, if it was told to. It counts only where the start waits for this
    /// subsystem, that is a required one that has not been up.
    pub fn progress(&self, detail: impl AsRef<str>) {
        let awaited = self.handle.read(|view| view.effect_on_process().absent > 0);
        if awaited == Some(true) {
            self.readiness.registry().made_progress();
        }
        self.starting(detail);
    }

    /// The subsystem does its part.
    pub fn ready(&self) {
        self.handle.report(State::Ready, "");
    }

    /// The subsystem does its part, but worse than it should.
    pub fn degraded(&self, reason: impl AsRef<str>) {
        self.handle.report(State::Degraded, reason.as_ref());
    }

    /// The subsystem cannot do its part at the moment.
    pub fn failing(&self, reason: impl AsRef<str>) {
        self.handle.report(State::Failing, reason.as_ref());
    }

    /// The subsystem cannot do its part and will not recover by itself. For a
    /// [vital](crate::Subsystem::vital) one this makes liveness red.
    pub fn dead(&self, reason: impl AsRef<str>) {
        self.handle.report(State::Dead, reason.as_ref());
    }

    /// A sign of life, for a subsystem whose silence [counts](Subsystem::ttl):
    /// whatever was reported last still holds.
    ///
    /// It takes no lock, allocates and publishes nothing and reads no clock, so
    /// beat as often as you like. Where silence does not count it does nothing,
    /// nor before the first report. After a silence that was too long, it is
    /// seen within a quarter of the ttl, and the last report holds again.
    #[inline]
    pub fn heartbeat(&self) {
        self.handle.beat();
    }

    /// Shows `value` beside the state until it is set anew or
    /// [removed](Self::remove_attribute): a version, a row count, an address.
    /// Values are kept to 1 KiB.
    ///
    /// # Errors
    ///
    /// When `key` is not 1 to 128 of `A-Z a-z 0-9 . _ - : [ ]`, or the subsystem
    /// has 32 other attributes. Nothing is changed then.
    pub fn attribute(
        &self,
        key: impl AsRef<str>,
        value: impl AsRef<str>,
    ) -> Result<(), AttributeError> {
        let (key, value) = (key.as_ref(), value.as_ref());
        name::check_key(key)?;
        let value = text::cut(value, text::MAX_BYTES);
        let set = self
            .handle
            .change(|view| match view.with_attribute(key, value) {
                Ok(view) => (Ok(()), view),
                Err(TooMany) => (Err(AttributeError::TooMany), None),
            });
        set.unwrap_or(Ok(()))
    }

    /// Removes an attribute; one that is not set is no error.
    pub fn remove_attribute(&self, key: impl AsRef<str>) {
        let key = key.as_ref();
        self.handle.change(|view| ((), view.without_attribute(key)));
    }

    /// Removes the subsystem: it no longer counts, nor shows.
    ///
    /// Retiring the last required one leaves the process ready, for it was
    /// said. It never means that the process stops.
    pub fn retire(mut self) {
        self.on_drop = OnDrop::Nothing;
        let registry = self.readiness.registry();
        let check = registry.report(|writer_state, draft| {
            let slot = self.handle.slot();
            if let Some(view) = draft.view(slot) {
                writer_state.give_back(view.name());
                draft.set(slot, None);
            }
            // Under the lock, before the slot is anybody else's.
            registry.background().take(TaskId::Check(slot))
        });
        if let Some(check) = check {
            check.end();
        }
    }

    /// Reports ready and lets go for good: for what, once up, cannot fail.
    /// The subsystem cannot be claimed again.
    ///
    /// ```
    /// # use tower_readiness::{Readiness, Subsystem};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let readiness = Readiness::builder().subsystem(Subsystem::new("listener")).build()?;
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    /// readiness.reporter("listener")?.leave_ready();
    /// # assert!(readiness.verdict().is_ready());
    /// # Ok(())
    /// # }
    /// ```
    pub fn leave_ready(mut self) {
        self.on_drop = OnDrop::Nothing;
        self.handle.beat();
        self.handle
            .change(|view| ((), Some(view.leave_ready(now()))));
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        if self.on_drop == OnDrop::Nothing {
            return;
        }
        self.readiness.registry().report(|_, draft| {
            let draining = draft.phase() >= Phase::Draining;
            let slot = self.handle.slot();
            if let Some(view) = draft.view(slot) {
                let dropped = view.drop_reporter(draining, now());
                draft.set(slot, Some(dropped));
            }
        });
    }
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let view = self.handle.read(SubsystemView::clone);
        f.debug_tuple("Reporter").field(&view).finish()
    }
}
