//! Logs what is published.

#[cfg(feature = "tracing")]
mod lines;
#[cfg(feature = "tracing")]
mod notes;
#[cfg(feature = "tracing")]
mod refused;
#[cfg(feature = "tracing")]
mod timed;

use super::core::Registry;
#[cfg(feature = "tracing")]
use super::core::now;
use crate::state::Published;
#[cfg(feature = "tracing")]
use crate::{
    state::{Reason, ScopeId},
    traffic::Episode,
};
#[cfg(feature = "tracing")]
use std::sync::Arc;
use std::time::Instant;

/// Logs one publication. It is made before the registry is locked, for it asks
/// the subscriber.
pub(super) struct Log(#[cfg(feature = "tracing")] crate::logging::Logger);

/// What only the log needs to remember of what was published.
#[derive(Debug, Default)]
pub(crate) struct Memory(#[cfg(feature = "tracing")] notes::Memory);

/// A publication whose lines are on their way.
pub(super) struct Logged {
    #[cfg(feature = "tracing")]
    queued: crate::logging::Queued,
    #[cfg(feature = "tracing")]
    notes: notes::Notes,
    /// When it is to be told that lines were left out.
    #[cfg(feature = "tracing")]
    due: Option<Instant>,
}

/// What a registry logs as time passes.
#[derive(Debug)]
pub(super) struct Timed(#[cfg(feature = "tracing")] timed::Timed);

/// Lines that have become due.
#[derive(Default)]
pub(super) struct DueLines(#[cfg(feature = "tracing")] Vec<timed::Due>);

#[cfg(feature = "tracing")]
impl Log {
    pub(super) fn of_this_thread() -> Self {
        Self(crate::logging::Logger::of_this_thread())
    }

    /// Queues the lines. Called under the lock of the registry, so that they are
    /// queued in the order of publication.
    pub(super) fn queue(self, sealed: &Published, memory: &mut Memory, timed: &Timed) -> Logged {
        let mut notes = memory.0.note(sealed);
        let mut due = None;
        if let Some(slot) = sealed.touched {
            if sealed.after.views.get(slot).is_none() {
                timed.0.forget(slot);
            } else if !self.0.is_off() {
                let bounded = lines::of(sealed, &notes).filter(lines::Line::is_bounded);
                let bounded = bounded.count();
                if bounded > 0 {
                    let admitted;
                    (admitted, due) = timed.0.admit(slot, bounded, now().monotonic);
                    notes.left_out = !admitted;
                }
            }
        }
        let queued = self.0.queue(
            |wanted| lines::of(sealed, &notes).any(|line| wanted.contains(line.level())),
            || {
                let (sealed, notes) = (sealed.clone(), notes.clone());
                Box::new(move |span| lines::emit(&sealed, &notes, span))
            },
        );
        Logged { queued, notes, due }
    }

    /// Nothing was published.
    pub(super) fn discard(self) {
        self.0.discard();
    }
}

#[cfg(feature = "tracing")]
impl Logged {
    /// Waits until the lines are out, for a bounded time, so that the log of a
    /// program that reports is in order.
    pub(super) fn wait(&self) {
        self.queued.wait();
    }

    /// Never waits.
    pub(super) fn finish(self, sealed: &Published, registry: &Registry) {
        let Self { queued, notes, due } = self;
        queued.finish(|span| lines::emit(sealed, &notes, span));
        if let Some(due) = due {
            registry.log_at(due);
        }
    }
}

#[cfg(feature = "tracing")]
impl Timed {
    /// The registry was built at `begun`.
    pub(super) fn new(begun: Instant) -> Self {
        Self(timed::Timed::new(begun))
    }
}

#[cfg(feature = "tracing")]
impl DueLines {
    /// Finds what has become due, and when something else will be. Logs nothing
    /// yet, for it is called under a lock.
    pub(super) fn find(&mut self, registry: &Registry, now: Instant) -> Option<Instant> {
        let next = registry.timed.0.look(now, || registry.load(), &mut self.0);
        let mut told = Vec::new();
        let episodes = registry.traffic().episodes.look(now, &mut told);
        self.0.extend(told.into_iter().map(timed::Due::Refused));
        next.into_iter().chain(episodes).min()
    }

    /// Never waits.
    pub(super) fn log(self, registry: &Registry) {
        for due in self.0 {
            due.log(registry);
        }
    }
}

#[cfg(feature = "tracing")]
impl Registry {
    /// Tells now and then what the start waits for, if it has to wait.
    pub(super) fn log_start(&self) {
        if let Some(due) = self
            .timed
            .0
            .look(now().monotonic, || self.load(), &mut Vec::new())
        {
            self.log_at(due);
        }
    }

    /// The episode in which the gates of a scope count what they refuse.
    pub(crate) fn episode(&self, scope: ScopeId, dry_run: bool) -> Arc<Episode> {
        let episodes = &self.traffic().episodes;
        episodes.of(scope, dry_run, now().monotonic)
    }

    /// Counts a refused request, and logs the first of an episode.
    pub(crate) fn log_refused(&self, episode: &Episode, reason: Reason) {
        let at = now().monotonic;
        if episode.count(reason, at) {
            self.log_first_refused(episode, at);
        }
    }

    #[cold]
    fn log_first_refused(&self, episode: &Episode, at: Instant) {
        if let Some((told, due)) = episode.begin(at, self.load()) {
            refused::log(told);
            self.log_at(due);
        }
    }
}

#[cfg(not(feature = "tracing"))]
impl Log {
    pub(super) fn of_this_thread() -> Self {
        Self()
    }

    pub(super) fn queue(self, _: &Published, _: &mut Memory, _: &Timed) -> Logged {
        Logged {}
    }

    pub(super) fn discard(self) {}
}

#[cfg(not(feature = "tracing"))]
impl Logged {
    pub(super) fn wait(&self) {}

    pub(super) fn finish(self, _: &Published, _: &Registry) {}
}

#[cfg(not(feature = "tracing"))]
impl Timed {
    pub(super) fn new(_: Instant) -> Self {
        Self()
    }
}

#[cfg(not(feature = "tracing"))]
impl DueLines {
    pub(super) fn find(&mut self, _: &Registry, _: Instant) -> Option<Instant> {
        None
    }

    pub(super) fn log(self, _: &Registry) {}
}
