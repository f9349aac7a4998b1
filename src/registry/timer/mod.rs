//! The deadlines of subsystems: missing heartbeats, held-down reports, and the end
//! of being pending.

mod frozen_process;
mod heartbeat;
mod reading;
mod ttl_watch;

use self::ttl_watch::TtlWatch;
pub(crate) use self::{
    frozen_process::Caller,
    heartbeat::Heartbeat,
    reading::Reading,
    ttl_watch::{TtlEvent, Witness},
};
use super::shrink::shrink;
use crate::{
    state::{Declaration, Slot, SubsystemView},
    sync::{AtomicU64, Mutex, Notify, Ordering},
};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// How long after a deadline the timer thread acts in place of the timer task. A
/// runtime that is driven and not overloaded is far faster.
const GRACE: Duration = Duration::from_millis(250);

/// The deadlines of all subsystems of a registry.
pub(crate) struct TtlTimer {
    table: Mutex<TimerTable>,
    /// The next deadline, in nanoseconds after `base`.
    due: AtomicU64,
    base: Instant,
    /// Notifies the timer task that the next deadline is earlier than before.
    earlier: Notify,
}

struct TimerTable {
    watches: HashMap<Slot, TtlWatch>,
    /// The next deadline by the real clock.
    due: Option<Instant>,
    /// When the timer thread comes, by the real clock.
    thread_at: Option<Instant>,
    /// tokio's clock was seen paused, as in tests. The timer thread uses the real
    /// clock, by which all deadlines would be wrong.
    is_paused: bool,
}

const NEVER: u64 = u64::MAX;

/// A change of the subsystem in a slot that is due.
pub(super) struct Expired {
    pub(super) slot: Slot,
    pub(super) declaration: Arc<Declaration>,
    pub(super) heartbeat: Arc<Heartbeat>,
    pub(super) event: TtlEvent,
}

impl Expired {
    /// Whether the view is of the same subsystem: another may have taken the slot.
    pub(super) fn is_of(&self, view: &SubsystemView) -> bool {
        Arc::ptr_eq(view.declaration(), &self.declaration)
    }
}

/// When the timer thread has to come, if that is earlier than planned.
#[must_use = "the timer thread has to be woken"]
pub(super) struct WakeThreadAt(pub(super) Option<Instant>);

impl TtlTimer {
    pub(crate) fn new(base: Instant) -> Self {
        let table = TimerTable {
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

    /// The heartbeat of the subsystem in this slot, if it has a ttl.
    pub(crate) fn heartbeat_of(
        &self,
        slot: Slot,
        declaration: &Arc<Declaration>,
    ) -> Option<Arc<Heartbeat>> {
        declaration.ttl?;
        let table = self.table.lock();
        let watch = table.watches.get(&slot)?;
        Arc::ptr_eq(&watch.declaration, declaration).then(|| Arc::clone(&watch.heartbeat))
    }

    /// Sets the witness of the subsystem in this slot: while its value changes, a
    /// missing heartbeat makes the subsystem late and not stale.
    pub(crate) fn set_witness(&self, slot: Slot, declaration: &Arc<Declaration>, witness: Witness) {
        let before = {
            let mut table = self.table.lock();
            let watch = table.watches.get_mut(&slot);
            let watch = watch.filter(|watch| Arc::ptr_eq(&watch.declaration, declaration));
            watch.and_then(|watch| watch.witness.replace(witness))
        };
        drop(before);
    }

    /// The next deadline.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.due.load(Ordering::Acquire) {
            NEVER => None,
            nanos => Some(self.base + Duration::from_nanos(nanos)),
        }
    }

    fn set_due_by(
        &self,
        table: &mut TimerTable,
        next: Option<Instant>,
        reading: Reading,
    ) -> WakeThreadAt {
        let due = self.due();
        if next.is_some_and(|next| due.is_none_or(|due| next < due)) {
            self.set_due(table, next, reading);
            self.earlier.notify_waiters();
        }
        table.wake_thread_at(reading)
    }

