use crate::{mutex::Mutex, state::Thresholds};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::{sync::Notify, time::Instant};

/// The state that a check shares with the handles of the application.
#[derive(Debug)]
pub(crate) struct CheckControl {
    pub(crate) thresholds: Thresholds,
    /// The application has asked for a run before it is due, since the last run began.
    is_asked: AtomicBool,
    asked: Notify,
    /// The number of the last run.
    last_run: AtomicU64,
    /// The application has reported since the last run that the subsystem is up.
    pub(crate) was_up: AtomicBool,
    /// When a result was last published.
    pub(crate) last_published: Mutex<Option<Instant>>,
}

impl CheckControl {
    pub(crate) fn new(thresholds: Thresholds) -> Self {
        Self {
            thresholds,
            is_asked: AtomicBool::new(false),
            asked: Notify::new(),
            last_run: AtomicU64::new(0),
            was_up: AtomicBool::new(false),
            last_published: Mutex::new(None),
        }
    }

    /// Asks for a run before it is due.
    pub(crate) fn ask(&self) {
        self.is_asked.store(true, Ordering::Release);
        self.asked.notify_one();
    }

    /// Begins a run, which answers all that has been asked. Returns its number, and whether
    /// the application has asked.
    pub(crate) fn begin_run(&self) -> (u64, bool) {
        let number = self.last_run.fetch_add(1, Ordering::AcqRel) + 1;
        (number, self.is_asked.swap(false, Ordering::AcqRel))
    }

    /// Whether no other run has begun since: the task of a check that moves to another
    /// runtime may be in a poll.
    pub(crate) fn is_last_run(&self, number: u64) -> bool {
        self.last_run.load(Ordering::Acquire) == number
    }

    /// Completes when the application has asked for a run.
    pub(crate) async fn asked(&self) {
        loop {
            let asked = self.asked.notified();
            if self.is_asked.load(Ordering::Acquire) {
                return;
            }
            asked.await;
        }
    }
}
