//! One run of a job, as a task on a runtime.

use super::{BackgroundTasks, Running, TaskId};
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

/// Between two polls.
const IDLE: u8 = 0;
/// In a poll, perhaps in one that blocks its thread.
const POLLING: u8 = 1;
/// Not polled for so long that its runtime may have no thread to spare.
const SUSPECT: u8 = 2;
/// Another run has taken its place; it is not polled again.
const REPLACED: u8 = 3;

/// How long after its begin a run that panicked is followed by another one. On a
/// runtime without timers, each of them panics.
const COOL_DOWN: Duration = Duration::from_secs(1);

/// What a task and its job share.
#[derive(Debug)]
pub(super) struct Run {
    state: AtomicU8,
    ended: AtomicBool,
    polled: AtomicBool,
    /// By the real clock.
    pub(super) began: Instant,
}

impl Run {
    pub(super) fn begin() -> Arc<Self> {
        Arc::new(Self {
            state: AtomicU8::new(IDLE),
            ended: AtomicBool::new(false),
            polled: AtomicBool::new(false),
            began: Instant::now(),
        })
    }

    fn turn(&self, from: u8, to: u8) -> bool {
        let turned = self
            .state
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire);
        turned.is_ok()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// It ended by a panic a moment ago.
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

    /// Suspects it, unless it is in a poll: to begin anew what blocks its thread
    /// would block another one.
    pub(super) fn suspect(&self) -> bool {
        self.turn(IDLE, SUSPECT)
    }

    /// Takes its place from a suspect, unless that is polled by now.
    pub(super) fn replace(&self) -> bool {
        self.turn(SUSPECT, REPLACED)
    }
}

/// The future of the task.
pub(super) struct Task {
    running: Running,
    guard: Guard,
}

impl Task {
    pub(super) fn new(running: Running, guard: Guard) -> Self {
        Self { running, guard }
    }
}

impl Future for Task {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let run = Arc::clone(&self.guard.run);
        if !run.turn(IDLE, POLLING) && !run.turn(SUSPECT, POLLING) {
            return Poll::Ready(());
        }
        run.polled.store(true, Ordering::Relaxed);
        let poll = self.running.as_mut().poll(cx);
        self.guard.done = poll.is_ready();
        run.turn(POLLING, IDLE);
        poll
    }
}

/// Dropped with the task, as when its runtime ends.
pub(super) struct Guard {
    jobs: Arc<BackgroundTasks>,
    id: TaskId,
    run: Arc<Run>,
    /// There is nothing left to do.
    done: bool,
}

impl Guard {
    pub(super) fn new(jobs: &Arc<BackgroundTasks>, id: TaskId, run: &Arc<Run>) -> Self {
        Self {
            jobs: Arc::clone(jobs),
            id,
            run: Arc::clone(run),
            done: false,
        }
    }

    /// There was nothing to do.
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
            // First, or the next run could find something that this overwrites.
            self.jobs.lose(self.id, &self.run, why);
        }
        self.run.ended.store(true, Ordering::Release);
        self.jobs.wait();
    }
}
