//! The timer thread. It publishes changes that are due while the runtime of a
//! registry hangs or has ended, and wakes the tasks that a report does not wake
//! itself.
//!
//! All registries of the process share one thread, started on first use. It holds
//! them weakly, uses the real clock, and sleeps while it has no work. If no thread
//! can be started, readers publish the changes, and a report wakes all tasks
//! itself.

use crate::{mutex::Mutex, panics::contained, threads::SharedThread};
use std::{
    iter::Flatten,
    sync::{Condvar, MutexGuard, PoisonError, Weak},
    task::Waker,
    time::Instant,
    vec,
};

static THREAD: SharedThread = SharedThread::new("readiness-timer", || WORK.run());

static WORK: Work = Work {
    state: Mutex::new(ThreadState {
        planned: Vec::new(),
        woken: Vec::new(),
    }),
    added: Condvar::new(),
};

/// A registry, as seen by what it owns.
pub(super) trait Owner: Send + Sync {
    /// Publishes overdue changes on the timer thread, which planned to come at
    /// `planned`. Returns when the thread comes next.
    fn run_on_timer_thread(&self, planned: Instant) -> Option<Instant>;

    /// Keeps the admit flags cleared while a check waits for a runtime, so that the
    /// next request takes the slow path and starts the check.
    fn update_admit_flags(&self);

    /// Whether tokio's clock was seen paused, as in tests.
    fn is_paused(&self) -> bool;
}

/// Taken wakers, not woken yet.
pub(super) struct Woken(pub(super) Flatten<vec::IntoIter<Option<Waker>>>);

impl Woken {
    /// Wakes the first of them, at most so many.
    pub(super) fn wake(&mut self, most: usize) {
        for waker in self.0.by_ref().take(most) {
            contained(|| waker.wake());
        }
    }

    pub(super) fn wake_all(mut self) {
        self.wake(usize::MAX);
    }
}

/// The work of the thread.
struct Work {
    state: Mutex<ThreadState>,
    /// Wakes the thread when work was added.
    added: Condvar,
}

struct ThreadState {
    /// When to run which registry; at most one entry for each registry.
    planned: Vec<(Weak<dyn Owner>, Instant)>,
    woken: Vec<Woken>,
}

/// Lets the thread run a registry at `at` by the real clock, or at an earlier time
/// set before.
pub(super) fn wake_at(registry: Weak<dyn Owner>, at: Instant) {
    if cfg!(all(test, tower_readiness_loom)) {
        return;
    }
    WORK.state.lock().wake_at(registry, at);
    WORK.added.notify_one();
    // If the thread cannot be started, the next call tries again.
    start();
}

/// Lets the thread wake these wakers. Returns them if there is no thread.
pub(super) fn wake(woken: Woken) -> Result<(), Woken> {
    if cfg!(all(test, tower_readiness_loom)) || !start() {
        return Err(woken);
    }
    WORK.state.lock().woken.push(woken);
    WORK.added.notify_one();
    Ok(())
}

/// Starts the thread, unless it runs; `false` if the system cannot start it.
pub(crate) fn start() -> bool {
    THREAD.start()
}

impl Work {
    fn run(&self) {
        let mut state = self.state.lock();
        loop {
            let woken = std::mem::take(&mut state.woken);
            let due = state.due(Instant::now());
            if woken.is_empty() && due.is_empty() {
                state = self.sleep(state);
                continue;
            }
            drop(state);
            // A log subscriber may have been set since.
            #[cfg(feature = "tracing")]
            crate::threads::mute();
            // Deadlines come first, since there may be many wakers.
            let next: Vec<_> = due.into_iter().filter_map(run_registry).collect();
            woken.into_iter().for_each(Woken::wake_all);
            state = self.state.lock();
            for (registry, at) in next {
                state.wake_at(registry, at);
            }
        }
    }

    fn sleep<'a>(&self, state: MutexGuard<'a, ThreadState>) -> MutexGuard<'a, ThreadState> {
        match state.planned.iter().map(|(_, at)| *at).min() {
            Some(at) => {
                let time = at.saturating_duration_since(Instant::now());
                let slept = self.added.wait_timeout(state, time);
                slept.unwrap_or_else(PoisonError::into_inner).0
            }
            None => {
                let slept = self.added.wait(state);
                slept.unwrap_or_else(PoisonError::into_inner)
            }
        }
    }
}

impl ThreadState {
    fn wake_at(&mut self, registry: Weak<dyn Owner>, at: Instant) {
        match self.planned.iter_mut().find(|(it, _)| it.ptr_eq(&registry)) {
            Some((_, earliest)) => *earliest = at.min(*earliest),
            None => self.planned.push((registry, at)),
        }
    }

    /// Takes the registries that are due, and those already dropped.
    fn due(&mut self, now: Instant) -> Vec<(Weak<dyn Owner>, Instant)> {
        let planned = std::mem::take(&mut self.planned).into_iter();
        let (due, later) =
            planned.partition(|(registry, at)| *at <= now || registry.strong_count() == 0);
        self.planned = later;
        due
    }
}

/// Runs one registry, and returns when to run it again.
fn run_registry((weak, planned): (Weak<dyn Owner>, Instant)) -> Option<(Weak<dyn Owner>, Instant)> {
    // This may drop the last reference to a registry, and with it values of the
    // application, whose drop may panic.
    let mut next = None;
    contained(|| {
        let registry = weak.upgrade();
        next = registry.and_then(|registry| registry.run_on_timer_thread(planned));
    });
    Some((weak, next?))
}
