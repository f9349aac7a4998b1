use crate::registry::SettingError;
use thiserror::Error;

/// Why something is not watched.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WatchError {
    /// It was told something that cannot be.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// There is no tokio runtime here to watch.
    #[error("there is no tokio runtime here; call it within the one to be watched")]
    NoRuntime,
    /// It is watched already.
    #[error("the {what} is watched already")]
    AlreadyRunning {
        /// What is.
        what: &'static str,
    },
    /// The thread that watches could not be started.
    #[error("cannot start the thread that watches")]
    Thread(#[source] std::io::Error),
}
