use std::cell::RefCell;
use tracing::{Dispatch, dispatcher, level_filters::LevelFilter, subscriber::DefaultGuard};

thread_local!(static MUTED: RefCell<Option<DefaultGuard>> = const { RefCell::new(None) });

/// Keeps the events of the present thread, which is one of the crate's own,
/// from every subscriber.
///
/// Without a subscriber it does nothing yet, so call it now and then: it would
/// tell tracing that there is one, and tracing would from then on hand no event
/// of the process to the `log` crate.
pub(crate) fn mute() {
    if LevelFilter::current() == LevelFilter::OFF {
        return;
    }
    // The guard of a thread that ends may be gone.
    let _ = MUTED.try_with(|muted| {
        muted
            .borrow_mut()
            .get_or_insert_with(|| dispatcher::set_default(&Dispatch::none()));
    });
}

/// Takes [`mute`] back.
pub(super) fn unmute() {
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
    fn what_is_traced_on_a_muted_thread_reaches_no_subscriber() {
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
