use crate::registry::SettingError;
use thiserror::Error;

/// Why a watch cannot start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WatchError {
    /// A setting is out of its bounds.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The call is not on a tokio runtime.
    #[error("there is no tokio runtime here; call `watch_runtime` on the runtime to watch")]
    NoRuntime,
    /// The runtime or the traffic is watched already.
    #[error("the {what} is watched already")]
    AlreadyRunning {
        /// `runtime` or `traffic`.
        what: &'static str,
    },
    /// The timer thread cannot start.
    #[error("cannot start the timer thread")]
    Thread(#[source] std::io::Error),
}
