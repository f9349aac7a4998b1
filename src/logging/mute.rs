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
