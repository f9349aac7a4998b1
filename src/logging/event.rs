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
