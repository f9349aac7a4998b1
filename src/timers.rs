use std::{panic::catch_unwind, pin::Pin};
use tokio::{
    runtime::Handle,
    time::{Instant, Sleep, sleep_until},
};

/// A timer, or `None` outside of a runtime or where its timers are not enabled.
/// tokio reports the latter only by a panic.
pub(crate) fn timer_at(deadline: Instant) -> Option<Pin<Box<Sleep>>> {
    Handle::try_current().ok()?;
    catch_unwind(|| Box::pin(sleep_until(deadline))).ok()
}
