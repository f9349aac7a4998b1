use crate::registry::SettingError;
use std::time::Duration;
use thiserror::Error;

/// Why a [`Shutdown`](super::Shutdown) could not be built.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ShutdownError {
    /// It was built outside of a tokio runtime.
    #[error("the shutdown was built outside of a tokio runtime; build it within one")]
    NoRuntime,
    /// A duration is longer than a day.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The limit of the extension is shorter than the delay.
    #[error(
        "a `delay` of {delay:?} cannot be extended up to {up_to:?}; give `extend_up_to` the delay or more"
    )]
    ShortExtension {
        /// The delay.
        delay: Duration,
        /// The limit of the extension.
        up_to: Duration,
    },
    /// A signal handler could not be installed: the signal does not exist,
    /// cannot be caught (`SIGKILL`, `SIGSTOP`) or must not be caught (`SIGSEGV`,
    /// `SIGILL`, `SIGFPE`).
    #[cfg(feature = "signal")]
    #[error("cannot listen for signal {signal}; choose one that a process may catch")]
    Signal {
        /// The number of the signal; on Windows, that of SIGINT stands for ctrl-c.
        signal: i32,
        /// The error of the operating system.
        source: std::io::Error,
    },
}

/// Requests or jobs were still in flight at the closing cap; see
/// [`Readiness::run`](crate::Readiness::run).
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
#[error("{}", describe(self))]
pub struct ShutdownTimeout {
    /// The number of requests and jobs that were
    /// [in flight](crate::Readiness::in_flight) and cut off; `None` if neither
    /// requests are counted nor jobs were [tracked](crate::Readiness::track).
    pub in_flight: Option<usize>,
    /// Whether the server itself had ended, so that only its upgraded connections
    /// and tracked jobs were cut off.
    pub server_ended: bool,
}

fn describe(timeout: &ShutdownTimeout) -> String {
    let begin = if timeout.server_ended {
        "upgraded connections or tracked jobs did not end in time"
    } else {
        "the server did not end in time"
    };
    match timeout.in_flight {
        Some(in_flight) => format!("{begin}: {in_flight} in flight were cut off"),
        None => format!("{begin}: its connections were cut off, and no layer counts requests"),
    }
}
