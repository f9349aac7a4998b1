use crate::registry::SettingError;
use thiserror::Error;

/// Why [`Connections`](super::Connections) could not be built.
#[derive(Clone, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum ConnectionsError {
    /// The window is not within the drain delay, or ends before it begins.
    #[error(
        "connections cannot retire from {from} to {to} of the drain delay: give two shares of 0 to \
         1, the smaller first"
    )]
    Window {
        /// The share at which the window begins.
        from: f64,
        /// The share at which the window ends.
        to: f64,
    },
    /// The maximum age is shorter than a second or longer than a day.
    #[error(transparent)]
    Setting(#[from] SettingError),
}
