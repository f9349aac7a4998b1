//! The log lines of a registry.

mod deadlines;
mod drained;
mod lines;
mod notes;
mod refused;

#[cfg(feature = "gate")]
pub(super) use self::refused::log as log_refusals;
use crate::{
    state::{Published, Snapshot},
    traffic::Traffic,
};
use std::time::Instant;

/// Logs one publication. It is made before the registry is locked, since it calls
/// the log subscriber.
pub(super) struct Log(crate::logging::Logger);

/// The part of the writer state that only the log needs.
#[derive(Debug, Default)]
pub(crate) struct LogState {
    outages: notes::Outages,
    drain: drained::DrainWork,
}

/// A publication whose lines are queued.
pub(super) struct Logged {
    queued: crate::logging::Queued,
    notes: notes::Notes,
    /// When to log that changes were left out.
    due: Option<Instant>,
}

/// The lines that a registry logs at a time.
#[derive(Debug)]
pub(super) struct ScheduledLines(deadlines::LineDeadlines);

/// The lines that are due.
#[derive(Default)]
pub(super) struct DueLines(Vec<deadlines::Due>);

impl Log {
    pub(super) fn of_this_thread() -> Self {
        Self(crate::logging::Logger::of_this_thread())
    }

    /// Queues the lines. The caller holds the writer lock, so the lines are queued in
    /// the order of publication.
    pub(super) fn queue(
        self,
        published: &Published,
        traffic: &Traffic,
        memory: &mut LogState,
        scheduled: &ScheduledLines,
    ) -> Logged {
        let mut notes = memory.outages.note(published);
        notes.drained = memory.drain.note(published, traffic);
        let mut due = None;
        let is_gone = |slot: &crate::state::Slot| published.after.views.get(*slot).is_none();
        published
            .touched
            .iter()
            .filter(is_gone)
            .for_each(|slot| scheduled.0.forget(slot));
        // A reconfiguration, which sets several slots, is rare.
        if let Some(slot) = published.touched.single().filter(|slot| !is_gone(slot)) {
            let is_bounded = |line: lines::Line<'_>| line.is_bounded();
            if !self.0.is_off() && lines::lines(published, &notes).any(is_bounded) {
                let admitted;
                (admitted, due) = scheduled.0.admit(slot, notes::now());
                notes.left_out = !admitted;
            }
        }
        let queued = self.0.queue(
            |wanted| lines::lines(published, &notes).any(|line| wanted.contains(line.level())),
            || {
                let (published, notes) = (published.clone(), notes.clone());
                Box::new(move |span| lines::emit(&published, &notes, span))
            },
        );
        Logged { queued, notes, due }
    }
}

impl Logged {
    /// Waits a bounded time until the lines are logged, so that they precede
    /// the later lines of the reporting thread.
    pub(super) fn wait(&self) {
        self.queued.wait();
    }

    /// Logs lines that are still queued, and returns when to log that changes were left
    /// out. Never waits.
    pub(super) fn finish(self, published: &Published) -> Option<Instant> {
        let Self { queued, notes, due } = self;
        queued.finish(|span| lines::emit(published, &notes, span));
        due
    }
}

impl ScheduledLines {
    /// Starts the deadlines of a registry that was built at `begun`.
    pub(super) fn new(begun: Instant) -> Self {
        Self(deadlines::LineDeadlines::new(begun))
    }
}

impl DueLines {
    /// Collects the lines that are due, and returns when the next is due. Logs
    /// nothing yet, since the caller holds a lock.
    pub(super) fn collect(
        &mut self,
        scheduled: &ScheduledLines,
        traffic: &Traffic,
        newest: impl Fn() -> Snapshot,
        now: Instant,
    ) -> Option<Instant> {
        let next = scheduled.0.collect_due(now, newest, &mut self.0);
        let mut refusals = Vec::new();
        let episodes = traffic.episodes.take_due(now, &mut refusals);
        self.0
            .extend(refusals.into_iter().map(deadlines::Due::Refused));
        next.into_iter().chain(episodes).min()
    }

    /// Logs the lines. Never waits.
    pub(super) fn log(self, newest: impl Fn() -> Snapshot) {
        for due in self.0 {
            due.log(&newest);
        }
    }
}
