//! What runs beside the subsystems: the keeper of the time, checks, watches.
//!
//! A registry can be built where there is no runtime, so each job starts as
//! soon as one is met, by whoever reports or reads there. What is added later
//! by a thread without one starts where the others did. Should that runtime end,
//! all start again on the next one.

use std::{
    collections::{HashMap, hash_map::Entry},
    convert::Infallible,
    fmt,
    hash::Hash,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
};
use tokio::{runtime::Handle, task::AbortHandle};

pub(crate) type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Begins a job, unless there is nothing left to do it for. What it returns
/// does not keep the registry alive, and is dropped when that ends.
pub(crate) type Start = Arc<dyn Fn() -> Option<Running> + Send + Sync>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum JobId {
    Keeper,
    /// The check of the subsystem in this slot.
    Check(crate::state::Slot),
    /// What the crate reports of the process by itself.
    Watch(&'static str),
    /// Whom the crate tells of it.
    #[cfg(all(unix, feature = "systemd"))]
    Mirror(&'static str),
}

pub(crate) struct Jobs {
    /// Some job does not run, or there has been no runtime yet.
    idle: AtomicBool,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    ended: bool,
    jobs: HashMap<JobId, Job>,
    /// Where the jobs were started last, for those who add one where there is
    /// none.
    runtime: Option<Arc<Handle>>,
    /// Hung up when the registry ends, for threads to end with it.
    lines: Vec<Sender<Infallible>>,
}

impl Table {
    /// Or it would be tried again by each who reports where there is none.
    fn forget(&mut self, ended: &Arc<Handle>) {
        self.runtime.take_if(|last| Arc::ptr_eq(last, ended));
    }
}

pub(crate) struct Job {
    start: Start,
    runs: Arc<AtomicBool>,
    handle: Option<AbortHandle>,
}

impl Job {
    pub(crate) fn end(self) {
        if let Some(handle) = self.handle {
            handle.abort();
        }
    }
}

impl Default for Jobs {
    fn default() -> Self {
        Self {
            idle: AtomicBool::new(true),
            table: Mutex::default(),
        }
    }
}

impl Jobs {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes on a job, unless there is one of this id: then it is `false`.
    pub(crate) fn add(&self, id: JobId, start: impl FnOnce() -> Start) -> bool {
        let mut table = self.table();
        if table.ended {
            return true;
        }
        let Entry::Vacant(place) = table.jobs.entry(id) else {
            return false;
        };
        place.insert(Job {
            start: start(),
            runs: Arc::default(),
            handle: None,
        });
        self.idle.store(true, Ordering::Release);
        true
    }

    /// Takes a job away, to be ended where no lock is held: what it drops may
    /// be a user's.
    #[must_use = "it goes on until it is ended"]
    pub(crate) fn take(&self, id: JobId) -> Option<Job> {
        self.table().jobs.remove(&id)
    }

    /// Ends all jobs, for good.
    pub(crate) fn end(&self) {
        let (jobs, _runtime) = {
            let mut table = self.table();
            table.ended = true;
            table.lines.clear();
            (std::mem::take(&mut table.jobs), table.runtime.take())
        };
        jobs.into_values().for_each(Job::end);
    }

    /// A line that is hung up when the registry ends.
    pub(crate) fn line(&self) -> Receiver<Infallible> {
        let (sender, receiver) = channel();
        let mut table = self.table();
        if !table.ended {
            table.lines.push(sender);
        }
        receiver
    }

    /// Starts what does not run: on the runtime here, or where the rest was
    /// started.
    #[inline]
    pub(crate) fn start(self: &Arc<Self>) {
        if self.idle.load(Ordering::Relaxed) {
            self.start_idle();
        }
    }

    #[cold]
    fn start_idle(self: &Arc<Self>) {
        let here = Handle::try_current().ok().map(Arc::new);
        // Dropped outside of the lock: with a runtime goes what it was made with.
        let before;
        let (runtime, idle): (_, Vec<_>) = {
            let mut table = self.table();
            before = table.runtime.take();
            let Some(runtime) = here.as_ref().or(before.as_ref()).map(Arc::clone) else {
                return;
            };
            if !table.ended {
                table.runtime = Some(Arc::clone(&runtime));
            }
            self.idle.store(false, Ordering::Release);
            let idle = table
                .jobs
                .iter()
                .filter(|(_, job)| !job.runs.swap(true, Ordering::AcqRel));
            let idle = idle.map(|(id, job)| (*id, Arc::clone(&job.start), Arc::clone(&job.runs)));
            (runtime, idle.collect())
        };
        for (id, start, runs) in idle {
            let guard = Guard {
                jobs: Arc::clone(self),
                runs: Arc::clone(&runs),
            };
            let Some(running) = start() else { continue };
            // Outside of the lock, for a runtime that shuts down drops it at
            // once.
            let task = runtime.spawn(async move {
                let _guard = guard;
                running.await;
            });
            let handle = task.abort_handle();
            let mut table = self.table();
            match table.jobs.get_mut(&id) {
                // Its runtime has ended. It may run elsewhere by now.
                _ if handle.is_finished() => table.forget(&runtime),
                Some(job) if Arc::ptr_eq(&job.runs, &runs) => job.handle = Some(handle),
                // Removed meanwhile.
                _ => {
                    drop(table);
                    handle.abort();
                }
            }
        }
    }
}

/// Dropped with the task, as when its runtime ends.
struct Guard {
    jobs: Arc<Jobs>,
    runs: Arc<AtomicBool>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.runs.store(false, Ordering::Release);
        self.jobs.idle.store(true, Ordering::Release);
    }
}

impl fmt::Debug for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = self.table();
        f.debug_set().entries(table.jobs.keys()).finish()
    }
}

#[cfg(all(test, not(tower_readiness_loom)))]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn a_runtime_that_has_ended_is_not_tried_twice() {
        let jobs = Arc::new(Jobs::default());
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.build().unwrap();
        runtime.block_on(async { jobs.start() });
        drop(runtime);
        let tried = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&tried);
        jobs.add(JobId::Keeper, || {
            Arc::new(move || {
                count.fetch_add(1, Ordering::Relaxed);
                Some(Box::pin(std::future::pending()))
            })
        });
        jobs.start();
        jobs.start();
        assert_eq!(tried.load(Ordering::Relaxed), 1);
    }
}
