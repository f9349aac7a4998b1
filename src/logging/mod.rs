//! The crate's own lines in the log of the process.
//!
//! A subscriber may write to a pipe that no process reads, and then blocks the
//! thread that emits an event for good. So the threads that serve, report, run
//! timers or answer probes emit no events: they put the lines in a [queue], and
//! [one thread](thread) of the process hands the lines to their subscribers, in
//! the order in which they were queued.
//!
//! - A line carries the subscriber and the span of the code that caused it, so
//!   subscribers of one thread and spans receive it as if it were emitted
//!   there.
//! - A report waits at most [`REPORT_WAITS`] until its line is written, so that
//!   ordinary logs are complete and in order. No other code waits.
//! - Lines that find the queue full are counted. One line reports the count
//!   once there is room.
//!
//! Without a subscriber, tracing may hand events to the `log` crate. The thread
//! that causes such a line emits it.

mod cause;
mod event;
mod queue;
mod thread;
mod wanted;

#[cfg(feature = "metrics")]
pub(crate) use self::queue::lost;
pub(crate) use self::{
    event::{TARGET, event},
    queue::{Emit, Ticket},
    wanted::Wanted,
};

use self::{cause::Cause, queue::QueueEntry};
use crate::panics::contained;
use std::time::Duration;
use tracing::{Level, Span};

/// How long a report waits until its line is written.
const REPORT_WAITS: Duration = Duration::from_millis(10);

/// How the lines of the present thread reach the log. Make it before a lock of
/// the crate is taken, because making it asks the subscriber.
pub(crate) enum Logger {
    /// No subscriber wants a line.
    Off,
    /// No subscriber is set: the thread emits its lines itself.
    Here,
    /// The lines of these levels are queued.
    Queued(Wanted, Cause),
}

impl Logger {
    pub(crate) fn of_this_thread() -> Self {
        Self::of_this_thread_if(|wanted| !wanted.is_empty())
    }

    /// For lines of one level. This is cheap if no subscriber wants the level.
    pub(crate) fn for_level(level: Level) -> Self {
        Self::of_this_thread_if(|wanted| wanted.contains(level))
    }

    fn of_this_thread_if(is_wanted: impl FnOnce(Wanted) -> bool) -> Self {
        // The subscriber may panic when it is asked for the span.
        let mut logger = Self::Off;
        contained(|| {
            logger = match Wanted::now() {
                None => Self::Here,
                Some(wanted) if !is_wanted(wanted) => Self::Off,
                Some(wanted) => match Cause::of_this_thread() {
                    Some(cause) => Self::Queued(wanted, cause),
                    None => Self::Off,
                },
            };
        });
        logger
    }

    pub(crate) fn is_off(&self) -> bool {
        matches!(self, Self::Off)
    }

    /// Queues the events of `emit`, if a subscriber may want one. Never waits.
    ///
    /// It may be called under a lock, but the returned value is finished after
    /// the lock is released.
    pub(crate) fn queue(
        self,
        is_wanted: impl FnOnce(Wanted) -> bool,
        emit: impl FnOnce() -> Emit,
    ) -> Queued {
        match self {
            Self::Off => Queued::Off,
            Self::Here => Queued::Here,
            Self::Queued(wanted, cause) if is_wanted(wanted) => {
                match thread::QUEUE.push(QueueEntry::new(cause, emit())) {
                    Ok(ticket) => Queued::At(ticket),
                    Err(lost) => Queued::Lost(lost),
                }
            }
            Self::Queued(_, cause) => Queued::Unwanted(cause),
        }
    }
}

/// The result of queueing events.
#[must_use = "finish it to emit or drop the events"]
pub(crate) enum Queued {
    Off,
    Here,
    At(Ticket),
    /// Kept until it can be dropped outside of locks, because it refers to the
    /// subscriber.
    Lost(QueueEntry),
    Unwanted(Cause),
}

impl Queued {
    /// Emits the events if no subscriber is set. Never waits.
    pub(crate) fn finish(self, emit: impl FnOnce(&Span)) {
        match self {
            Self::Off | Self::At(_) => {}
            Self::Here => contained(|| emit(&Span::none())),
            Self::Lost(entry) => drop(entry),
            Self::Unwanted(cause) => drop(cause),
        }
    }

    /// Waits until the events are written, at most [`REPORT_WAITS`].
    pub(crate) fn wait(&self) {
        if let Self::At(ticket) = self {
            thread::QUEUE.wait(*ticket, REPORT_WAITS);
        }
    }
}

/// Logs a line without waiting for it. `prepare` captures the data that the
/// line needs.
pub(crate) fn line<E>(level: Level, prepare: impl FnOnce() -> E)
where
    E: FnOnce(&Span) + Send + 'static,
{
    match Logger::for_level(level) {
        Logger::Here => contained(|| prepare()(&Span::none())),
        logger => logger
            .queue(|_| true, || Box::new(prepare()))
            .finish(|_| ()),
    }
}

/// Waits until all lines that are queued now are written, at most this long.
pub(crate) fn flush(at_most: Duration) {
    thread::QUEUE.flush(at_most);
}
