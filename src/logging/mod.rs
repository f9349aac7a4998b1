mod mute;

pub(crate) use self::mute::mute;

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Logs, whatever the subscriber makes of it.
///
/// One that writes to a pipe which is closed may panic. It must not, here: what
/// is logged may be said by a destructor while a panic unwinds, which would end
/// the process, or by a task that nobody starts again.
pub(crate) fn contained(log: impl FnOnce()) {
    // The hook has reported the panic, and to log leaves nothing half done.
    let _ = catch_unwind(AssertUnwindSafe(log));
}
