//! The log lines of a registry.

#[cfg(feature = "tracing")]
mod deadlines;
#[cfg(feature = "tracing")]
mod drained;
#[cfg(feature = "tracing")]
mod lines;
#[cfg(feature = "tracing")]
mod notes;
#[cfg(feature = "tracing")]
mod refused;

#[cfg(all(feature = "gate", feature = "tracing"))]
pub(super) use self::refused::log as log_refusals;
use crate::{
    state::{Published, Snapshot},
    traffic::Traffic,
};
use std::time::Instant;

/// Logs one publication. It is made before the registry is locked, since it calls
/// the log subscriber.
pub(super) struct Log(#[cfg(feature = "tracing")] crate::logging::Logger);

/// The part of the writer state that only the log needs.
#[derive(Debug, Default)]
pub(crate) struct LogState {
    #[cfg(feature = "tracing")]
    outages: notes::Outages,
    #[cfg(feature = "tracing")]
    drain: drained::DrainWork,
}

/// A publication whose lines are queued.
pub(super) struct Logged {
    #[cfg(feature = "tracing")]
    queued: crate::logging::Queued,
    #[cfg(feature = "tracing")]
    notes: notes::Notes,
    /// When to log that lines were left out.
    #[cfg(feature = "tracing")]
    due: Option<Instant>,
}

/// The lines that a registry logs at a time.
#[derive(Debug)]
pub(super) struct ScheduledLines(#[cfg(feature = "tracing")] deadlines::LineDeadlines);

/// The lines that are due.
#[derive(Default)]
pub(super) struct DueLines(#[cfg(feature = "tracing")] Vec<deadlines::Due>);

#[cfg(feature = "tracing")]
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
            if !self.0.is_off() {
                let bounded = lines::lines(published, &notes).filter(lines::Line::is_bounded);
                let bounded = bounded.count();
                if bounded > 0 {
                    let admitted;
                    (admitted, due) = scheduled.0.admit(slot, bounded, notes::now());
                    notes.left_out = !admitted;
                }
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

    /// Drops the logger of a call that published nothing.
    pub(super) fn discard(self) {
        self.0.discard();
    }
}

#[cfg(feature = "tracing")]
impl Logged {
    /// Waits a bounded time until the lines are logged, so that they precede
    /// the later lines of the reporting thread.
    pub(super) fn wait(&self) {
        self.queued.wait();
    }

    /// Logs lines that are still queued, and returns when to log that lines were left
    /// out. Never waits.
    pub(super) fn finish(self, published: &Published) -> Option<Instant> {
        let Self { queued, notes, due } = self;
        queued.finish(|span| lines::emit(published, &notes, span));
        due
    }
}

#[cfg(feature = "tracing")]
impl ScheduledLines {
    /// Starts the deadlines of a registry that was built at `begun`.
    pub(super) fn new(begun: Instant) -> Self {
        Self(deadlines::LineDeadlines::new(begun))
    }
}

#[cfg(feature = "tracing")]
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

#[cfg(not(feature = "tracing"))]
impl Log {
    pub(super) fn of_this_thread() -> Self {
        Self()
    }

    pub(super) fn queue(
        self,
        _: &Published,
        _: &Traffic,
        _: &mut LogState,
        _: &ScheduledLines,
    ) -> Logged {
        Logged {}
    }

    pub(super) fn discard(self) {}
}

#[cfg(not(feature = "tracing"))]
impl Logged {
    pub(super) fn wait(&self) {}

    pub(super) fn finish(self, _: &Published) -> Option<Instant> {
        None
    }
}

#[cfg(not(feature = "tracing"))]
impl ScheduledLines {
    pub(super) fn new(_: Instant) -> Self {
        Self()
    }
}

#[cfg(not(feature = "tracing"))]
impl DueLines {
    pub(super) fn collect(
        &mut self,
        _: &ScheduledLines,
        _: &Traffic,
        _: impl Fn() -> Snapshot,
        _: Instant,
    ) -> Option<Instant> {
        None
    }

    pub(super) fn log(self, _: impl Fn() -> Snapshot) {}
}
