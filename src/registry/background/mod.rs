//! The background tasks of a registry: the timer task, checks, watches.
//!
//! A registry can be built without a runtime, so each job starts with the first
//! report or read on a runtime. A job that a thread without a runtime adds later
//! starts on the same runtime as the others. If that runtime ends, all jobs start
//! again on the next one. So does a check whose runtime does not poll it, because no
//! thread drives the runtime or its threads are blocked. The runtime of the admin
//! listener never takes over such a check.
//!
//! The runtime of an admin listener that has a thread of its own is no runtime of the
//! application. A process may have no other, so a job does start there, but only as a
//! stand-in: the first call on a runtime of the application moves it. There a check that
//! blocks delays no probe, and a runtime that hangs stops checks and pings.

mod job;
mod run;

#[cfg(feature = "check")]
pub(crate) use self::run::Running;
use self::{
    job::{Begun, Job},
    run::{Guard, JobRuntime, Jobs, Run, Spawned, Task},
};
pub(crate) use self::{
    job::{Lost, Start},
    run::TaskId,
};
use super::{
    shrink::shrink,
    timer_thread::{self, Owner},
};
use crate::{mutex::Mutex, panics::contained};
use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::runtime::Handle;

/// How long a runtime may take to poll a check for the first time.
const FIRST_POLL_WITHIN: Duration = Duration::from_secs(1);

/// The jobs of a registry, each run as a task on a runtime.
pub(crate) struct BackgroundTasks {
    registry: Weak<dyn Owner>,
    /// Whether a job is idle, or no runtime has been used yet.
    idle: AtomicBool,
    /// Whether the table has a runtime. It is set under the lock of the table, so a thread
    /// that has added a job since then sees it.
    has_runtime: AtomicBool,
    /// The number of jobs that are checks.
    checks: AtomicUsize,
    /// Whether a job runs as a stand-in.
    stand_ins: AtomicBool,
    /// Whether a check may not have been polled yet.
    unpolled: AtomicBool,
    table: Mutex<TaskTable>,
}

#[derive(Default)]
struct TaskTable {
    ended: bool,
    jobs: HashMap<TaskId, Job>,
    /// The runtime on which jobs were started last, for jobs that are added
    /// without a runtime.
    runtime: Option<Arc<JobRuntime>>,
}

impl BackgroundTasks {
    pub(super) fn new(registry: Weak<dyn Owner>) -> Self {
        Self {
            registry,
            idle: AtomicBool::new(true),
            has_runtime: AtomicBool::new(false),
            checks: AtomicUsize::new(0),
            stand_ins: AtomicBool::new(false),
            unpolled: AtomicBool::new(false),
            table: Mutex::default(),
        }
    }

    /// Adds a job. Returns `false` if a job has this id already.
    pub(crate) fn add(&self, id: TaskId, start: impl FnOnce() -> Start) -> bool {
        self.add_with(id, None, start)
    }

    /// Adds the job of a check, or another.
    pub(super) fn add_with(
        &self,
        id: TaskId,
        lost: Option<Lost>,
        start: impl FnOnce() -> Start,
    ) -> bool {
        let job = || Job {
            start: start(),
            lost,
            run: None,
            task: None,
        };
        let is_added = self.insert(id, job);
        if is_added {
            self.set_idle();
        }
        is_added
    }

    /// Adds a job that runs on `runtime` until that ends, unlike [`add`](Self::add), whose job
    /// a call on any runtime may start first.
    pub(crate) fn add_on(self: &Arc<Self>, runtime: Handle, id: TaskId, start: Start) {
        let run = Run::begin(false);
        let job = || Job {
            start: Arc::clone(&start),
            lost: None,
            run: Some(Arc::clone(&run)),
            task: None,
        };
        if self.insert(id, job) {
            let runtime = JobRuntime {
                handle: runtime,
                is_own: false,
            };
            let begun = Begun {
                start,
                run,
                before: None,
                replaced: None,
            };
            self.spawn(&Arc::new(runtime), id, begun);
        }
    }

