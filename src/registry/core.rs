use super::{
    background::BackgroundTasks,
    drain_clock::DrainClock,
    group::Groups,
    history::Recorder,
    log::{Log, LogState, Logged, ScheduledLines},
    meters::Meters,
    shrink::shrink,
    timer::{Caller, Reading, TtlTimer},
    timer_thread::Owner,
    wakers::Wakers,
};
#[cfg(feature = "gate")]
use crate::state::{AdmitFlag, ScopeId};
use crate::{
    state::{
        Data, Moment, Phase, Published, Slot, Snapshot, SnapshotBuilder, SnapshotCell, Touched,
        Transition,
    },
    sync::{AtomicBool, Mutex, Notify, Ordering},
    traffic::Traffic,
};
use std::{
    collections::{BTreeSet, HashMap},
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, Weak, atomic::AtomicU64 as Counter},
    time::{Instant, SystemTime},
};

/// The current snapshot, the writer lock, and the change notification.
pub(crate) struct Registry {
    cell: SnapshotCell,
    writer_state: Mutex<WriterState>,
    changed: Wakers,
    /// Woken for a new phase only, because every stream and connection may wait for
    /// the drain.
    phase_changed: Wakers,
    /// The last handle that could write has been dropped.
    closed: AtomicBool,
    traffic: Traffic,
    meters: Arc<Meters>,
    drain_clock: DrainClock,
    /// How often the start has made progress.
    progress: Counter,
    progressed: Notify,
    groups: Groups,
    pub(super) timer: TtlTimer,
    pub(super) scheduled_lines: ScheduledLines,
    background: Arc<BackgroundTasks>,
    /// Limits the checks that run at once.
    #[cfg(feature = "check")]
    pub(super) checks_at_once: tokio::sync::Semaphore,
    weak: Weak<Registry>,
}

/// The state that only writers need. The writer holds its lock.
#[derive(Default)]
pub(crate) struct WriterState {
    pub(crate) slots: HashMap<Arc<str>, Slot>,
    /// Free slots in front of the last taken slot.
    free: BTreeSet<Slot>,
    pub(crate) pauses: Vec<(u64, Arc<str>)>,
    pub(crate) pauses_so_far: u64,
    /// The process may be without a required subsystem.
    pub(super) allows_empty: bool,
    pub(super) recorder: Recorder,
    log: LogState,
}

/// A published change, and its lines in the log.
pub(super) struct Publication {
    pub(super) published: Published,
    logged: Logged,
}

impl Publication {
    /// Logs the change, after [`Registry::notify`].
    pub(super) fn finish(self, registry: &Registry) {
        let Self { published, logged } = self;
        if let Some(due) = logged.finish(&published) {
            registry.run_timer_at(due);
        }
    }
}

impl WriterState {
    pub(crate) fn take_slot(&mut self, name: Arc<str>) -> Slot {
        // The first free slot, so that the last slots become free for good.
        let slot = self.free.pop_first().unwrap_or(Slot(self.first_unused()));
        self.slots.insert(name, slot);
        slot
    }

    /// Takes a slot for each name in `added`, and then gives back those of `removed`, so
    /// that no slot changes from one subsystem to another in one version.
    pub(super) fn replace<'a>(
        &mut self,
        removed: impl Iterator<Item = &'a str>,
        added: impl Iterator<Item = &'a str>,
    ) -> Vec<Slot> {
        let removed: Vec<_> = removed.filter_map(|name| self.slots.remove(name)).collect();
        let mut taken = Vec::new();
        for name in added {
            let unused = Slot(self.first_unused() + removed.len());
            let slot = self.free.pop_first().unwrap_or(unused);
            self.slots.insert(name.into(), slot);
            taken.push(slot);
        }
        self.release(removed);
        taken
    }

    pub(crate) fn give_back(&mut self, name: &str) {
        let slot = self.slots.remove(name);
        self.release(slot);
    }

    fn release(&mut self, slots: impl IntoIterator<Item = Slot>) {
        self.free.extend(slots);
        shrink(&mut self.slots);
        while self
            .free
            .last()
            .is_some_and(|last| last.0 + 1 == self.first_unused())
        {
            self.free.pop_last();
        }
    }

    /// The first slot that is neither free nor taken.
    fn first_unused(&self) -> usize {
        self.slots.len() + self.free.len()
    }
}

