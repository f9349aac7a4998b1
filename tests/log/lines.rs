//! Reads the lines that a subscriber got.

use std::{
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tracing::{Dispatch, subscriber::DefaultGuard};
use tracing_subscriber::filter::LevelFilter;

/// Lets one test log after the other.
///
/// The tests share the queue of the process. If they logged at the same time, a
/// subscriber that wants each refused request would queue those of another test as
/// well, and a full queue drops lines.
#[must_use = "the next test begins when it is dropped"]
pub(crate) struct Alone {
    _turn: MutexGuard<'static, ()>,
}

pub(crate) fn alone() -> Alone {
    static TURN: Mutex<()> = Mutex::new(());
    Alone {
        _turn: TURN.lock().unwrap_or_else(PoisonError::into_inner),
    }
}

/// The lines of one subscriber.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<(Mutex<Vec<u8>>, Condvar)>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.0.lock().unwrap().extend_from_slice(bytes);
        self.0.1.notify_all();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// A subscriber for lines of `level` and above.
    pub(crate) fn subscriber(level: LevelFilter) -> (Self, Dispatch) {
        let lines = Self::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(level)
            .with_ansi(false)
            .without_time()
            .with_target(false)
            .with_writer(move || writer.clone())
            .finish();
        (lines, Dispatch::new(subscriber))
    }

    /// The same, as the default of this thread, in a test that is alone.
    pub(crate) fn of_this_thread(level: LevelFilter) -> (Self, (DefaultGuard, Alone)) {
        let alone = alone();
        let (lines, subscriber) = Self::subscriber(level);
        let default = tracing::dispatcher::set_default(&subscriber);
        (lines, (default, alone))
    }

    /// Waits for this many lines and takes them, each without the fields from
    /// the version on.
    #[track_caller]
    pub(crate) fn take(&self, count: usize) -> Vec<String> {
        let lines = self.take_whole(count).into_iter();
        let heads = lines.map(|line| {
            line.split_once(" version=")
                .map_or(line.clone(), |(head, _)| head.to_owned())
        });
        heads.collect()
    }

    /// Waits for a line with this word and takes all up to it.
    pub(crate) async fn until(&self, word: &str) -> Vec<String> {
        let mut taken = Vec::new();
        loop {
            taken.extend(self.take_whole(1));
            if taken.iter().any(|line| line.contains(word)) {
                return taken;
            }
        }
    }

    /// Waits for this many lines and takes them.
    #[track_caller]
    pub(crate) fn take_whole(&self, count: usize) -> Vec<String> {
        let (lines, changed) = &*self.0;
        let enough =
            |bytes: &mut Vec<u8>| bytes.iter().filter(|byte| **byte == b'\n').count() < count;
        let lines = lines.lock().unwrap();
        // Nothing is judged by this time: it ends a test that would hang.
        let (mut lines, waited) = changed
            .wait_timeout_while(lines, Duration::from_secs(30), enough)
            .unwrap();
        let text = String::from_utf8(std::mem::take(&mut *lines)).unwrap();
        assert!(!waited.timed_out(), "{count} lines, not {text}");
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        text.lines().map(words).collect()
    }
}
