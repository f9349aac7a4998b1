#[cfg(any(feature = "check", feature = "test-util"))]
use super::error::UnknownSubsystem;
use super::{
    core::{Registry, now},
    meters::Meters,
    timer::{Heartbeat, Witness},
};
use crate::state::{Declaration, Phase, Slot, State, SubsystemMeters, SubsystemView, text};
use std::sync::Arc;

/// Writes the reports of a reporter or a check. It does not keep the registry open.
#[derive(Clone)]
pub(crate) struct SubsystemHandle {
    registry: Arc<Registry>,
    slot: Slot,
    /// Identifies the subsystem, since another may take its slot later.
    declaration: Arc<Declaration>,
    /// `None` without a ttl.
    heartbeat: Option<Arc<Heartbeat>>,
    /// Whether a report waits until its lines are in the log, as an application's
    /// does.
    waits_for_log: bool,
}

#[cfg(any(feature = "check", feature = "test-util"))]
impl super::Readiness {
    /// The handle of the subsystem `name`, claimed or not.
    pub(crate) fn subsystem_handle(&self, name: &str) -> Result<SubsystemHandle, UnknownSubsystem> {
        let (slot, declaration) = self.registry().update(|writer_state, draft| {
            let slot = writer_state.slots.get(name).copied();
            let found = slot.and_then(|slot| Some((slot, draft.view(slot)?)));
            match found {
                Some((slot, view)) => Ok((slot, Arc::clone(view.declaration()))),
                None => Err(UnknownSubsystem::new(name, draft.names())),
            }
        })?;
        // The thread that has published the subsystem may not have come to this yet, and the
        // handle gets its heartbeat from the timer.
        self.registry().update_timer(slot);
        let handle = SubsystemHandle::new(self.registry(), slot, declaration);
        Ok(handle.waiting_for_log(true))
    }
}

impl SubsystemHandle {
    pub(super) fn new(registry: &Arc<Registry>, slot: Slot, declaration: Arc<Declaration>) -> Self {
        Self {
            heartbeat: registry.timer.heartbeat_of(slot, &declaration),
            registry: Arc::clone(registry),
            slot,
            declaration,
            waits_for_log: false,
        }
    }

    pub(super) fn waiting_for_log(self, waits_for_log: bool) -> Self {
        Self {
            waits_for_log,
            ..self
        }
    }

    pub(super) fn slot(&self) -> Slot {
        self.slot
    }

    pub(super) fn declaration(&self) -> &Arc<Declaration> {
        &self.declaration
    }

    /// Calls `read` with the newest view. `None` if the subsystem has retired.
    pub(crate) fn read<R>(&self, read: impl FnOnce(&SubsystemView) -> R) -> Option<R> {
        self.registry.read(|data| {
            let view = data.views.get(self.slot)?;
            Arc::ptr_eq(view.declaration(), &self.declaration).then(|| read(view))
        })
    }

    /// Waits until the registry runs fewer checks than it may run at once.
    #[cfg(feature = "check")]
    pub(crate) async fn check_permit(&self) -> Option<tokio::sync::SemaphorePermit<'_>> {
        self.registry.checks_at_once.acquire().await.ok()
    }

    /// Whether heartbeats are counted.
    #[cfg(all(test, feature = "check", not(tower_readiness_loom)))]
    pub(super) fn has_heartbeat(&self) -> bool {
        self.heartbeat.is_some()
    }

    /// The counters and times of the subsystem that metrics alone show.
    pub(crate) fn meters(&self) -> &SubsystemMeters {
        &self.declaration.meters
    }

    /// The counters and times of the registry that metrics alone show.
    pub(crate) fn registry_meters(&self) -> &Meters {
        self.registry.meters()
    }

    /// Counts a heartbeat.
    #[inline]
    pub(crate) fn beat(&self) {
        if let Some(heartbeat) = &self.heartbeat {
            heartbeat.beat();
        }
    }

    /// Sets the witness: while its value changes, a missing heartbeat makes the
    /// subsystem late and not stale.
    pub(crate) fn set_witness(&self, witness: Witness) {
        let timer = &self.registry.timer;
        timer.set_witness(self.slot, &self.declaration, witness);
    }

    /// Returns a function that counts the requests in flight and does not keep the
    /// registry alive.
    pub(crate) fn in_flight(&self) -> impl Fn() -> usize + Send + Sync + use<> {
        let registry = Arc::downgrade(&self.registry);
        move || {
            registry
                .upgrade()
                .map_or(0, |registry| registry.traffic().flights.entered())
        }
    }

    /// Counts a report, and its heartbeat, and returns whether the report repeats the
    /// newest view, by `is_repeat`.
    pub(crate) fn repeats(&self, is_repeat: impl FnOnce(&SubsystemView) -> bool) -> bool {
        self.declaration.meters.last_report.set_now();
        if let Some(heartbeat) = &self.heartbeat {
            heartbeat.beat_before_reading();
        }
        self.read(is_repeat).unwrap_or(false)
    }

    /// Starts the idle background tasks.
    pub(crate) fn start_background(&self) {
        self.registry.background().start();
    }

    pub(crate) fn report(&self, state: State, reason: &str) {
        let reason = shortened(reason);
        self.start_background();
        if self.repeats(|view| view.is_repeat(state, reason)) {
            return;
        }
        self.change(|view| {
            let new = !view.is_repeat(state, reason);
            ((), new.then(|| view.report(state, reason, now())))
        });
    }

    /// Publishes the view that `change` returns, if any. `None` if the subsystem
    /// has retired.
    pub(crate) fn change<R>(
        &self,
        change: impl FnOnce(&SubsystemView) -> (R, Option<SubsystemView>),
    ) -> Option<R> {
        self.change_in(|view, _| change(view))
    }

    /// As [`change`](Self::change), with the phase of the process.
    pub(super) fn change_in<R>(
        &self,
        change: impl FnOnce(&SubsystemView, Phase) -> (R, Option<SubsystemView>),
    ) -> Option<R> {
        self.registry.write(self.waits_for_log, |_, draft| {
            let view = draft.view(self.slot)?;
            if !Arc::ptr_eq(view.declaration(), &self.declaration) {
                return None;
            }
            let (result, view) = change(view, draft.phase());
            if view.is_some() {
                draft.set(self.slot, view);
            }
            Some(result)
        })
    }
}

/// The reason, cut to 1 KiB; `None` if it is empty.
pub(crate) fn shortened(reason: &str) -> Option<&str> {
    Some(text::cut(reason, text::MAX_BYTES)).filter(|reason| !reason.is_empty())
}

#[cfg(all(test, not(tower_readiness_loom)))]
mod tests {
    use super::super::{Readiness, Subsystem};
    use crate::state::State;

    #[test]
    fn a_handle_does_not_report_for_the_next_subsystem_in_its_slot() {
        let readiness = Readiness::builder().allow_empty().build().unwrap();
        let handle = readiness.add_named(&Subsystem::new("spare")).unwrap();
        handle.report(State::Ready, "");
        super::super::Reporter::new(&readiness, handle.clone()).retire();
        // The new subsystem takes the same slot.
        let new = readiness.add(Subsystem::new("spare")).unwrap();
        assert_eq!(readiness.snapshot().subsystems().count(), 1);
        handle.report(State::Failing, "not my slot");
        assert!(handle.read(|_| ()).is_none());
        assert!(handle.change(|_| ((), None)).is_none());
        let snapshot = readiness.snapshot();
        let state = snapshot.subsystem("spare").unwrap().state();
        assert_eq!(state, State::Starting);
        drop(new);
    }
}
