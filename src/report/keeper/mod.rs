//! Knows when time alone will change something: silence, reports that are held
//! down, subsystems that stay pending.

mod pulse;
mod watch;

pub(crate) use self::pulse::Pulse;
use self::watch::{Heard, Watch};
use crate::{
    state::{Declaration, Slot, SubsystemView},
    sync::{AtomicU64, Mutex, Notify, Ordering},
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

/// Who looks whether time has changed something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Looker {
    /// Who sleeps until something is due: late, it has been held up.
    Keeper,
    /// Who comes by.
    Reader,
}

/// What has become of a subsystem, unless it has spoken since.
pub(super) enum Event {
    Silence {
        lasted: Duration,
        pulse: Arc<Pulse>,
        seen: u64,
    },
    Life,
    Time,
}

/// Of which subsystem something has become what.
pub(super) type Happened = (Slot, Arc<Declaration>, Event);

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

    /// Whether anything will ever be due, as things are.
    #[inline]
    pub(super) fn is_waiting(&self) -> bool {
        self.due.load(Ordering::Relaxed) != NEVER
    }

    /// Completes when something is due, or may be.
    pub(super) async fn wait(&self) {
        // Listening comes before looking: what becomes due in between rings
        // the bell that is already being listened to.
        let earlier = self.earlier.notified();
        match self.due() {
            Some(due) => {
                let _ = tokio::time::timeout_at(due.into(), earlier).await;
            }
            None => earlier.await,
        }
    }

    /// Something is due that is not a subsystem's.
    pub(super) fn wake_by(&self, due: Option<Instant>) {
        let _watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        self.set_due_by(due);
    }

    /// Follows what was published of the subsystem in `slot`. It is looked at
    /// under the lock, so that the last of several writers finds what all of
    /// them published.
    pub(super) fn follow(
        &self,
        slot: Slot,
        now: Instant,
        look: impl FnOnce(&mut dyn FnMut(Option<&SubsystemView>)),
    ) {
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        look(&mut |view| match view {
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
                self.set_due_by(watch.next(now));
            }
            _ => drop(watches.remove(&slot)),
        });
    }

    /// Looks at all subsystems, if it is time to. `sample` says when something
    /// else is due next.
    pub(super) fn look(
        &self,
        now: Instant,
        looker: Looker,
        sample: impl FnOnce() -> Option<Instant>,
    ) -> Vec<Happened> {
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(due) = self.due().filter(|due| *due <= now) else {
            return Vec::new();
        };
        let late = now.saturating_duration_since(due);
        let mut events = Vec::new();
        for (slot, watch) in watches.iter_mut() {
            let heard = match watch.look(now, late, looker) {
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
        let next = watches.values().filter_map(|watch| watch.next(now));
        self.set_due(next.chain(sample()).min());
        events
    }
}