    fn insert(&self, id: TaskId, job: impl FnOnce() -> Job) -> bool {
        let mut table = self.table.lock();
        if table.ended {
            return true;
        }
        let Entry::Vacant(place) = table.jobs.entry(id) else {
            return false;
        };
        place.insert(job());
        self.checks
            .fetch_add(usize::from(id.is_check()), Ordering::Relaxed);
        true
    }

    /// Removes a job. The caller ends it without holding a lock, since this may drop
    /// values of the application.
    #[must_use = "the job runs until it is ended"]
    pub(crate) fn take(&self, id: TaskId) -> Option<Job> {
        let mut table = self.table.lock();
        let job = table.jobs.remove(&id)?;
        shrink(&mut table.jobs);
        self.checks
            .fetch_sub(usize::from(id.is_check()), Ordering::Relaxed);
        Some(job)
    }

    /// Ends all jobs, for good.
    pub(crate) fn end(&self) {
        let (jobs, _runtime) = {
            let mut table = self.table.lock();
            table.ended = true;
            self.has_runtime.store(false, Ordering::Relaxed);
            (std::mem::take(&mut table.jobs), table.runtime.take())
        };
        jobs.into_values().for_each(Job::end);
    }

    // === idle jobs ===

    /// Whether a check may wait for a runtime, or a stand-in for one of the application.
    pub(super) fn wait_for_runtime(&self) -> bool {
        let checks_wait =
            self.idle.load(Ordering::Acquire) && self.checks.load(Ordering::Relaxed) > 0;
        checks_wait || self.stand_ins.load(Ordering::Relaxed)
    }

    fn update_admit_flags(&self) {
        if let Some(registry) = self.registry.upgrade() {
            registry.update_admit_flags();
        }
    }

    /// Marks a job whose runtime may not poll it: the next call on another runtime
    /// starts it there.
    pub(super) fn suspect(&self, id: TaskId) {
        let run = self
            .table
            .lock()
            .jobs
            .get(&id)
            .and_then(|job| job.run.clone());
        if run.is_some_and(|run| run.suspect()) {
            self.set_idle();
        }
    }

    /// Marks the checks that have not been polled in time, and returns when to call
    /// this again.
    pub(super) fn suspect_unpolled(&self, now: Instant) -> Option<Instant> {
        if !self.unpolled.swap(false, Ordering::AcqRel) {
            return None;
        }
        let mut next = None;
        let mut found = false;
        for (id, job) in &self.table.lock().jobs {
            let run = job.run.as_ref().filter(|_| id.is_check());
            let Some(run) = run.filter(|run| !run.was_polled()) else {
                continue;
            };
            let until = run.began + FIRST_POLL_WITHIN;
            if until <= now {
                found |= run.suspect();
            } else {
                next = next.into_iter().chain([until]).min();
            }
        }
        if next.is_some() {
            self.unpolled.store(true, Ordering::Release);
        }
        if found {
            self.set_idle();
        }
        next
    }

    // === starting ===

    /// Starts the idle jobs: on the current runtime, or else on the last one used.
    /// Moves the stand-ins to the current runtime if it is one of the application.
    #[inline]
    pub(crate) fn start(self: &Arc<Self>) {
        if self.idle.load(Ordering::Relaxed) || self.stand_ins.load(Ordering::Relaxed) {
            self.start_or_move();
        }
    }

