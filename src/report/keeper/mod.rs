//! What time alone changes: silence, reports that are held down, subsystems
//! that stay pending; and the samples of what becomes of requests.
//!
//! All of it is published like any other report, so that every surface sees it
//! in the same version. One task does so when it is due; whoever reads and
//! notices first does it instead, for the task's runtime may be what hangs.

mod pulse;
mod watch;

pub(crate) use self::pulse::Pulse;
use self::watch::{Heard, Watch};
use super::core::{Core, now};
use super::jobs::JobId;
use crate::{
    state::{Declaration, Moment, Phase, ScopeId, Slot},
    sync::{AtomicU64, Mutex, Notify, Ordering},
    traffic::{ClassifyOutcome, Shards},
};
use std::{
    collections::HashMap,
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

pub(crate) struct Keeper {
    watches: Mutex<HashMap<Slot, Watch>>,
    /// When there is something to do, in nanoseconds after `base`.
    due: AtomicU64,
    base: Instant,
    /// Rings when that is earlier than it was.
    earlier: Notify,
}

const NEVER: u64 = u64::MAX;

/// What has become of a subsystem, unless it has spoken since.
enum Event {
    Silence {
        lasted: Duration,
        pulse: Arc<Pulse>,
        seen: u64,
    },
    Life,
    Time,
}

impl Keeper {
    pub(crate) fn new(base: Instant) -> Self {
        Self {
            watches: Mutex::default(),
            due: AtomicU64::new(NEVER),
            base,
            earlier: Notify::default(),
        }
    }

    /// The pulse of the subsystem in this slot, if its silence counts.
    pub(crate) fn pulse(&self, slot: Slot, declaration: &Arc<Declaration>) -> Option<Arc<Pulse>> {
        declaration.ttl?;
        let watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        let watch = watches.get(&slot)?;
        Arc::ptr_eq(&watch.declaration, declaration).then(|| Arc::clone(&watch.pulse))
    }

    pub(super) fn due(&self) -> Option<Instant> {
        match self.due.load(Ordering::Acquire) {
            NEVER => None,
            nanos => Some(self.base + Duration::from_nanos(nanos)),
        }
    }

    /// Only under the lock of the watches.
    fn set_due_by(&self, next: Option<Instant>) {
        let due = self.due();
        if next.is_some_and(|next| due.is_none_or(|due| next < due)) {
            self.set_due(next);
        }
    }

    /// Only under the lock of the watches.
    fn set_due(&self, due: Option<Instant>) {
        let due = due.map_or(NEVER, |due| {
            let nanos = due.saturating_duration_since(self.base).as_nanos();
            u64::try_from(nanos).unwrap_or(NEVER)
        });
        let before = self.due.swap(due, Ordering::AcqRel);
        if due < before {
            self.earlier.notify_waiters();
        }
    }
}

impl Core {
    /// Follows what was published of the subsystem in `slot`. Called after
    /// each publication that touched it: the last of several writers finds
    /// what all of them published.
    pub(super) fn follow(&self, slot: Slot) {
        let keeper = &self.keeper;
        let now = now().monotonic;
        let mut watches = keeper
            .watches
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.look(|data| match data.views.get(slot) {
            Some(view) if view.declaration().is_timed() => {
                let declaration = view.declaration();
                let watch = watches
                    .entry(slot)
                    .or_insert_with(|| Watch::new(Arc::clone(declaration)));
                if !Arc::ptr_eq(&watch.declaration, declaration) {
                    *watch = Watch::new(Arc::clone(declaration));
                }
                watch.due = view.due();
                watch.listen(view.awaits_sign_of_life(), now);
                keeper.set_due_by(watch.next(now));
            }
            _ => drop(watches.remove(&slot)),
        });
    }

    /// Publishes what is overdue, if anything is. For readers, so cheap as long
    /// as nothing is.
    #[inline]
    pub(crate) fn notice(&self) {
        if self.keeper.due.load(Ordering::Relaxed) != NEVER {
            self.keep(now());
        }
    }

    /// How long there is nothing to publish, unless somebody reports; `None`
    /// for ever.
    pub(crate) fn nothing_due_for(&self) -> Option<Duration> {
        let due = self.keeper.due()?;
        Some(due.saturating_duration_since(now().monotonic))
    }

    /// Publishes what time alone has changed, if it is time to look.
    #[cold]
    pub(crate) fn keep(&self, at: Moment) {
        for (slot, declaration, event) in self.events(at.monotonic) {
            let changed = self.update(|_, draft| {
                let view = draft.view(slot)?;
                if !Arc::ptr_eq(view.declaration(), &declaration) {
                    return None;
                }
                let next = match &event {
                    // While it drains, tasks end in any order.
                    Event::Silence {
                        lasted,
                        pulse,
                        seen,
                    } => {
                        let silent = pulse.count() == *seen
                            && draft.phase() < Phase::Draining
                            && view.awaits_sign_of_life().is_some();
                        silent.then(|| view.fall_silent(*lasted, at))
                    }
                    Event::Life => view.speak_again(at),
                    Event::Time => view.pass_time(at),
                }?;
                draft.set(slot, Some(next));
                Some(())
            });
            if let (Some(()), Event::Silence { pulse, seen, .. }) = (changed, event) {
                if pulse.count_after_publishing() != seen {
                    // It spoke while we said that it did not, and may have
                    // found that what it said is what is published.
                    self.update(|_, draft| {
                        let view = draft.view(slot)?.speak_again(at)?;
                        draft.set(slot, Some(view));
                        Some(())
                    });
                }
            }
        }
    }

    fn events(&self, now: Instant) -> Vec<(Slot, Arc<Declaration>, Event)> {
        let keeper = &self.keeper;
        let mut watches = keeper
            .watches
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Some(due) = keeper.due().filter(|due| *due <= now) else {
            return Vec::new();
        };
        let late = now.saturating_duration_since(due);
        let mut events = Vec::new();
        for (slot, watch) in watches.iter_mut() {
            let heard = match watch.look(now, late) {
                Heard::Nothing => None,
                Heard::Silence { lasted, seen } => Some(Event::Silence {
                    lasted,
                    seen,
                    pulse: Arc::clone(&watch.pulse),
                }),
                Heard::Life => Some(Event::Life),
            };
            // What is published of it says when it is due again.
            let time = watch.due.take_if(|due| *due <= now).map(|_| Event::Time);
            let happened = time.into_iter().chain(heard);
            events.extend(happened.map(|event| (*slot, Arc::clone(&watch.declaration), event)));
        }
        let sample = self.traffic().outcomes.sample(now.into());
        let next = watches.values().filter_map(|watch| watch.next(now));
        keeper.set_due(next.chain(sample.map(Into::into)).min());
        events
    }
}

impl Core {
    /// Takes on a keeper, unless there is one.
    pub(super) fn hire_keeper(&self) {
        self.jobs().add(JobId::Keeper, || {
            Arc::new(|core| Box::pin(run(Arc::clone(core))))
        });
    }

    /// Observes what becomes of the requests of a layer: the counters for them.
    pub(crate) fn observe(
        &self,
        scope: ScopeId,
        in_flight: bool,
        classifier: Option<&Arc<dyn ClassifyOutcome>>,
    ) -> Arc<Shards> {
        let now = now().monotonic;
        let outcomes = &self.traffic().outcomes;
        let shards = self
            .traffic()
            .observe(scope, in_flight, classifier, now.into());
        outcomes.dispute(now.into(), |scope| self.is_disputed(scope));
        {
            let keeper = &self.keeper;
            let _watches = keeper
                .watches
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            keeper.set_due_by(outcomes.sample(now.into()).map(Into::into));
        }
        self.hire_keeper();
        shards
    }

    fn is_disputed(&self, scope: ScopeId) -> bool {
        self.look(|data| data.is_disputed(scope))
    }

    /// Follows whether a gate refuses what the checks see no reason to.
    pub(super) fn follow_disputes(&self) {
        let now = now().monotonic;
        let outcomes = &self.traffic().outcomes;
        outcomes.dispute(now.into(), |scope| self.is_disputed(scope));
    }
}

/// Keeps the time of a registry, for as long as anybody can write to it.
async fn run(core: Arc<Core>) {
    loop {
        // Listening comes before looking: what becomes due in between rings
        // the bell that is already being listened to.
        let earlier = core.keeper.earlier.notified();
        match core.keeper.due() {
            Some(due) => {
                let _ = tokio::time::timeout_at(due.into(), earlier).await;
            }
            None => earlier.await,
        }
        core.keep(now());
    }
}