    fn set_due(&self, table: &mut TimerTable, due: Option<Instant>, reading: Reading) {
        table.due = due.map(|due| reading.real + due.saturating_duration_since(reading.now));
        let due = due.map_or(NEVER, |due| {
            let nanos = due.saturating_duration_since(self.base).as_nanos();
            u64::try_from(nanos).unwrap_or(NEVER)
        });
        self.due.store(due, Ordering::Release);
    }

    /// Whether there is a deadline.
    #[inline]
    pub(super) fn is_waiting(&self) -> bool {
        self.due.load(Ordering::Relaxed) != NEVER
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due().is_some_and(|due| due <= now)
    }

    /// Completes at the next deadline, or when that becomes earlier.
    pub(super) async fn wait(&self) {
        // Registers before it reads the deadline, so that a change in between
        // completes `earlier`.
        let earlier = self.earlier.notified();
        match self.due() {
            Some(due) => {
                let _ = tokio::time::timeout_at(due.into(), earlier).await;
            }
            None => earlier.await,
        }
    }

    /// Adds a deadline that does not belong to a subsystem.
    pub(super) fn wake_by(&self, due: Option<Instant>, reading: Reading) -> WakeThreadAt {
        self.set_due_by(&mut self.table.lock(), due, reading)
    }

    /// Sets the deadlines of the subsystem in `slot` by its published view. `read`
    /// is called under the lock, so that the last of several writers reads the
    /// newest view.
    pub(super) fn update(
        &self,
        slot: Slot,
        reading: Reading,
        read: impl FnOnce(&mut dyn FnMut(Option<&SubsystemView>)),
    ) -> WakeThreadAt {
        let mut table = self.table.lock();
        let mut next = None;
        read(&mut |view| match view {
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
                watch.set_ttl(view.heartbeat_within(), view.is_stale(), reading.now);
                next = watch.next(reading.now);
            }
            _ => {
                table.watches.remove(&slot);
                shrink(&mut table.watches);
            }
        });
        self.set_due_by(&mut table, next, reading)
    }

    /// Checks the deadlines of all subsystems, if one is due. `sample` returns the
    /// next deadline that does not belong to a subsystem.
    pub(super) fn check(
        &self,
        reading: Reading,
        caller: Caller,
        sample: impl FnOnce() -> Option<Instant>,
    ) -> (Vec<Expired>, WakeThreadAt) {
        let now = reading.now;
        let mut table = self.table.lock();
        if !self.is_due(now) {
            return (Vec::new(), WakeThreadAt(None));
        }
        let planned = match caller {
            Caller::Thread { planned } => Some(planned),
            Caller::TtlTimer | Caller::Reader => table.due,
        };
        // A process cannot be frozen by a paused clock, and the real clock, which goes on,
        // says nothing about deadlines that a test moves.
        let planned = planned.filter(|_| !table.is_paused && !reading.is_paused);
        let late = planned.map_or(Duration::ZERO, |planned| {
            reading.real.saturating_duration_since(planned)
        });
        let mut events = Vec::new();
        for (slot, watch) in &mut table.watches {
            let expired = watch.check(now, late, caller);
            // The view that is published next sets the next deadline.
            let time = watch.due.take_if(|due| *due <= now).map(|_| TtlEvent::Time);
            let happened = time.into_iter().chain(expired);
            events.extend(happened.map(|event| Expired {
                slot: *slot,
                declaration: Arc::clone(&watch.declaration),
                heartbeat: Arc::clone(&watch.heartbeat),
                event,
            }));
        }
        let next = table.watches.values().filter_map(|watch| watch.next(now));
        let next = next.chain(sample()).min();
        self.set_due(&mut table, next, reading);
        (events, table.wake_thread_at(reading))
    }

    // === the timer thread ===

    /// Whether a deadline passed so long ago that the timer thread acts in place of
    /// the timer task.
    pub(super) fn is_overdue(&self, real: Instant) -> bool {
        let table = self.table.lock();
        !table.is_paused && table.due.is_some_and(|due| due + GRACE <= real)
    }

    /// Plans when the timer thread comes next.
    pub(super) fn plan_thread(&self) -> Option<Instant> {
        let mut table = self.table.lock();
        let due = table.due.filter(|_| !table.is_paused);
        table.thread_at = due.map(|due| due + GRACE);
        table.thread_at
    }

    pub(super) fn is_paused(&self) -> bool {
        self.table.lock().is_paused
    }
}

