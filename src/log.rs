//! One line of the log, which costs nothing without the feature `tracing`.

/// Logs a line without waiting for it: its level, the name of its event, the values that the log
/// thread needs for it, then its fields and message.
#[cfg(feature = "tracing")]
macro_rules! line {
    (@level info) => { tracing::Level::INFO };
    (@level warn) => { tracing::Level::WARN };
    ($level:ident, $name:literal, { $($value:ident: $expr:expr),* }, $($fields:tt)+) => {
        crate::logging::line(crate::log::line!(@level $level), || {
            $(let $value = $expr;)*
            move |span| crate::logging::event!($level, $name, span, $($fields)+)
        })
    };
}

#[cfg(not(feature = "tracing"))]
macro_rules! line {
    ($level:ident, $name:literal, { $($value:ident: $expr:expr),* }, $($fields:tt)+) => {{
        let _unused = || { $(let _ = $expr;)* };
    }};
}

pub(crate) use line;
