use crate::{panics::contained, threads};
use std::{cell::Cell, mem};
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
    pub(super) fn emit(mut self, emit: impl FnOnce(&Span)) {
        let subscriber = self.subscriber.get_or_insert_with(process_subscriber);
        let emit = || emit(&self.span);
        if subscriber.is::<NoSubscriber>() {
            contained(emit);
        } else {
            // Set as the default even if it is that already: then tracing
            // prevents that code called by the subscriber calls it again.
            contained(|| dispatcher::with_default(subscriber, emit));
        }
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
}

/// The last reference to a span or a subscriber runs code of theirs, which may panic.
impl Drop for Cause {
    fn drop(&mut self) {
        let span = mem::replace(&mut self.span, Span::none());
        let subscriber = self.subscriber.take();
        contained(|| drop(span));
        contained(|| drop(subscriber));
    }
}

fn process_subscriber() -> Dispatch {
    dispatcher::get_default(Dispatch::clone)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::{Event, Metadata, Subscriber, span};

    struct CannotClose;

    impl Subscriber for CannotClose {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }

        fn try_close(&self, _: span::Id) -> bool {
            panic!("cannot close");
        }

        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

        fn event(&self, _: &Event<'_>) {}

        fn enter(&self, _: &span::Id) {}

        fn exit(&self, _: &span::Id) {}
    }

    #[test]
    fn the_panic_of_a_subscriber_that_cannot_close_a_span_is_contained() {
        let subscriber = Dispatch::new(CannotClose);
        let span = dispatcher::with_default(&subscriber, || tracing::info_span!("migration"));
        drop(Cause {
            subscriber: None,
            span,
        });
    }
}
