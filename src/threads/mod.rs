//! The crate's own threads.

#[cfg(feature = "tracing")]
mod mute;

#[cfg(feature = "tracing")]
pub(crate) use self::mute::{ask_all, mute, unmute};

use crate::mutex::Mutex;
use std::{
    cell::Cell,
    io,
    sync::atomic::{AtomicBool, Ordering},
    thread::{Builder, JoinHandle},
    time::{Duration, Instant},
};

thread_local!(static OWN: Cell<bool> = const { Cell::new(false) });

/// Starts a thread of the crate's own.
///
/// Events that other crates trace on it (h2 does so for each frame) reach no
/// subscriber, so that a log that is not read cannot block the thread. The
/// crate's own lines are written by another thread.
///
/// # Errors
///
/// If the system cannot start another thread.
pub(crate) fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    Builder::new().name(name.to_owned()).spawn(move || {
        OWN.set(true);
        #[cfg(feature = "tracing")]
        mute();
        run();
    })
}

/// Marks the present thread as one of the crate's own: a thread that a runtime of the
/// crate starts for blocking work.
#[cfg(feature = "server")]
pub(crate) fn mark_own() {
    OWN.set(true);
}

/// Whether the present thread is one of the crate's own.
pub(crate) fn is_own() -> bool {
    // The flag of a thread that ends may be gone.
    OWN.try_with(Cell::get).unwrap_or(false)
}

/// A thread that all registries of the process share. It is started at its
/// first use, and again if it has ended.
#[derive(Debug)]
pub(crate) struct SharedThread {
    name: &'static str,
    run: fn(),
    is_running: AtomicBool,
    /// When the system last could not start the thread.
    failed_at: Mutex<Option<Instant>>,
}

impl SharedThread {
    /// The time from a failed start to the next attempt.
    const RETRY_AFTER: Duration = Duration::from_secs(1);

    pub(crate) const fn new(name: &'static str, run: fn()) -> Self {
        Self {
            name,
            run,
            is_running: AtomicBool::new(false),
            failed_at: Mutex::new(None),
        }
    }

    /// Starts the thread unless it runs. Returns `false` if the system cannot
    /// start it.
    ///
    /// The thread may end at any later moment, if `run` returns or panics.
    pub(crate) fn start(&'static self) -> bool {
        self.is_running.load(Ordering::Acquire)
            || self.start_by(|run| spawn(self.name, run).map(drop))
    }

    #[cold]
    fn start_by(
        &'static self,
        spawn: impl FnOnce(Box<dyn FnOnce() + Send>) -> io::Result<()>,
    ) -> bool {
        let mut failed_at = self.failed_at.lock();
        if self.is_running.load(Ordering::Acquire) {
            return true;
        }
        if failed_at.is_some_and(|at| at.elapsed() < Self::RETRY_AFTER) {
            return false;
        }
        self.is_running.store(true, Ordering::Release);
        let run = Box::new(|| {
            let _clear = ClearOnEnd(&self.is_running);
            (self.run)();
        });
        let started = spawn(run).is_ok();
        if !started {
            self.is_running.store(false, Ordering::Release);
        }
        *failed_at = (!started).then(Instant::now);
        started
    }
}

/// Clears the flag when the thread ends.
struct ClearOnEnd<'a>(&'a AtomicBool);

impl Drop for ClearOnEnd<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::mpsc, thread};

    #[test]
    fn a_thread_of_the_crate_is_marked_as_its_own() {
        assert!(!is_own());
        let (sender, receiver) = mpsc::channel();
        let thread = spawn("readiness-test", move || {
            let name = thread::current().name().map(str::to_owned);
            sender.send((is_own(), name)).unwrap();
        });
        thread.unwrap().join().unwrap();
        assert_eq!(
            receiver.recv().unwrap(),
            (true, Some("readiness-test".into()))
        );
    }

    #[test]
    fn a_shared_thread_is_started_once_and_again_after_its_end() {
        static THREAD: SharedThread = SharedThread::new("readiness-test", || ());
        let mut bodies = Vec::new();
        let mut start = || {
            THREAD.start_by(|body| {
                bodies.push(body);
                Ok(())
            })
        };
        assert!(start() && start());
        assert_eq!(bodies.len(), 1);
        bodies.pop().unwrap()();
        assert!(!THREAD.is_running.load(Ordering::Acquire));
        assert!(THREAD.start());
    }

    #[test]
    fn a_failed_start_is_repeated_only_after_a_while() {
        static THREAD: SharedThread = SharedThread::new("readiness-test", || ());
        assert!(!THREAD.start_by(|_| Err(io::Error::other("no room"))));
        assert!(!THREAD.start_by(|_| Ok(())), "too soon");
        let long_ago = Instant::now().checked_sub(SharedThread::RETRY_AFTER);
        *THREAD.failed_at.lock() = long_ago;
        assert!(THREAD.start());
    }
}