impl Registry {
    pub(crate) fn new(
        first: Arc<Data>,
        writer_state: WriterState,
        meters: Meters,
        groups: Groups,
        #[cfg(feature = "check")] checks_at_once: usize,
    ) -> Arc<Self> {
        let traffic = Traffic::new(first.scopes.len());
        #[cfg(feature = "metrics")]
        meters.record_start(&first);
        Arc::new_cyclic(|weak: &Weak<Self>| Self {
            cell: SnapshotCell::new(first),
            writer_state: Mutex::new(writer_state),
            changed: Wakers::default(),
            phase_changed: Wakers::default(),
            closed: AtomicBool::new(false),
            drain_clock: DrainClock::new(&traffic.arrivals),
            traffic,
            meters: Arc::new(meters),
            progress: Counter::default(),
            progressed: Notify::default(),
            groups,
            timer: TtlTimer::new(now().monotonic),
            scheduled_lines: ScheduledLines::new(now().monotonic),
            background: Arc::new(BackgroundTasks::new(weak.clone())),
            #[cfg(feature = "check")]
            checks_at_once: tokio::sync::Semaphore::new(checks_at_once),
            weak: weak.clone(),
        })
    }

    pub(super) fn weak(&self) -> &Weak<Self> {
        &self.weak
    }

    /// Publishes a change and wakes the waiting tasks. Never waits for the log: for
    /// tasks and threads of the crate, and for request handlers.
    pub(crate) fn update<R>(
        &self,
        write: impl FnOnce(&mut WriterState, &mut SnapshotBuilder) -> R,
    ) -> R {
        self.write(false, write)
    }

    /// As [`update`](Self::update), but waits until the lines of the change are in
    /// the log, at most 10 ms: for reports of the application.
    pub(crate) fn report<R>(
        &self,
        write: impl FnOnce(&mut WriterState, &mut SnapshotBuilder) -> R,
    ) -> R {
        self.write(true, write)
    }

    /// As [`report`](Self::report) or as [`update`](Self::update).
    pub(super) fn write<R>(
        &self,
        waits_for_log: bool,
        write: impl FnOnce(&mut WriterState, &mut SnapshotBuilder) -> R,
    ) -> R {
        let (result, publication) = self.publish(write);
        if let Some(publication) = publication {
            self.notify(&publication.published);
            if waits_for_log {
                publication.logged.wait();
            }
            publication.finish(self);
        }
        result
    }

    /// Publishes the changes that `write` makes, under the writer lock, and queues
    /// their lines for the log. The caller then calls [`notify`](Self::notify) and
    /// [`Publication::finish`].
    pub(super) fn publish<R>(
        &self,
        write: impl FnOnce(&mut WriterState, &mut SnapshotBuilder) -> R,
    ) -> (R, Option<Publication>) {
        // Before the lock, so that it is dropped after it: both call the subscriber.
        let log = Log::of_this_thread();
        let mut writer_state = self.writer_state.lock();
        let mut draft = SnapshotBuilder::new(self.cell.load().0);
        let result = write(&mut writer_state, &mut draft);
        let record =
            |before: &Data, after: &Data, touched: &Touched, push: &mut dyn FnMut(Transition)| {
                let recorder = &mut writer_state.recorder;
                recorder.record(before, after, touched, &self.traffic, now, push);
            };
        let Some(published) = draft.finish(record) else {
            return (result, None);
        };
        self.meters.record(&published);
        self.cell.publish(&published.after);
        let logged = log.queue(
            &published,
            &self.traffic,
            &mut writer_state.log,
            &self.scheduled_lines,
        );
        (result, Some(Publication { published, logged }))
    }

    /// Updates the timer after a change, and wakes the waiting tasks.
    pub(super) fn notify(&self, published: &Published) {
        for slot in published.timed() {
            self.update_timer(slot);
        }
        if published.changes_disputes() {
            self.update_disputes();
        }
        // The wakers are code of the application, so they come last.
        if published.before.phase != published.after.phase {
            self.phase_changed.wake();
        }
        self.changed.wake();
    }

    /// The background tasks of this registry.
    pub(crate) fn background(&self) -> &Arc<BackgroundTasks> {
        &self.background
    }

    /// The groups of like subsystems.
    pub(crate) fn groups(&self) -> &Groups {
        &self.groups
    }

    /// The counters of requests.
    pub(crate) fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// The counters and times that metrics alone show.
    pub(crate) fn meters(&self) -> &Arc<Meters> {
        &self.meters
    }

    /// The times of the drain.
    pub(crate) fn drain_clock(&self) -> &DrainClock {
        &self.drain_clock
    }

