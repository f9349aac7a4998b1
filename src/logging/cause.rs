use super::event::contained;
use crate::threads;
use std::cell::Cell;
use tracing::{
    Dispatch, Span,
    dispatcher::{self, WeakDispatch},
    subscriber::NoSubscriber,
};

thread_local!(static IS_LOG_THREAD: Cell<bool> = const { Cell::new(false) });

/// Marks the present thread as the log thread, which hands lines to
/// subscribers.
pub(super) fn mark_log_thread() {
    IS_LOG_THREAD.set(true);
}

fn is_log_thread() -> bool {
    // The flag of a thread that ends may be gone.
    IS_LOG_THREAD.try_with(Cell::get).unwrap_or(false)
}

/// The origin of a line: the default subscriber and the entered span at that
/// place, which receive the line.
pub(crate) struct Cause {
    /// `None` stands for the subscriber of the process as a whole.
    subscriber: Option<Dispatch>,
    span: Span,
}

impl Cause {
    /// The cause of lines of the present thread. `None` if events emitted here
    /// reach no subscriber: none is set, or the present thread is calling it.
    pub(super) fn of_this_thread() -> Option<Self> {
        if is_log_thread() {
            return None;
        }
        if threads::is_own() {
            return Some(Self {
                subscriber: None,
                span: Span::none(),
            });
        }
        let subscriber = dispatcher::get_default(Dispatch::clone);
        if subscriber.is::<NoSubscriber>() {
            return None;
        }
        Some(Self {
            subscriber: Some(subscriber),
            span: Span::current(),
        })
    }

    /// Calls `emit` with the subscriber as the default. Only for the log
    /// thread, whose own default is the subscriber of the process as a whole.
    pub(super) fn emit(self, emit: impl FnOnce(&Span)) {
        let Self { subscriber, span } = self;
        let subscriber = subscriber.unwrap_or_else(process_subscriber);
        let emit = || emit(&span);
        if subscriber.is::<NoSubscriber>() {
            contained(emit);
        } else {
            // Set as the default even if it is that already: then tracing
            // prevents that code called by the subscriber calls it again.
            contained(|| dispatcher::with_default(&subscriber, emit));
        }
        Self {
            subscriber: Some(subscriber),
            span,
        }
        .discard();
    }

    pub(super) fn weak(&self) -> Option<WeakDispatch> {
        self.subscriber.as_ref().map(Dispatch::downgrade)
    }

    /// A cause outside of spans: the line goes to this subscriber, or to that
    /// of the process as a whole if it is gone.
    pub(super) fn for_subscriber(subscriber: Option<WeakDispatch>) -> Self {
        Self {
            subscriber: subscriber.and_then(|weak| weak.upgrade()),
            span: Span::none(),
        }
    }

    /// Drops the cause. The last reference to a span or a subscriber runs code
    /// of theirs, which may panic.
    pub(super) fn discard(self) {
        let Self { subscriber, span } = self;
        contained(|| drop(span));
        contained(|| drop(subscriber));
    }
}

fn process_subscriber() -> Dispatch {
    dispatcher::get_default(Dispatch::clone)
}
