use super::{
    background::BackgroundTasks,
    log::{Log, Logged, Memory, Timed},
    shrink::shrink,
    timer::TtlTimer,
    wakers::Wakers,
};
use crate::{
    state::{
        AdmitFlag, Data, Moment, Published, ScopeId, Slot, Snapshot, SnapshotBuilder, SnapshotCell,
    },
    sync::{AtomicBool, Mutex, Notify, Ordering},
    traffic::Traffic,
};
use std::{
    collections::{BTreeSet, HashMap},
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, PoisonError, Weak, atomic::AtomicU64 as Counter},
    time::SystemTime,
};

/// The cell, the one writer's writer_state in front of it, and the bell.
pub(crate) struct Registry {
    cell: SnapshotCell,
    writer_state: Mutex<WriterState>,
    changed: Wakers,
    /// Nobody is left who could write.
    ended: AtomicBool,
    traffic: Traffic,
    progress: Counter,
    /// Rings at each progress.
    further: Notify,
    pub(super) timer: TtlTimer,
    pub(super) timed: Timed,
    jobs: Arc<BackgroundTasks>,
    this: Weak<Registry>,
}

/// What only writers need to know. Whoever holds it is the writer.
#[derive(Default)]
pub(crate) struct WriterState {
    pub(crate) slots: HashMap<Arc<str>, Slot>,
    /// Slots whose subsystem retired, but for those behind the last that is
    /// taken.
    free: BTreeSet<Slot>,
    pub(crate) pauses: Vec<(u64, Arc<str>)>,
    pub(crate) pauses_so_far: u64,
    log: Memory,
}

/// What a writer has published, and its lines in the log.
pub(super) struct Publication {
    pub(super) sealed: Published,
    logged: Logged,
}

impl Publication {
    /// Ends the publication of what was [spread](Registry::spread).
    pub(super) fn finish(self, registry: &Registry) {
        let Self { sealed, logged } = self;
        logged.finish(&sealed, registry);
    }
}

impl WriterState {
    pub(crate) fn take_slot(&mut self, name: Arc<str>) -> Slot {
        // The first that is free, so that the last ones become so for good.
        let slot = self.free.pop_first().unwrap_or(Slot(self.end()));
        self.slots.insert(name, slot);
        slot
    }

    pub(crate) fn give_back(&mut self, name: &str) {
        self.free.extend(self.slots.remove(name));
        shrink(&mut self.slots);
        while self
            .free
            .last()
            .is_some_and(|last| last.0 + 1 == self.end())
        {
            self.free.pop_last();
        }
    }

    /// Every slot before this one is either free or taken by a name.
    fn end(&self) -> usize {
        self.slots.len() + self.free.len()
    }
}

impl Registry {
    pub(crate) fn new(first: Arc<Data>, writer_state: WriterState) -> Arc<Self> {
        let traffic = Traffic::new(first.scopes.len());
        Arc::new_cyclic(|this| Self {
            cell: SnapshotCell::new(first),
            writer_state: Mutex::new(writer_state),
            changed: Wakers::default(),
            ended: AtomicBool::new(false),
            traffic,
            progress: Counter::default(),
            further: Notify::default(),
            timer: TtlTimer::new(now().monotonic),
            timed: Timed::new(now().monotonic),
            jobs: Arc::new(BackgroundTasks::new(this.clone())),
            this: this.clone(),
        })
    }

    pub(super) fn weak(&self) -> &Weak<Self> {
        &self.this
    }

    /// Writes, and tells everybody. Never waits for the log: for tasks and
    /// threads of the crate, and for those that serve.
    pub(crate) fn update<R>(
        &self,
        write: impl FnOnce(&mut WriterState, &mut SnapshotBuilder) -> R,
    ) -> R {
        let (result, published) = self.publish(write);
        if let Some(published) = published {
            self.notify(&published.sealed);
            published.finish(self);
        }
        result
    }

    /// The same for the application, which waits until the lines of what it
    /// reported are in the log, at most 10 ms.
    pub(crate) fn report<R>(
        &self,
        write: impl FnOnce(&mut WriterState, &mut SnapshotBuilder) -> R,
    ) -> R {
        let (result, published) = self.publish(write);
        if let Some(published) = published {
            self.notify(&published.sealed);
            published.logged.wait();
            published.finish(self);
        }
        result
    }

