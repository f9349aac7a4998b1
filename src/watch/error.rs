use crate::registry::{DeclareError, SettingError};
use thiserror::Error;

/// Why a watch cannot start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WatchError {
    /// A setting is out of its bounds.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The thresholds of traffic are no ratios from 0 to 1, or the one for ready is not
    /// the smaller.
    #[cfg(feature = "gate")]
    #[error(
        "traffic cannot be degraded from a ratio of {degraded} on and ready again at {recovered}: \
         give two ratios from 0 to 1, the second smaller"
    )]
    Thresholds {
        /// The threshold for degraded.
        degraded: f64,
        /// The threshold for ready.
        recovered: f64,
    },
    /// The call is not on a tokio runtime.
    #[error("there is no tokio runtime here; call `watch_runtime` on the runtime to watch")]
    NoRuntime,
    /// The runtime or the traffic is watched already.
    #[error("the {what} is watched already; watch it once")]
    AlreadyRunning {
        /// `runtime` or `traffic`.
        what: &'static str,
        /// Why its subsystem could not be added.
        source: DeclareError,
    },
    /// The timer thread cannot start.
    #[error("cannot start the timer thread; let the process have more threads")]
    Thread(#[source] std::io::Error),
}
