use super::{
    core::now,
    error::{AddError, AttributeError, ClaimError, NameError},
    name,
    readiness::Readiness,
    subsystem::Subsystem,
};
use crate::state::{Claim, Phase, Slot, State, SubsystemView, text};
use std::fmt;

/// How many attributes one subsystem holds.
const MAX_ATTRIBUTES: usize = 32;

impl Readiness {
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
    /// latch never waits for it, and it is a member of no named scope, whatever
    /// its name. It leaves by [`Reporter::retire`].
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
}

/// Speaks for one subsystem; see [`Readiness::reporter`].
///
/// Every setter is synchronous, may be called from any thread and needs no
/// runtime. When it returns, every later request and probe sees the new state
/// or a newer one. The latest report wins. Repeating the same state and reason
/// publishes nothing and takes no lock, so report as often as you like.
///
/// Reasons are kept to 1 KiB; an empty one counts as none.
///
/// **Dropping a reporter is a report**: of `failing("reporter dropped")`, or
/// of `dead` where the subsystem is [vital](crate::Subsystem::vital) or had
/// said so itself; a reason that was given before is kept behind it. So a task
/// that panicked or was cancelled cannot leave green behind. (While the process
/// drains it says nothing, for tasks end in any order then.) To end on purpose,
/// [`retire`](Self::retire) or [`leave_ready`](Self::leave_ready).
///
/// Purposefully not `Clone`, or nobody would know whose drop counts. Share it
/// in an [`Arc`](std::sync::Arc).
#[must_use = "dropping a reporter reports that its subsystem fails"]
pub struct Reporter {
    readiness: Readiness,
    slot: Slot,
    parting: Parting,
}

/// What is left to say when the reporter goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Parting {
    Report,
    Nothing,
}

impl Reporter {
    pub(crate) fn new(readiness: Readiness, slot: Slot) -> Self {
        Self {
            readiness,
            slot,
            parting: Parting::Report,
        }
    }

    /// The subsystem comes up, or comes back: `detail` says how far it is.
    ///
    /// Counts as failing if it has been up before.
    pub fn starting(&self, detail: impl AsRef<str>) {
        self.report(State::Starting, detail.as_ref());
    }

    /// The subsystem does its part.
    pub fn ready(&self) {
        self.report(State::Ready, "");
    }

    /// The subsystem does its part, but worse than it should.
    pub fn degraded(&self, reason: impl AsRef<str>) {
        self.report(State::Degraded, reason.as_ref());
    }

    /// The subsystem cannot do its part at the moment.
    pub fn failing(&self, reason: impl AsRef<str>) {
        self.report(State::Failing, reason.as_ref());
    }

    /// The subsystem cannot do its part and will not recover by itself. For a
    /// [vital](crate::Subsystem::vital) one this makes liveness red.
    pub fn dead(&self, reason: impl AsRef<str>) {
        self.report(State::Dead, reason.as_ref());
    }

    /// Shows `value` beside the state until it is set anew or
    /// [removed](Self::remove_attribute): a version, a row count, an address.
    /// Values are kept to 1 KiB.
    ///
    /// # Errors
    ///
    /// When `key` is not 1 to 128 of `A-Z a-z 0-9 . _ -`, or the subsystem
    /// has 32 other attributes. Nothing is changed then.
    pub fn attribute(
        &self,
        key: impl AsRef<str>,
        value: impl AsRef<str>,
    ) -> Result<(), AttributeError> {
        let key = key.as_ref();
        let value = text::cut(value.as_ref(), text::MAX_BYTES);
        match name::check(key) {
            Ok(()) | Err(NameError::Reserved) => {}
            Err(error) => return Err(error.into()),
        }
        self.change(|view| match view.attribute(key) {
            Some(present) if present == value => (Ok(()), None),
            None if view.attribute_count() >= MAX_ATTRIBUTES => {
                (Err(AttributeError::TooMany), None)
            }
            _ => (Ok(()), Some(view.with_attribute(key, Some(value)))),
        })
        .unwrap_or(Ok(()))
    }

    /// Removes an attribute; one that is not set is no error.
    pub fn remove_attribute(&self, key: impl AsRef<str>) {
        let key = key.as_ref();
        self.change(|view| {
            let present = view.attribute(key).is_some();
            ((), present.then(|| view.with_attribute(key, None)))
        });
    }

    /// Removes the subsystem: it no longer counts, nor shows.
    ///
    /// Retiring the last required one leaves the process ready, for it was
    /// said. It never means that the process stops.
    pub fn retire(mut self) {
        self.parting = Parting::Nothing;
        self.readiness.core().update(|desk, draft| {
            if let Some(view) = draft.view(self.slot) {
                desk.give_back(view.name());
                draft.set(self.slot, None);
            }
        });
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
        self.parting = Parting::Nothing;
        self.change(|view| {
            let left = view
                .report(State::Ready, None, now())
                .with_claim(Claim::LeftReady);
            ((), Some(left))
        });
    }

    fn report(&self, state: State, reason: &str) {
        let reason = Some(text::cut(reason, text::MAX_BYTES)).filter(|reason| !reason.is_empty());
        let repeats = self.readiness.core().look(|data| {
            let view = data.views.get(self.slot);
            view.is_some_and(|view| view.says(state, reason))
        });
        if repeats {
            return;
        }
        self.change(|view| {
            let new = !view.says(state, reason);
            ((), new.then(|| view.report(state, reason, now())))
        });
    }

    /// Lets `change` set the next view, unless it gives none. The subsystem is
    /// there as long as its reporter is; were it not, nothing would happen.
    fn change<R>(
        &self,
        change: impl FnOnce(&SubsystemView) -> (R, Option<SubsystemView>),
    ) -> Option<R> {
        self.readiness.core().update(|_, draft| {
            let (result, view) = change(draft.view(self.slot)?);
            if view.is_some() {
                draft.set(self.slot, view);
            }
            Some(result)
        })
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        if self.parting == Parting::Nothing {
            return;
        }
        self.readiness.core().update(|_, draft| {
            let draining = draft.phase() >= Phase::Draining;
            if let Some(view) = draft.view(self.slot) {
                let dropped = view.drop_reporter(draining, now());
                draft.set(self.slot, Some(dropped));
            }
        });
    }
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let snapshot = self.readiness.snapshot();
        f.debug_tuple("Reporter")
            .field(&snapshot.0.views.get(self.slot))
            .finish()
    }
}
