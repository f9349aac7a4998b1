use std::panic::{AssertUnwindSafe, catch_unwind};

/// The target of all lines.
pub(crate) const TARGET: &str = "tower_readiness";

/// Emits an event of the crate, within a span. The [guide](crate::guide::log) lists the
/// names and the fields of all events.
macro_rules! event {
    ($level:ident, $name:literal, $span:expr, $($fields:tt)+) => {
        tracing::$level!(
            name: $name,
            target: $crate::logging::TARGET,
            parent: $span,
            $($fields)+
        )
    };
}
pub(crate) use event;

/// Emits an event, and catches a panic of the subscriber, such as a write to a
/// closed pipe. The event may be emitted by a destructor while a panic unwinds,
/// and then a second panic would end the process.
pub(crate) fn contained(emit: impl FnOnce()) {
    // The hook has reported the panic, and logging leaves no state half
    // changed.
    let _ = catch_unwind(AssertUnwindSafe(emit));
}
