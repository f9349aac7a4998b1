use crate::registry::SettingError;
use thiserror::Error;

/// Why a [server](super::serve) could not start.
#[derive(Clone, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum ServeError {
    /// A timeout is shorter than 1 millisecond, or longer than a day.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The maximum number of connections is zero.
    #[error("`max_connections` must allow at least one connection, not 0")]
    NoConnections,
}
