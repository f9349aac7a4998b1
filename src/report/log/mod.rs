//! Logs what is published.

#[cfg(feature = "tracing")]
mod lines;
#[cfg(feature = "tracing")]
mod notes;

use crate::state::Sealed;

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
}

#[cfg(feature = "tracing")]
impl Log {
    pub(super) fn of_this_thread() -> Self {
        Self(crate::logging::Logger::of_this_thread())
    }

    /// Queues the lines. Called under the lock of the registry, so that they are
    /// queued in the order of publication.
    pub(super) fn queue(self, sealed: &Sealed, memory: &mut Memory) -> Logged {
        let notes = memory.0.note(sealed);
        let queued = self.0.queue(
            |wanted| lines::of(sealed, &notes).any(|line| wanted.contains(line.level())),
            || {
                let (sealed, notes) = (sealed.clone(), notes.clone());
                Box::new(move |span| lines::emit(&sealed, &notes, span))
            },
        );
        Logged { queued, notes }
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
    pub(super) fn finish(self, sealed: &Sealed) {
        let Self { queued, notes } = self;
        queued.finish(|span| lines::emit(sealed, &notes, span));
    }
}

#[cfg(not(feature = "tracing"))]
impl Log {
    pub(super) fn of_this_thread() -> Self {
        Self()
    }

    pub(super) fn queue(self, _: &Sealed, _: &mut Memory) -> Logged {
        Logged {}
    }

    pub(super) fn discard(self) {}
}

#[cfg(not(feature = "tracing"))]
impl Logged {
    pub(super) fn wait(&self) {}

    pub(super) fn finish(self, _: &Sealed) {}
}