    /// The only way to write. Writers take turns; what `write` sets is
    /// published, and its lines are queued for the log. It is to be
    /// [spread](Self::spread) and [finished](Publication::finish).
    pub(super) fn publish<R>(
        &self,
        write: impl FnOnce(&mut WriterState, &mut SnapshotBuilder) -> R,
    ) -> (R, Option<Publication>) {
        let log = Log::of_this_thread();
        // Nothing of a user's runs under this lock, so nothing panics while it
        // is held.
        let mut writer_state = self
            .writer_state
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut draft = SnapshotBuilder::new(self.cell.load().0);
        let result = write(&mut writer_state, &mut draft);
        let Some(sealed) = draft.seal() else {
            drop(writer_state);
            log.discard();
            return (result, None);
        };
        self.cell.publish(&sealed.after);
        let logged = log.queue(&sealed, &mut writer_state.log, &self.timed);
        (result, Some(Publication { sealed, logged }))
    }

    /// Lets whoever follows know of what was published.
    pub(super) fn notify(&self, published: &Published) {
        if let Some(slot) = published.timed() {
            self.update_timer(slot);
        }
        if published.changes_disputes() {
            self.update_disputes();
        }
        // The wakers are a user's, so they come last.
        self.changed.wake();
    }

    /// Lets gates admit without a look only while every check runs: the next
    /// request has to start one that does not.
    pub(super) fn update_admit_flags(&self) {
        let _lock = self
            .writer_state
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.cell.hold_flags(self.jobs.checks_wait());
    }

    /// What runs beside the subsystems.
    pub(crate) fn background(&self) -> &Arc<BackgroundTasks> {
        &self.jobs
    }

    /// The counters that requests leave behind.
    pub(crate) fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Whatever holds up the start has got further.
    pub(super) fn made_progress(&self) {
        self.progress.fetch_add(1, Ordering::AcqRel);
        self.further.notify_waiters();
    }

    /// How often that was.
    #[cfg(all(unix, feature = "systemd"))]
    pub(crate) fn progress(&self) -> u64 {
        self.progress.load(Ordering::Acquire)
    }

    /// Waits until it was more often than this.
    #[cfg(all(unix, feature = "systemd"))]
    pub(crate) async fn progress_beyond(&self, seen: u64) {
        loop {
            // Listening comes before looking.
            let further = self.further.notified();
            if self.progress() > seen {
                return;
            }
            further.await;
        }
    }

    pub(crate) fn load(&self) -> Snapshot {
        self.cell.load()
    }

    #[inline]
    pub(crate) fn read<R>(&self, read: impl FnOnce(&Data) -> R) -> R {
        self.cell.read(read)
    }

    pub(crate) fn admit_flag(&self, scope: ScopeId) -> AdmitFlag {
        self.cell.admit_flag(scope)
    }

    /// Waits until `find` finds something in the newest snapshot.
    ///
    /// Cancel safe: nothing is taken until it returns.
    pub(crate) async fn wait_for<R>(
        &self,
        mut find: impl FnMut(&Data) -> Option<R>,
    ) -> Result<R, super::RegistryClosed> {
        loop {
            // Listening comes before looking: what is published in between
            // rings the bell that is already being listened to.
            let mut changed = self.changed.changed();
            // And it comes before looking too, or the last snapshot might be
            // published right after the look.
            let ended = self.ended.load(Ordering::Acquire);
            if let Some(found) = self.read(&mut find) {
                return Ok(found);
            }
            if ended {
                return Err(super::RegistryClosed {});
            }
            poll_fn(|cx| {
                // A runtime that polls is one that may run what no other does.
                self.jobs.start();
                Pin::new(&mut changed).poll(cx)
            })
            .await;
        }
    }

    /// Tells whoever waits that nothing will change any more.
    pub(crate) fn close(&self) {
        self.jobs.end();
        self.ended.store(true, Ordering::Release);
        self.changed.wake();
    }
}

/// The present moment, on tokio's clock where that one is paused.
pub(crate) fn now() -> Moment {
    Moment {
        wall: SystemTime::now(),
        monotonic: tokio::time::Instant::now().into_std(),
    }
}
