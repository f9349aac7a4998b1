use crate::{mutex::Mutex, state::Thresholds};
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::{sync::Notify, time::Instant};

/// The state that a check shares with the handles of the application.
#[derive(Debug)]
pub(crate) struct CheckControl {
    pub(crate) thresholds: Thresholds,
    /// The application has asked for a run before it is due, since the last run began.
    is_asked: AtomicBool,
    asked: Notify,
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
            was_up: AtomicBool::new(false),
            last_published: Mutex::new(None),
        }
    }

    /// Asks for a run before it is due.
    pub(crate) fn ask(&self) {
        self.is_asked.store(true, Ordering::Release);
        self.asked.notify_one();
    }

    /// Begins a run, which answers all that has been asked. Returns whether the application
    /// has asked.
    pub(crate) fn begin_run(&self) -> bool {
        self.is_asked.swap(false, Ordering::AcqRel)
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
