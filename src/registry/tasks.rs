use super::{background::TaskId, core::Registry, subsystem::Subsystem};
#[cfg(feature = "check")]
use super::{
    background::{Lost, Start},
    check_control::CheckControl,
    core::now,
    error::UnknownSubsystem,
    handle::SubsystemHandle,
};
#[cfg(feature = "check")]
use crate::state::Phase;
use crate::state::{Declaration, Slot};
use std::sync::Arc;

impl Registry {
    /// Adds the timer task and the check that a subsystem needs.
    pub(super) fn start_tasks(
        self: &Arc<Self>,
        slot: Slot,
        subsystem: &Subsystem,
        declaration: &Arc<Declaration>,
    ) {
        if declaration.is_timed() {
            self.start_timer();
        }
        #[cfg(feature = "check")]
        if let Some(check) = &subsystem.check {
            self.start_check(slot, check.clone(), declaration);
        }
        #[cfg(not(feature = "check"))]
        let _ = (slot, subsystem);
    }

    /// Ends the check of a subsystem that has been removed.
    pub(super) fn end_check(&self, declaration: &Arc<Declaration>) {
        if let Some(check) = self.background().take(TaskId::of_check(declaration)) {
            check.end();
        }
    }

    #[cfg(feature = "check")]
    fn has(&self, slot: Slot, declaration: &Arc<Declaration>) -> bool {
        self.read(|data| {
            let view = data.views.get(slot);
            view.is_some_and(|view| Arc::ptr_eq(view.declaration(), declaration))
        })
    }

    #[cfg(feature = "check")]
    fn start_check(
        self: &Arc<Self>,
        slot: Slot,
        check: super::subsystem::Check,
        declaration: &Arc<Declaration>,
    ) {
        let handle = {
            let (registry, declaration) = (Arc::downgrade(self), Arc::clone(declaration));
            move || {
                Some(SubsystemHandle::new(
                    &registry.upgrade()?,
                    slot,
                    Arc::clone(&declaration),
                ))
            }
        };
        let lost: Lost = {
            let handle = handle.clone();
            Arc::new(move |why| {
                if let Some(handle) = handle() {
                    handle.lose_check(why);
                }
            })
        };
        let Some(control) = control_of(declaration) else {
            return;
        };
        let start: Start = Arc::new(move || Some((check.start)(handle()?, Arc::clone(&control))));
        self.background()
            .add_with(TaskId::of_check(declaration), Some(lost), || start);
        // The subsystem may have been removed before the job was there to be ended.
        if !self.has(slot, declaration) {
            self.end_check(declaration);
        }
    }
}

#[cfg(feature = "check")]
impl SubsystemHandle {
    /// Reports why the check of the subsystem no longer runs.
    fn lose_check(&self, why: &'static str) {
        self.change_in(|view, phase| {
            // While the process drains, tasks end in any order.
            let counts = phase < Phase::Draining;
            ((), counts.then(|| view.lose_check(why, now())).flatten())
        });
    }
}

#[cfg(feature = "check")]
impl super::Readiness {
    /// The handle of the subsystem `name` and the control of its check, or `None` if it has no
    /// check.
    pub(crate) fn check_of(
        &self,
        name: &str,
    ) -> Result<Option<(SubsystemHandle, Arc<CheckControl>)>, UnknownSubsystem> {
        let handle = self.subsystem_handle(name)?;
        let control = control_of(handle.declaration());
        Ok(control.map(|control| (handle, control)))
    }
}

/// The control of the check of a subsystem. It is there as soon as the subsystem is published,
/// and so before its job.
#[cfg(feature = "check")]
fn control_of(declaration: &Declaration) -> Option<Arc<CheckControl>> {
    Arc::clone(declaration.check.as_ref()?).downcast().ok()
}

#[cfg(all(test, feature = "check", not(tower_readiness_loom)))]
mod tests {
    use super::{TaskId, now};
    use crate::{Readiness, Subsystem, SubsystemView, state::Thresholds};
    use std::{
        sync::{
            Arc,
            atomic::{AtomicBool, AtomicUsize, Ordering},
        },
        thread,
        time::Duration,
    };

    #[test]
    fn a_check_does_not_start_for_a_subsystem_that_is_gone_by_then() {
        let readiness = Readiness::builder().allow_empty().build().unwrap();
        let check = crate::registry::Check {
            thresholds: Thresholds::FIRST,
            start: Arc::new(|_, _| Box::pin(std::future::pending())),
        };
        let second = Duration::from_secs(1);
        let spare = Subsystem::new("spare").with_check(second, second, Ok(check));
        let reporter = readiness.add(spare.clone()).unwrap();
        let handle = readiness.subsystem_handle("spare").unwrap();
        let (registry, declaration) = (readiness.registry(), handle.declaration());
        reporter.retire();
        registry.start_tasks(handle.slot(), &spare, declaration);
        let job = registry.background().take(TaskId::of_check(declaration));
        assert!(job.is_none());
    }

    #[test]
    fn a_handle_has_a_heartbeat_as_soon_as_its_subsystem_is_published() {
        let readiness = Readiness::builder().allow_empty().build().unwrap();
        let cache = Subsystem::new("cache").ttl(Duration::from_secs(1));
        let added = readiness.registry().publish(|writer_state, draft| {
            let slot = writer_state.take_slot("cache".into());
            let declared = cache.declare(false, Vec::new());
            draft.set(slot, Some(SubsystemView::declared(declared, now())));
        });
        let handle = readiness.subsystem_handle("cache").unwrap();
        assert!(handle.has_heartbeat());
        drop(added);
    }

    /// Another thread may start idle tasks at any moment, also while a subsystem is
    /// being added. A check that started before the timer has its subsystem would
    /// never have a heartbeat.
    #[test]
    fn an_added_check_has_a_heartbeat_from_its_start() {
        const MINUTE: Duration = Duration::from_secs(60);
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_time().build().unwrap();
        let readiness = Readiness::builder().allow_empty().build().unwrap();
        let (begun, unheard) = (Arc::default(), Arc::default());
        let added = AtomicBool::new(false);
        let reporters: Vec<_> = thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let _runtime = runtime.enter();
                    loop {
                        // All may be added before this thread runs for the first time.
                        let is_last = added.load(Ordering::Acquire);
                        readiness.registry().background().start();
                        if is_last {
                            break;
                        }
                    }
                });
            }
            let add = |index| {
                let (begun, unheard) = (Arc::clone(&begun), Arc::clone(&unheard));
                let start = Arc::new(move |handle: crate::registry::SubsystemHandle, _| {
                    let counted: &AtomicUsize = &begun;
                    counted.fetch_add(1, Ordering::Relaxed);
                    let counted: &AtomicUsize = &unheard;
                    counted.fetch_add(usize::from(!handle.has_heartbeat()), Ordering::Relaxed);
                    Box::pin(std::future::pending()) as _
                });
                let thresholds = Thresholds::FIRST;
                let check = crate::registry::Check { thresholds, start };
                let subsystem = Subsystem::new(format!("tenant-{index}"));
                let subsystem = subsystem.with_check(MINUTE, MINUTE, Ok(check));
                readiness.add(subsystem).unwrap()
            };
            let reporters = (0..1_000).map(add).collect();
            added.store(true, Ordering::Release);
            reporters
        });
        let counts = [&begun, &unheard].map(|count| count.load(Ordering::Relaxed));
        assert_eq!(counts, [reporters.len(), 0]);
    }
}
