use super::{
    core::now,
    error::{AttributeError, ClaimError, DeclareError, UnknownSubsystem},
    handle::SubsystemHandle,
    name,
    readiness::Readiness,
    subsystem::Subsystem,
};
use crate::state::{Claim, Phase, State, SubsystemView, TooMany, text};
use std::{fmt, sync::Arc};

impl Readiness {
    /// Claims the subsystem `name`, and returns the reporter for it.
    ///
    /// After the reporter is dropped the subsystem can be claimed again, so that a
    /// restarted task recovers.
    ///
    /// # Errors
    ///
    /// When there is no such subsystem, when another reporter of it is alive, when it
    /// is a [group](crate::Group), or when it was [left ready](Reporter::leave_ready) for good.
    pub fn reporter(&self, name: &str) -> Result<Reporter, ClaimError> {
        let (slot, declaration) = self.registry().report(|writer_state, draft| {
            let (slot, view) = writer_state
                .slots
                .get(name)
                .and_then(|slot| Some((*slot, draft.view(*slot)?)))
                .ok_or_else(|| UnknownSubsystem::new(name, draft.names()))?;
            if view.members().is_some() {
                return Err(ClaimError::Group { name: name.into() });
            }
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
        let handle = SubsystemHandle::new(self.registry(), slot, declaration);
        Ok(Reporter::new(self, handle))
    }

    /// Adds a subsystem while the process runs, and claims it.
    ///
    /// The subsystem is [pending](SubsystemView::is_pending) until it is first up
    /// (ready or degraded), or until [its time for
    /// that](Subsystem::ready_within) is over. A pending subsystem only degrades the
    /// process; afterwards it counts like any other. The startup latch does not wait
    /// for it, and no named scope contains it. [`Reporter::retire`] removes it, and
    /// [`reconfigure`](Self::reconfigure) makes it a member of a scope.
    ///
    /// # Errors
    ///
    /// When its name is invalid or taken, or one of its settings is invalid.
    pub fn add(&self, subsystem: Subsystem) -> Result<Reporter, DeclareError> {
        name::check_declared(&subsystem.name)?;
        Ok(Reporter::new(self, self.add_named(&subsystem)?))
    }

    /// Adds a subsystem whose name has been checked already. Its handle does not
    /// keep the registry open.
    pub(crate) fn add_named(&self, subsystem: &Subsystem) -> Result<SubsystemHandle, DeclareError> {
        subsystem.validate()?;
        let at = now();
        let (slot, declaration) = self.registry().report(|writer_state, draft| {
            let name = &*subsystem.name;
            if writer_state.slots.contains_key(name) || draft.has_scope(name) {
                return Err(DeclareError::Duplicate { name: name.into() });
            }
            let slot = writer_state.take_slot(name.into());
            let view = SubsystemView::declared(subsystem.declare(false, Vec::new()), at)
                .with_claim(Claim::Held);
            let declaration = Arc::clone(view.declaration());
            draft.set(slot, Some(view));
            Ok((slot, declaration))
        })?;
        // Starts after the subsystem is published, so that its timer is set.
        self.registry().start_tasks(slot, subsystem, &declaration);
        Ok(SubsystemHandle::new(self.registry(), slot, declaration))
    }
}

/// Reports the state of one subsystem; see [`Readiness::reporter`].
///
/// Every setter is synchronous, may be called from any thread and needs no
/// runtime. When it returns, every later request and probe sees the new state
/// or a newer one (unless it is [held down](Subsystem::hold_down)). The latest
/// report wins. Repeating the same state and reason only counts as a heartbeat:
/// it takes no lock, so report as often as you like.
///
/// Reasons are cut to 1 KiB; an empty reason counts as no reason. [`report`](Self::report)
/// reports a state together with attributes.
///
/// **Dropping a reporter is a report**, so a task that panicked or was cancelled
/// cannot leave its subsystem ready:
///
/// - The report is `failing("reporter dropped")`. After a ready report, the reason
///   adds `was ready; keep the reporter, or call leave_ready()`; after a failure,
///   it adds the reason of that failure.
/// - The report is `dead` if the subsystem is [vital](crate::Subsystem::vital) or
///   its last report was `dead`.
/// - While the process drains, dropping a reporter reports nothing, since tasks
///   then end in any order.
///
/// Call [`retire`](Self::retire) or [`leave_ready`](Self::leave_ready) to end a
/// reporter on purpose. A reporter is not `Clone`, since the drop of one clone would
/// be ambiguous; share it in an [`Arc`](std::sync::Arc).
///
/// A [detached](Self::detached) reporter has no subsystem, and its reports go nowhere.
#[must_use = "dropping a reporter reports that its subsystem fails"]
pub struct Reporter(Option<Claimed>);

/// The subsystem of a reporter, whose drop is a report.
struct Claimed {
    readiness: Readiness,
    handle: SubsystemHandle,
}

impl Reporter {
    pub(super) fn new(readiness: &Readiness, handle: SubsystemHandle) -> Self {
        readiness.registry().background().start();
        Self(Some(Claimed {
            readiness: readiness.clone(),
            handle: handle.waiting_for_log(true),
        }))
    }

    /// Returns a reporter without a subsystem, whose reports go nowhere: for a
    /// library that reports, in a program without a registry.
    ///
    /// Each method returns at once and has no effect, as does the drop. An
    /// attribute needs a valid key nevertheless, so that a library finds the mistake
    /// without a registry. See the
    /// [guide](crate::guide::reporting_from_a_library).
    ///
    /// ```
    /// use tower_readiness::Reporter;
    ///
    /// let reporter = Reporter::detached();
    /// reporter.failing("no route to host");
    /// drop(reporter); // no report either
    /// ```
    pub const fn detached() -> Self {
        Self(None)
    }

    pub(super) fn handle(&self) -> Option<&SubsystemHandle> {
        self.0.as_ref().map(|claimed| &claimed.handle)
    }

    fn set(&self, state: State, reason: &str) {
        if let Some(handle) = self.handle() {
            handle.report(state, reason);
        }
    }

    /// Reports that the subsystem starts or recovers; `detail` describes how far
    /// it has got.
    ///
    /// Counts as failing if the subsystem has been up before.
    pub fn starting(&self, detail: impl AsRef<str>) {
        self.set(State::Starting, detail.as_ref());
    }

    /// Reports [`starting`](Self::starting), and that the subsystem is not stuck.
    /// Call it at each step, with the same `detail` or another.
    ///
    /// A service manager can be configured to give a process that makes progress
    /// more time to start. The call counts as progress only if the start waits for
    /// this subsystem: it is required and has not been up yet.
    pub fn progress(&self, detail: impl AsRef<str>) {
        if let Some(Claimed { readiness, handle }) = &self.0 {
            let awaited = handle.read(|view| view.effect_on_process().absent > 0);
            if awaited == Some(true) {
                readiness.registry().made_progress();
            }
        }
        self.starting(detail);
    }

    /// Reports that the subsystem works.
    pub fn ready(&self) {
        self.set(State::Ready, "");
    }

    /// Reports that the subsystem works, but worse than it should.
    pub fn degraded(&self, reason: impl AsRef<str>) {
        self.set(State::Degraded, reason.as_ref());
    }

    /// Reports that the subsystem does not work at the moment.
    pub fn failing(&self, reason: impl AsRef<str>) {
        self.set(State::Failing, reason.as_ref());
    }

    /// Reports that the subsystem does not work and will not recover by itself.
    /// If it is [vital](crate::Subsystem::vital), liveness becomes red.
    pub fn dead(&self, reason: impl AsRef<str>) {
        self.set(State::Dead, reason.as_ref());
    }

    /// Confirms that the last report still holds, for a subsystem with a
    /// [ttl](Subsystem::ttl).
    ///
    /// A heartbeat only increments a counter, without a lock, an allocation or a
    /// clock, so call it as often as you like. It has no effect on a
    /// subsystem without a ttl, or before the first report. The timer reads the
    /// counter four times in a ttl; if the subsystem was stale, its last report
    /// then holds again.
    #[inline]
    pub fn heartbeat(&self) {
        if let Some(claimed) = &self.0 {
            claimed.handle.beat();
        }
    }

    /// Shows `value` (a version, a row count, an address) beside the state until
    /// the attribute is set again or [removed](Self::remove_attribute). Values are
    /// cut to 1 KiB.
    ///
    /// # Errors
    ///
    /// When `key` is not 1 to 128 of `A-Z a-z 0-9 . _ - : [ ]`, or the subsystem
    /// has 32 other attributes. The attributes are unchanged then.
    pub fn attribute(
        &self,
        key: impl AsRef<str>,
        value: impl AsRef<str>,
    ) -> Result<(), AttributeError> {
        let (key, value) = (key.as_ref(), value.as_ref());
        name::check_key(key)?;
        let value = text::cut(value, text::MAX_BYTES);
        let set = self.0.as_ref().and_then(|claimed| {
            claimed
                .handle
                .change(|view| match view.with_attribute(key, value) {
                    Ok(view) => (Ok(()), view),
                    Err(TooMany) => {
                        let key = key.to_owned();
                        (Err(AttributeError::TooMany { key }), None)
                    }
                })
        });
        // A retired subsystem has no attributes.
        set.unwrap_or(Ok(()))
    }

    /// Removes an attribute, if it is set.
    pub fn remove_attribute(&self, key: impl AsRef<str>) {
        let key = key.as_ref();
        if let Some(claimed) = &self.0 {
            claimed
                .handle
                .change(|view| ((), view.without_attribute(key)));
        }
    }

    /// Removes the subsystem from the verdicts and from every output, and ends its
    /// check. This call may drop the future of a run, so hold no lock that
    /// its destructors take.
    ///
    /// Retiring the last required subsystem leaves the process ready, since the
    /// call is explicit. It does not stop the process.
    pub fn retire(mut self) {
        let Some(Claimed { readiness, handle }) = self.0.take() else {
            return;
        };
        let (registry, declaration) = (readiness.registry(), handle.declaration());
        registry.report(|writer_state, draft| {
            let view = draft.view(handle.slot());
            // A reconfiguration may have removed it, and another may have its slot.
            if view.is_some_and(|view| Arc::ptr_eq(view.declaration(), declaration)) {
                writer_state.give_back(&declaration.name);
                draft.set(handle.slot(), None);
            }
        });
        registry.end_check(declaration);
    }

    /// Reports ready for good, for a subsystem that cannot fail once it is ready.
    /// It cannot be claimed again.
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
        if let Some(Claimed { handle, .. }) = self.0.take() {
            handle.meters().last_report.set_now();
            handle.beat();
            handle.change(|view| ((), Some(view.leave_ready(now()))));
        }
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        if let Some(handle) = self.handle() {
            handle.change_in(|view, phase| {
                let draining = phase >= Phase::Draining;
                ((), Some(view.drop_reporter(draining, now())))
            });
        }
    }
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(claimed) => {
                let view = claimed.handle.read(SubsystemView::clone);
                f.debug_tuple("Reporter").field(&view).finish()
            }
            None => f.write_str("Reporter(detached)"),
        }
    }
}