    #[cold]
    fn start_or_move(self: &Arc<Self>) {
        let here = JobRuntime::current();
        // The admin listener's own thread takes no check from a blocked runtime: the
        // check would succeed there, although the blocked runtime has to serve the
        // requests.
        let can_move = here.as_ref().is_some_and(|here| !here.is_own);
        if !can_move && !self.idle.load(Ordering::Relaxed) {
            return;
        }
        // In a program without a runtime, jobs stay idle for good, and its reports take no lock.
        if here.is_none() && !self.has_runtime.load(Ordering::Relaxed) {
            return;
        }
        let here = here.map(Arc::new);
        // The runtime before is dropped outside of the lock, since that may drop values of the
        // application.
        let (runtime, begun, _before) = {
            let mut table = self.table.lock();
            let last = table.runtime.as_ref();
            let Some(runtime) = here.as_ref().or(last).map(Arc::clone) else {
                return;
            };
            // A runtime of the crate replaces none of the application.
            let stays = runtime.is_own && last.is_some_and(|last| !last.is_own);
            let before = if table.ended || stays {
                None
            } else {
                self.has_runtime.store(true, Ordering::Relaxed);
                table.runtime.replace(Arc::clone(&runtime))
            };
            // A swap, because it reads what a run that ends meanwhile has set, and so sees its
            // end below.
            self.idle.swap(false, Ordering::AcqRel);
            let mut begun = Vec::new();
            for (id, job) in &mut table.jobs {
                let new = job.begin(runtime.is_own, can_move);
                begun.extend(new.map(|it| (*id, it)));
                if job.waits() {
                    self.idle.store(true, Ordering::Release);
                }
            }
            let stand_ins = table.jobs.values().any(Job::is_stand_in);
            self.stand_ins.store(stand_ins, Ordering::Relaxed);
            (runtime, begun, before)
        };
        let mut checks = false;
        for (id, begun) in begun {
            if let Some(before) = &begun.before {
                before.abort();
            }
            checks |= self.spawn(&runtime, id, begun) && id.is_check();
        }
        self.update_admit_flags();
        if checks {
            self.expect_polls();
        }
    }

    /// Spawns a run, unless its job has nothing left to do.
    fn spawn(self: &Arc<Self>, runtime: &Arc<JobRuntime>, id: TaskId, begun: Begun) -> bool {
        let run = &begun.run;
        let guard = Guard::new(self.clone(), id, run);
        let Some(running) = (begun.start)() else {
            guard.done();
            begun.replaced.into_iter().for_each(run::discard);
            return false;
        };
        let running = match begun.replaced {
            Some(replaced) => run::after(replaced, running),
            None => running,
        };
        // Outside of the lock, since a runtime that shuts down drops the task at once.
        let task = Spawned::on(runtime, Task::new(running, guard));
        let mut table = self.table.lock();
        match table.jobs.get_mut(&id) {
            // The job may run on another runtime by now.
            _ if task.is_finished() => {
                // A runtime that has ended drops the task before its first poll. Reports
                // without a runtime do not try it again.
                let has_ended = !run.was_polled();
                let is_it = |last: &mut Arc<_>| has_ended && Arc::ptr_eq(last, runtime);
                if table.runtime.take_if(is_it).is_some() {
                    self.has_runtime.store(false, Ordering::Relaxed);
                }
            }
            Some(job) if job.run.as_ref().is_some_and(|it| Arc::ptr_eq(it, run)) => {
                job.task = Some(task);
            }
            // The job was removed meanwhile.
            _ => {
                drop(table);
                contained(|| task.end(run));
            }
        }
        true
    }

    /// Lets the timer thread check that the spawned checks are polled.
    fn expect_polls(&self) {
        let Some(registry) = self.registry.upgrade() else {
            return;
        };
        if !registry.is_paused() {
            self.unpolled.store(true, Ordering::Release);
            timer_thread::wake_at(self.registry.clone(), Instant::now() + FIRST_POLL_WITHIN);
        }
    }
}

impl Jobs for BackgroundTasks {
    fn lose(&self, id: TaskId, run: &Arc<Run>, why: &'static str) {
        let lost = {
            let table = self.table.lock();
            let job = table.jobs.get(&id);
            // Not if another run has replaced it.
            let job = job.filter(|job| job.run.as_ref().is_some_and(|it| Arc::ptr_eq(it, run)));
            job.and_then(|job| job.lost.clone())
        };
        if let Some(lost) = lost {
            lost(why);
        }
    }

    fn set_idle(&self) {
        self.idle.store(true, Ordering::Release);
        self.update_admit_flags();
    }
}

impl fmt::Debug for BackgroundTasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = self.table.lock();
        f.debug_set().entries(table.jobs.keys()).finish()
    }
}

#[cfg(all(test, not(tower_readiness_loom)))]
mod tests;