    /// Counts a step of progress in a subsystem that the start waits for.
    pub(super) fn made_progress(&self) {
        self.progress.fetch_add(1, Ordering::AcqRel);
        self.progressed.notify_waiters();
    }

    /// How often the start has made progress.
    #[cfg(all(unix, feature = "systemd"))]
    pub(crate) fn progress(&self) -> u64 {
        self.progress.load(Ordering::Acquire)
    }

    /// Waits until [`progress`](Self::progress) exceeds `seen`.
    #[cfg(all(unix, feature = "systemd"))]
    pub(crate) async fn progress_beyond(&self, seen: u64) {
        loop {
            // Registers before it reads the counter, so no progress is missed.
            let progressed = self.progressed.notified();
            if self.progress() > seen {
                return;
            }
            progressed.await;
        }
    }

    pub(crate) fn load(&self) -> Snapshot {
        self.cell.load()
    }

    /// Calls `read` with the newest snapshot's data.
    #[inline]
    pub(crate) fn read<R>(&self, read: impl FnOnce(&Data) -> R) -> R {
        self.cell.read(read)
    }

    #[cfg(feature = "gate")]
    pub(crate) fn admit_flag(&self, scope: ScopeId) -> AdmitFlag {
        self.cell.admit_flag(scope)
    }

    /// Waits until `find` returns a value for the newest snapshot.
    ///
    /// Cancel safe: a dropped future has consumed nothing.
    pub(crate) async fn wait_for<R>(
        &self,
        find: impl FnMut(&Data) -> Option<R>,
    ) -> Result<R, super::RegistryClosed> {
        self.wait_on(&self.changed, find).await
    }

    /// Waits until the process is in `phase` or a later one. Reports do not wake the
    /// waiting task.
    ///
    /// Cancel safe.
    pub(crate) async fn wait_for_phase(&self, phase: Phase) -> Result<(), super::RegistryClosed> {
        let reached = |data: &Data| (data.phase >= phase).then_some(());
        self.wait_on(&self.phase_changed, reached).await
    }

    async fn wait_on<R>(
        &self,
        wakers: &Wakers,
        mut find: impl FnMut(&Data) -> Option<R>,
    ) -> Result<R, super::RegistryClosed> {
        loop {
            // Registers before it reads, so that a snapshot published in between
            // completes `changed`.
            let mut changed = wakers.changed();
            // Reads this flag first, too: the last snapshot is published before the
            // registry closes.
            let closed = self.closed.load(Ordering::Acquire);
            if let Some(found) = self.read(&mut find) {
                return Ok(found);
            }
            if closed {
                return Err(super::RegistryClosed {});
            }
            poll_fn(|cx| {
                // This runtime polls, so it can run the idle tasks.
                self.background.start();
                Pin::new(&mut changed).poll(cx)
            })
            .await;
        }
    }

    /// Wakes the waiting tasks, which then find that the registry is closed, and ends the
    /// background tasks.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.phase_changed.wake();
        self.changed.wake();
        // Last, because a destructor of a check may wait for a task that waits for the end.
        self.background.end();
    }
}

impl Owner for Registry {
    fn run_on_timer_thread(&self, planned: Instant) -> Option<Instant> {
        let reading = Reading::take();
        if self.timer.is_overdue(reading.real) {
            self.run_timer(Caller::Thread { planned }, reading);
        }
        let unpolled = self.background.suspect_unpolled(reading.real);
        let due = self.timer.plan_thread();
        unpolled.into_iter().chain(due).min()
    }

    fn update_admit_flags(&self) {
        let _lock = self.writer_state.lock();
        self.cell.hold_flags(self.background.wait_for_runtime());
    }

    fn is_paused(&self) -> bool {
        self.timer.is_paused()
    }
}

/// The current time. Its monotonic part is tokio's clock, which tests may pause.
pub(crate) fn now() -> Moment {
    Moment {
        wall: SystemTime::now(),
        monotonic: tokio::time::Instant::now().into_std(),
    }
}

#[cfg(all(test, not(tower_readiness_loom)))]
mod tests {
    use super::*;

    #[test]
    fn free_slots_behind_the_last_subsystem_are_forgotten() {
        let mut state = WriterState::default();
        let taken = ["a", "b", "c"].map(|name| state.take_slot(name.into()));
        assert_eq!(taken, [0, 1, 2].map(Slot));
        state.give_back("b");
        assert!(state.free.iter().eq(&[Slot(1)]));
        state.give_back("c");
        assert!(state.free.is_empty());
        assert_eq!(state.take_slot("d".into()), Slot(1));
    }
}
