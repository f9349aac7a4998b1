//! Knows when time alone will change something: silence, reports that are held
//! down, subsystems that stay pending.

mod heartbeat;
mod reading;
mod ttl_watch;

use self::ttl_watch::{Heard, TtlWatch};
pub(crate) use self::{heartbeat::Heartbeat, reading::Reading};
use super::shrink::shrink;
use crate::{
    state::{Declaration, Slot, State, SubsystemView},
    sync::{AtomicU64, Mutex, MutexGuard, Notify, Ordering},
};
use std::{
    collections::HashMap,
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

/// How long after something is due the timer thread looks whether the keeper's
/// task has. A runtime that is driven and not overloaded is far faster.
const GRACE: Duration = Duration::from_millis(250);

/// Shows by a change that something goes on where a subsystem lives.
pub(crate) type Witness = Arc<dyn Fn() -> u64 + Send + Sync>;

pub(crate) struct TtlTimer {
    table: Mutex<Table>,
    /// When there is something to do, in nanoseconds after `base`.
    due: AtomicU64,
    base: Instant,
    /// Rings when that is earlier than it was.
    earlier: Notify,
}

struct Table {
    watches: HashMap<Slot, TtlWatch>,
    /// When something is due by the real clock.
    due: Option<Instant>,
    /// When the timer thread will look, by the real clock.
    thread_at: Option<Instant>,
    /// A paused clock of tokio's was seen, as in tests. The timer thread has the
    /// real one, by which all of its times would be wrong.
    is_paused: bool,
}

const NEVER: u64 = u64::MAX;

/// Who looks whether time has changed something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// The keeper's task, which sleeps until something is due: late, it has
    /// been held up.
    TtlTimer,
    /// The timer thread, which was to look at this moment of the real clock.
    Thread { planned: Instant },
    /// A reader that comes by.
    Reader,
}

/// What has become of a subsystem, unless it has spoken since.
pub(super) enum Event {
    Silence {
        lasted: Duration,
        heartbeat: Arc<Heartbeat>,
        seen: u64,
    },
    Late {
        lasted: Duration,
    },
    Life,
    Time,
}

/// Of which subsystem something has become what.
pub(super) type Happened = (Slot, Arc<Declaration>, Event);

/// When the timer thread is to look, if that is earlier than it would.
#[must_use = "the timer thread has to be told"]
pub(super) struct WakeThreadAt(pub(super) Option<Instant>);

