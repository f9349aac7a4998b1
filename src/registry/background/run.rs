//! One run of a job, as a task on a runtime.

use crate::{mutex::Mutex, panics::contained, threads};
use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::{runtime::Handle, task::AbortHandle};

/// The future of a job.
pub(crate) type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Drops the future of the run before, and with it the permit of a check, and then goes on
/// with this one: a destructor of the application could wait for a lock that the thread
/// holds whose call has replaced the run.
pub(super) fn after(before: Running, running: Running) -> Running {
    Box::pin(async move {
        discard(before);
        running.await;
    })
}

/// Drops a future, also if a destructor of the application panics.
pub(super) fn discard(future: Running) {
    contained(move || drop(future));
}

/// Identifies a job of a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum TaskId {
    TtlTimer,
    /// The check of the subsystem whose declaration has this address. The job keeps the
    /// declaration, so that no other one gets the address.
    Check(usize),
    /// A watch, which reports on the process itself: its runtime or its traffic.
    Watch(&'static str),
    /// A service manager that is notified of changes.
    #[cfg(all(unix, feature = "systemd"))]
    Mirror(&'static str),
}

impl TaskId {
    pub(crate) fn of_check(declaration: &Arc<crate::state::Declaration>) -> Self {
        Self::Check(Arc::as_ptr(declaration).addr())
    }

    pub(super) fn is_check(self) -> bool {
        matches!(self, Self::Check(_))
    }
}

/// The jobs of a registry, as told by their runs.
pub(super) trait Jobs: Send + Sync {
    /// Reports that a run was dropped before its end.
    fn lose(&self, id: TaskId, run: &Arc<Run>, why: &'static str);

    /// Marks a job as idle: the next call on a runtime starts it.
    fn set_idle(&self);
}

/// A runtime on which jobs start.
pub(super) struct JobRuntime {
    pub(super) handle: Handle,
    /// Whether it belongs to the crate, so that its jobs are stand-ins.
    pub(super) is_own: bool,
}

impl JobRuntime {
    pub(super) fn current() -> Option<Self> {
        Some(Self {
            handle: Handle::try_current().ok()?,
            is_own: threads::is_own(),
        })
    }
}

/// The task of a run, on its runtime.
pub(super) struct Spawned {
    task: AbortHandle,
    runtime: Arc<JobRuntime>,
}

impl Spawned {
    pub(super) fn on(runtime: &Arc<JobRuntime>, task: Task) -> Self {
        Self {
            task: runtime.handle.spawn(task).abort_handle(),
            runtime: Arc::clone(runtime),
        }
    }

    /// Whether the task is gone.
    pub(super) fn is_finished(&self) -> bool {
        self.task.is_finished()
    }

    /// Ends the task as soon as its runtime polls it.
    pub(super) fn abort(&self) {
        self.task.abort();
    }

    /// Ends the task of `run`, and drops its future on this thread unless that is in a poll,
    /// because a runtime that no thread drives drops no task. The future may hold the permit
    /// of a check.
    pub(super) fn end(&self, run: &Run) {
        self.abort();
        if let Some(future) = run.take() {
            // A destructor of the application may spawn a task. A thread that ends can enter no
            // runtime.
            let is_ending = Handle::try_current().is_err_and(|it| it.is_thread_local_destroyed());
            let _entered = (!is_ending).then(|| self.runtime.handle.enter());
            discard(future);
        }
    }
}

/// Between two polls.
const IDLE: u8 = 0;
/// In a poll, which may block its thread.
const POLLING: u8 = 1;
/// Not polled for so long that its runtime may be stuck.
const SUSPECT: u8 = 2;
/// Replaced by another run, and not polled again.
const REPLACED: u8 = 3;

/// The least time between the starts of two runs of a job that panics. On a runtime
/// without timers, every run panics.
const COOL_DOWN: Duration = Duration::from_secs(1);

/// The state of a run, shared by its task and its job.
pub(super) struct Run {
    state: AtomicU8,
    /// Here between two polls, so that the job can drop it: a runtime that no thread drives
    /// drops no task.
    running: Mutex<Option<Running>>,
    ended: AtomicBool,
    polled: AtomicBool,
    /// Whether the run moves to the first runtime of the application that calls.
    pub(super) is_stand_in: bool,
    /// When the run began, by the real clock.
    pub(super) began: Instant,
}

impl Run {
    pub(super) fn begin(is_stand_in: bool) -> Arc<Self> {
        Arc::new(Self {
            state: AtomicU8::new(IDLE),
            running: Mutex::new(None),
            ended: AtomicBool::new(false),
            polled: AtomicBool::new(false),
            is_stand_in,
            began: Instant::now(),
        })
    }

    fn exchange(&self, from: u8, to: u8) -> bool {
        let exchanged = self
            .state
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire);
        exchanged.is_ok()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Whether the run panicked a moment ago.
    pub(super) fn cools_down(&self) -> bool {
        let panicked = self.state.load(Ordering::Acquire) == POLLING;
        panicked && self.has_ended() && self.began.elapsed() < COOL_DOWN
    }

    pub(super) fn was_polled(&self) -> bool {
        self.polled.load(Ordering::Relaxed)
    }

    pub(super) fn is_suspect(&self) -> bool {
        self.state.load(Ordering::Acquire) == SUSPECT
    }

    /// Marks the run as suspect, unless it is in a poll: another run of a job that
    /// blocks its thread would block another thread.
    pub(super) fn suspect(&self) -> bool {
        self.exchange(IDLE, SUSPECT)
    }

    /// Replaces a suspect run, unless it has been polled since. Replaces a stand-in even
    /// in a poll, so that the next poll does not block the thread of the listener.
    pub(super) fn replace(&self) -> bool {
        if self.is_stand_in {
            self.state.store(REPLACED, Ordering::Release);
            return true;
        }
        self.exchange(SUSPECT, REPLACED)
    }

    /// Takes the future of a run that is not in a poll.
    pub(super) fn take(&self) -> Option<Running> {
        self.running.lock().take()
    }
}

/// The future of the task of a run.
pub(super) struct Task {
    guard: Guard,
}

impl Task {
    pub(super) fn new(running: Running, guard: Guard) -> Self {
        *guard.run.running.lock() = Some(running);
        Self { guard }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        drop(self.guard.run.take());
    }
}

impl Future for Task {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let run = Arc::clone(&self.guard.run);
        if !run.exchange(IDLE, POLLING) && !run.exchange(SUSPECT, POLLING) {
            return Poll::Ready(());
        }
        run.polled.store(true, Ordering::Relaxed);
        let Some(mut running) = run.take() else {
            return Poll::Ready(());
        };
        let poll = running.as_mut().poll(cx);
        self.guard.done = poll.is_ready();
        if poll.is_pending() {
            *run.running.lock() = Some(running);
        }
        // A stand-in that was replaced meanwhile ends.
        if run.exchange(POLLING, IDLE) {
            poll
        } else {
            Poll::Ready(())
        }
    }
}

/// Ends the run when its task is dropped, also when its runtime ends.
pub(super) struct Guard {
    jobs: Arc<dyn Jobs>,
    id: TaskId,
    run: Arc<Run>,
    /// The job has nothing left to do.
    done: bool,
}

impl Guard {
    pub(super) fn new(jobs: Arc<dyn Jobs>, id: TaskId, run: &Arc<Run>) -> Self {
        Self {
            jobs,
            id,
            run: Arc::clone(run),
            done: false,
        }
    }

    /// Ends the run of a job that has nothing to do.
    pub(super) fn done(mut self) {
        self.done = true;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.done {
            let why = match self.run.state.load(Ordering::Acquire) {
                POLLING => "its task panicked",
                _ => "its runtime has ended",
            };
            // Before the run is marked as ended, so that this report cannot
            // overwrite one of the next run.
            self.jobs.lose(self.id, &self.run, why);
        }
        self.run.ended.store(true, Ordering::Release);
        self.jobs.set_idle();
    }
}
