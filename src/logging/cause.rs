use super::contained;
use crate::threads;
use std::cell::Cell;
use tracing::{
    Dispatch, Span,
    dispatcher::{self, WeakDispatch},
    subscriber::NoSubscriber,
};

thread_local!(static WRITES: Cell<bool> = const { Cell::new(false) });

/// Declares that the present thread is the one that hands lines to subscribers.
pub(super) fn claim_this_thread() {
    WRITES.set(true);
}

fn writes() -> bool {
    // The flag of a thread that ends may be gone.
    WRITES.try_with(Cell::get).unwrap_or(false)
}

/// Where a line was caused: it goes to the subscriber that was the default
/// there, within the span that was entered there.
pub(crate) struct Cause {
    /// `None` stands for the subscriber of the process as a whole.
    subscriber: Option<Dispatch>,
    span: Span,
}

impl Cause {
    /// `None` if no event that is emitted here would reach a subscriber: there
    /// is none, or it is being called by the present thread.
    pub(super) fn of_this_thread() -> Option<Self> {
        if writes() {
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

    /// Calls `emit` with the subscriber as the default. Only for the thread that
    /// writes, whose own default is the subscriber of the process as a whole.
    pub(super) fn emit(self, emit: impl FnOnce(&Span)) {
        let Self { subscriber, span } = self;
        let subscriber = subscriber.unwrap_or_else(of_process);
        let emit = || emit(&span);
        if subscriber.is::<NoSubscriber>() {
            contained(emit);
        } else {
            // Set as the default even if it is that already: then tracing keeps
            // it from being called again by what it calls.
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

    /// As if it were caused in this subscriber, or in that of the process as a
    /// whole if it is gone.
    pub(super) fn of(subscriber: Option<WeakDispatch>) -> Self {
        Self {
            subscriber: subscriber.and_then(|weak| weak.upgrade()),
            span: Span::none(),
        }
    }

    /// Drops it. The last reference to a span or a subscriber runs code of
    /// theirs, which may panic.
    pub(super) fn discard(self) {
        let Self { subscriber, span } = self;
        contained(|| drop(span));
        contained(|| drop(subscriber));
    }
}

fn of_process() -> Dispatch {
    dispatcher::get_default(Dispatch::clone)
}