impl TtlTimer {
    pub(crate) fn new(base: Instant) -> Self {
        let table = Table {
            watches: HashMap::new(),
            due: None,
            thread_at: None,
            is_paused: false,
        };
        Self {
            table: Mutex::new(table),
            due: AtomicU64::new(NEVER),
            base,
            earlier: Notify::default(),
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The heartbeat of the subsystem in this slot, if its silence counts.
    pub(crate) fn heartbeat_of(
        &self,
        slot: Slot,
        declaration: &Arc<Declaration>,
    ) -> Option<Arc<Heartbeat>> {
        declaration.ttl?;
        let table = self.table();
        let watch = table.watches.get(&slot)?;
        Arc::ptr_eq(&watch.declaration, declaration).then(|| Arc::clone(&watch.heartbeat))
    }

    /// From now on, the silence of the subsystem in this slot is none as long as
    /// the witness shows progress.
    pub(crate) fn set_witness(&self, slot: Slot, declaration: &Arc<Declaration>, witness: Witness) {
        let before = {
            let mut table = self.table();
            let watch = table.watches.get_mut(&slot);
            let watch = watch.filter(|watch| Arc::ptr_eq(&watch.declaration, declaration));
            watch.and_then(|watch| watch.witness.replace(witness))
        };
        drop(before);
    }

    pub(super) fn due(&self) -> Option<Instant> {
        match self.due.load(Ordering::Acquire) {
            NEVER => None,
            nanos => Some(self.base + Duration::from_nanos(nanos)),
        }
    }

    fn set_due_by(
        &self,
        table: &mut Table,
        next: Option<Instant>,
        reading: Reading,
    ) -> WakeThreadAt {
        let due = self.due();
        if next.is_some_and(|next| due.is_none_or(|due| next < due)) {
            self.set_due(table, next, reading);
        }
        table.wake_at(reading)
    }

    fn set_due(&self, table: &mut Table, due: Option<Instant>, reading: Reading) {
        table.due = due.map(|due| reading.real + due.saturating_duration_since(reading.now));
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

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due().is_some_and(|due| due <= now)
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
    pub(super) fn wake_by(&self, due: Option<Instant>, reading: Reading) -> WakeThreadAt {
        self.set_due_by(&mut self.table(), due, reading)
    }

    /// Follows what was published of the subsystem in `slot`. It is looked at
    /// under the lock, so that the last of several writers finds what all of
    /// them published.
    pub(super) fn follow(
        &self,
        slot: Slot,
        reading: Reading,
        look: impl FnOnce(&mut dyn FnMut(Option<&SubsystemView>)),
    ) -> WakeThreadAt {
        let mut table = self.table();
        let mut next = None;
        look(&mut |view| match view {
            Some(view) if view.declaration().is_timed() => {
                let declaration = view.declaration();
                let watch = table
                    .watches
                    .entry(slot)
                    .or_insert_with(|| TtlWatch::new(Arc::clone(declaration)));
                if !Arc::ptr_eq(&watch.declaration, declaration) {
                    *watch = TtlWatch::new(Arc::clone(declaration));
                }
                watch.due = view.due();
                let is_stale = view.state() == State::Stale;
                watch.listen(view.active_ttl(), is_stale, reading.now);
                next = watch.next(reading.now);
            }
            _ => {
                table.watches.remove(&slot);
                shrink(&mut table.watches);
            }
        });
        self.set_due_by(&mut table, next, reading)
    }

    /// Looks at all subsystems, if it is time to. `sample` says when something
    /// else is due next.
    pub(super) fn look(
        &self,
        reading: Reading,
        caller: Caller,
        sample: impl FnOnce() -> Option<Instant>,
    ) -> (Vec<Happened>, WakeThreadAt) {
        let now = reading.now;
        let mut table = self.table();
        if !self.is_due(now) {
            return (Vec::new(), WakeThreadAt(None));
        }
        let planned = match caller {
            Caller::Thread { planned } => Some(planned),
            Caller::TtlTimer | Caller::Reader => table.due,
        };
        let late = planned.map_or(Duration::ZERO, |planned| {
            reading.real.saturating_duration_since(planned)
        });
        let mut events = Vec::new();
        for (slot, watch) in &mut table.watches {
            let heard = match watch.look(now, late, caller) {
                Heard::Nothing => None,
                Heard::Silence { lasted, seen } => Some(Event::Silence {
                    lasted,
                    seen,
                    heartbeat: Arc::clone(&watch.heartbeat),
                }),
                Heard::Late { lasted } => Some(Event::Late { lasted }),
                Heard::Life => Some(Event::Life),
            };
            // What is published of it says when it is due again.
            let time = watch.due.take_if(|due| *due <= now).map(|_| Event::Time);
            let happened = time.into_iter().chain(heard);
            events.extend(happened.map(|event| (*slot, Arc::clone(&watch.declaration), event)));
        }
        let next = table.watches.values().filter_map(|watch| watch.next(now));
        let next = next.chain(sample()).min();
        self.set_due(&mut table, next, reading);
        (events, table.wake_at(reading))
    }

    // === the timer thread ===

    /// Whether something has been due for so long that the timer thread is to
    /// look instead of the keeper's task.
    pub(super) fn is_overdue(&self, real: Instant) -> bool {
        let table = self.table();
        !table.is_paused && table.due.is_some_and(|due| due + GRACE <= real)
    }

    /// When the timer thread is to look again.
    pub(super) fn plan_thread(&self) -> Option<Instant> {
        let mut table = self.table();
        let due = table.due.filter(|_| !table.is_paused);
        table.thread_at = due.map(|due| due + GRACE);
        table.thread_at
    }

    pub(super) fn is_paused(&self) -> bool {
        self.table().is_paused
    }
}

impl Table {
    fn wake_at(&mut self, reading: Reading) -> WakeThreadAt {
        self.is_paused |= reading.is_paused;
        let due = self.due.filter(|_| !self.is_paused);
        // A thread that did not come in time may not have been started.
        let is_missed = |thread_at: Instant| thread_at + GRACE < reading.real;
        let earlier = due.map(|due| due + GRACE).filter(|at| {
            self.thread_at
                .is_none_or(|thread_at| *at < thread_at || is_missed(thread_at))
        });
        self.thread_at = earlier.or(self.thread_at);
        WakeThreadAt(earlier)
    }
}

#[cfg(all(test, not(tower_readiness_loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_timer_thread_is_told_again_where_it_did_not_come() {
        const SECOND: Duration = Duration::from_secs(1);
        let base = Instant::now();
        let keeper = TtlTimer::new(base);
        // What is due a second after each of these moments.
        let told = |at: Duration| {
            let reading = Reading {
                now: base + at,
                real: base + at,
                is_paused: false,
            };
            keeper.table().due = Some(base + at + SECOND);
            let WakeThreadAt(told) = keeper.table().wake_at(reading);
            told.map(|told| told - base)
        };
        assert_eq!(told(Duration::ZERO), Some(SECOND + GRACE));
        assert_eq!(told(SECOND), None, "it is to come earlier");
        let later = SECOND + GRACE * 2;
        assert_eq!(told(later), None, "it may be on its way");
        let missed = SECOND * 2;
        assert_eq!(told(missed), Some(missed + SECOND + GRACE));
    }
}