impl TimerTable {
    fn wake_thread_at(&mut self, reading: Reading) -> WakeThreadAt {
        self.is_paused |= reading.is_paused;
        let due = self.due.filter(|_| !self.is_paused);
        // A thread that missed its time may not have been started.
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
    use crate::registry::{Readiness, Subsystem};

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_next_subsystem_in_a_slot_has_a_heartbeat_of_its_own() {
        let timer = TtlTimer::new(Instant::now());
        let [first, second] = ["first", "second"].map(|name| {
            let subsystem = Subsystem::new(name).ttl(Duration::from_secs(1));
            let readiness = Readiness::builder().subsystem(subsystem).build().unwrap();
            readiness.snapshot().subsystem(name).unwrap().clone()
        });
        let heartbeat_of = |view: &SubsystemView| timer.heartbeat_of(Slot(0), view.declaration());
        // The timer may see the next one before it learns that the first has retired.
        for (view, other) in [(&first, &second), (&second, &first)] {
            let _ = timer.update(Slot(0), Reading::take(), |set| set(Some(view)));
            assert!(heartbeat_of(view).is_some());
            assert!(heartbeat_of(other).is_none());
        }
    }

    #[test]
    fn a_subsystem_that_no_time_changes_is_not_watched() {
        let timer = TtlTimer::new(Instant::now());
        let storage = Subsystem::new("storage");
        let readiness = Readiness::builder().subsystem(storage).build().unwrap();
        let snapshot = readiness.snapshot();
        let view = snapshot.subsystem("storage");
        let _ = timer.update(Slot(0), Reading::take(), |set| set(view));
        assert!(timer.table.lock().watches.is_empty());
    }

    #[test]
    fn the_timer_thread_acts_on_a_deadline_that_is_over_for_its_grace() {
        let base = Instant::now();
        let timer = TtlTimer::new(base);
        let due = base + SECOND;
        let overdue = [GRACE - Duration::from_nanos(1), GRACE];
        let overdue = || overdue.map(|after| timer.is_overdue(due + after));
        assert_eq!(overdue(), [false, false], "there is no deadline");
        let mut reading = Reading {
            now: base,
            real: base,
            is_paused: false,
        };
        let _ = timer.wake_by(Some(due), reading);
        assert_eq!(overdue(), [false, true]);
        reading.is_paused = true;
        let _ = timer.wake_by(None, reading);
        assert_eq!(overdue(), [false, false], "a test has paused the clock");
    }

    #[test]
    fn the_timer_thread_is_woken_again_after_it_missed_its_time() {
        let base = Instant::now();
        let timer = TtlTimer::new(base);
        // The deadline is a second after each of these times.
        let planned_after = |at: Duration| {
            let reading = Reading {
                now: base + at,
                real: base + at,
                is_paused: false,
            };
            timer.table.lock().due = Some(base + at + SECOND);
            let WakeThreadAt(planned) = timer.table.lock().wake_thread_at(reading);
            planned.map(|planned| planned - base)
        };
        assert_eq!(planned_after(Duration::ZERO), Some(SECOND + GRACE));
        assert_eq!(planned_after(SECOND), None, "it comes earlier anyway");
        let later = SECOND + GRACE * 2;
        assert_eq!(planned_after(later), None, "it may be on its way");
        let missed = SECOND * 2;
        assert_eq!(planned_after(missed), Some(missed + SECOND + GRACE));
    }
}
