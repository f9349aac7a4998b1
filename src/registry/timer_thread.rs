//! The thread for what no runtime carries: times that are due while the runtime
//! of a registry hangs or has ended, and wakers beyond those that a report wakes
//! itself.
//!
//! One for all registries of the process, started when it is first needed. It
//! holds them weakly, goes by the real clock, and sleeps for as long as there is
//! nothing to do. Where no thread can be started, readers publish what is due,
//! and a report wakes everything itself.

use super::{core::Registry, wakers::Woken};
use crate::threads::SharedThread;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Condvar, Mutex, MutexGuard, PoisonError, Weak},
    time::Instant,
};

static THREAD: SharedThread = SharedThread::new("readiness-timer", || WORK.run());

static WORK: Work = Work {
    state: Mutex::new(State {
        turns: Vec::new(),
        woken: Vec::new(),
    }),
    more: Condvar::new(),
};

/// What the thread has to do.
struct Work {
    state: Mutex<State>,
    /// There is more than when the thread went to sleep.
    more: Condvar,
}

struct State {
    /// When to look at which registry, each of them once.
    turns: Vec<(Weak<Registry>, Instant)>,
    woken: Vec<Woken>,
}

/// Lets the thread look at a registry at this moment of the real clock, or
/// earlier if it was to.
pub(super) fn look_at(registry: &Weak<Registry>, at: Instant) {
    if cfg!(all(test, tower_readiness_loom)) {
        return;
    }
    WORK.state().look_at(registry, at);
    WORK.more.notify_one();
    // Where there is none, the next call tries again.
    start();
}

/// Lets the thread wake these; they come back where there is none.
pub(super) fn wake(woken: Woken) -> Result<(), Woken> {
    if cfg!(all(test, tower_readiness_loom)) || !start() {
        return Err(woken);
    }
    WORK.state().woken.push(woken);
    WORK.more.notify_one();
    Ok(())
}

/// Starts the thread, unless it runs; `false` where the system has none to give.
pub(crate) fn start() -> bool {
    THREAD.start()
}

impl Work {
    /// Nothing of a user's runs under this lock.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut state = self.state();
        loop {
            let woken = std::mem::take(&mut state.woken);
            let due = state.due(Instant::now());
            if woken.is_empty() && due.is_empty() {
                state = self.sleep(state);
                continue;
            }
            drop(state);
            // By now there may be a subscriber.
            #[cfg(feature = "tracing")]
            crate::threads::mute();
            // Times come first: there may be many wakers.
            let next: Vec<_> = due.into_iter().filter_map(turn).collect();
            woken.into_iter().for_each(Woken::wake_all);
            state = self.state();
            for (registry, at) in next {
                state.look_at(&registry, at);
            }
        }
    }

    fn sleep<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        match state.turns.iter().map(|(_, at)| *at).min() {
            Some(at) => {
                let time = at.saturating_duration_since(Instant::now());
                let slept = self.more.wait_timeout(state, time);
                slept.unwrap_or_else(PoisonError::into_inner).0
            }
            None => {
                let slept = self.more.wait(state);
                slept.unwrap_or_else(PoisonError::into_inner)
            }
        }
    }
}

impl State {
    fn look_at(&mut self, registry: &Weak<Registry>, at: Instant) {
        match self.turns.iter_mut().find(|(it, _)| it.ptr_eq(registry)) {
            Some((_, earliest)) => *earliest = at.min(*earliest),
            None => self.turns.push((Weak::clone(registry), at)),
        }
    }

    /// Takes what is due by now, and what is gone.
    fn due(&mut self, now: Instant) -> Vec<(Weak<Registry>, Instant)> {
        let turns = std::mem::take(&mut self.turns).into_iter();
        let (due, later) =
            turns.partition(|(registry, at)| *at <= now || registry.strong_count() == 0);
        self.turns = later;
        due
    }
}

/// Looks at one registry, and tells when to do so again.
fn turn((weak, planned): (Weak<Registry>, Instant)) -> Option<(Weak<Registry>, Instant)> {
    // The last share of a registry may go here, and with it what is a user's.
    let next = catch_unwind(AssertUnwindSafe(|| {
        let registry = weak.upgrade()?;
        registry.run_on_timer_thread(planned)
    }));
    Some((weak, next.ok()??))
}
