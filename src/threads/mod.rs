//! Threads of the crate's own.

#[cfg(feature = "tracing")]
mod mute;

#[cfg(feature = "tracing")]
pub(crate) use self::mute::{ask_all, mute, unmute};

use std::{
    cell::Cell,
    io,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
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
/// When the system has no room for another thread.
pub(crate) fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    Builder::new().name(name.to_owned()).spawn(move || {
        OWN.set(true);
        #[cfg(feature = "tracing")]
        mute();
        run();
    })
}

/// Whether the present thread is one of the crate's own.
pub(crate) fn is_own() -> bool {
    // The flag of a thread that ends may be gone.
    OWN.try_with(Cell::get).unwrap_or(false)
}

/// A thread that all registries of the process share. It is started when it is
/// first needed, and again if it has ended.
#[derive(Debug)]
pub(crate) struct SharedThread {
    name: &'static str,
    run: fn(),
    runs: AtomicBool,
    /// When the system had no thread to give.
    refused: Mutex<Option<Instant>>,
}

impl SharedThread {
    /// How soon the system is asked again for a thread that it did not have.
    const RETRY_AFTER: Duration = Duration::from_secs(1);

    pub(crate) const fn new(name: &'static str, run: fn()) -> Self {
        Self {
            name,
            run,
            runs: AtomicBool::new(false),
            refused: Mutex::new(None),
        }
    }

    /// Starts the thread unless it runs. Returns `false` if it does not run,
    /// because the system has no thread to give.
    ///
    /// The thread may end at any later moment, if `run` returns or panics.
    pub(crate) fn start(&'static self) -> bool {
        self.runs.load(Ordering::Acquire) || self.start_by(|run| spawn(self.name, run).map(drop))
    }

    #[cold]
    fn start_by(
        &'static self,
        spawn: impl FnOnce(Box<dyn FnOnce() + Send>) -> io::Result<()>,
    ) -> bool {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if self.runs.load(Ordering::Acquire) {
            return true;
        }
        if refused.is_some_and(|at| at.elapsed() < Self::RETRY_AFTER) {
            return false;
        }
        self.runs.store(true, Ordering::Release);
        let run = Box::new(|| {
            let _ended = Ended(&self.runs);
            (self.run)();
        });
        let started = spawn(run).is_ok();
        if !started {
            self.runs.store(false, Ordering::Release);
        }
        *refused = (!started).then(Instant::now);
        started
    }
}

/// Dropped when the thread ends.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::mpsc, thread};

    #[test]
    fn a_thread_of_the_crate_knows_that_it_is_one() {
        assert!(!is_own());
        let (tell, told) = mpsc::channel();
        let thread = spawn("readiness-test", move || {
            let name = thread::current().name().map(str::to_owned);
            tell.send((is_own(), name)).unwrap();
        });
        thread.unwrap().join().unwrap();
        assert_eq!(told.recv().unwrap(), (true, Some("readiness-test".into())));
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
        assert!(!THREAD.runs.load(Ordering::Acquire));
        assert!(THREAD.start());
    }

    #[test]
    fn a_thread_that_the_system_does_not_have_is_not_asked_for_at_once_again() {
        static THREAD: SharedThread = SharedThread::new("readiness-test", || ());
        assert!(!THREAD.start_by(|_| Err(io::Error::other("no room"))));
        assert!(!THREAD.start_by(|_| Ok(())), "too soon");
        let long_ago = Instant::now().checked_sub(SharedThread::RETRY_AFTER);
        *THREAD.refused.lock().unwrap() = long_ago;
        assert!(THREAD.start());
    }
}
