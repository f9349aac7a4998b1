use std::{cell::RefCell, sync::LazyLock};
use tracing::{
    Dispatch, Event, Metadata, Subscriber, dispatcher,
    level_filters::LevelFilter,
    span,
    subscriber::{DefaultGuard, Interest},
};

thread_local!(static MUTED: RefCell<Option<DefaultGuard>> = const { RefCell::new(None) });

static MUTE: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(Mute));

/// A subscriber that wants no events.
///
/// While only one subscriber exists, tracing asks the default of the thread
/// that first reaches an event, and keeps that answer for all threads: under
/// [`Dispatch::none`] the event would be disabled in the whole process. With
/// this subscriber as a second one, tracing asks both, on every thread.
struct Mute;

impl Subscriber for Mute {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::never()
    }

    fn enabled(&self, _: &Metadata<'_>) -> bool {
        false
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::OFF)
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event_enabled(&self, _: &Event<'_>) -> bool {
        false
    }

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// Makes tracing ask all subscribers about an event, on whichever thread it
/// comes first. Call it only once a subscriber is set.
pub(crate) fn ask_all() {
    LazyLock::force(&MUTE);
}

/// Hides the events of the present thread, one of the crate's own, from every
/// subscriber.
///
/// It has no effect until a subscriber is set, so call it now and then.
/// Otherwise this subscriber alone would make tracing hand no event of the
/// process to the `log` crate.
pub(crate) fn mute() {
    if LevelFilter::current() == LevelFilter::OFF {
        return;
    }
    // The guard of a thread that ends may be gone.
    let _ = MUTED.try_with(|muted| {
        muted
            .borrow_mut()
            .get_or_insert_with(|| dispatcher::set_default(&MUTE));
    });
}

/// Reverts [`mute`].
pub(crate) fn unmute() {
    let guard = MUTED.try_with(|muted| muted.borrow_mut().take());
    drop(guard);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };
    use tracing_subscriber::{
        Layer, Registry,
        layer::{Context, SubscriberExt},
    };

    #[derive(Clone, Default)]
    struct Count(Arc<AtomicUsize>);

    impl<S: tracing::Subscriber> Layer<S> for Count {
        fn on_event(&self, _: &tracing::Event<'_>, _: Context<'_, S>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn events_on_a_muted_thread_reach_no_subscriber() {
        let count = Count::default();
        let _default = tracing::subscriber::set_default(Registry::default().with(count.clone()));
        let counted = || count.0.load(Ordering::Relaxed);
        tracing::info!("before");
        assert_eq!(counted(), 1);
        mute();
        mute();
        tracing::info!("a frame was sent");
        assert_eq!(counted(), 1);
        unmute();
        tracing::info!("after");
        assert_eq!(counted(), 2);
    }
}
