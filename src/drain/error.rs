use std::time::Duration;
use thiserror::Error;

/// Why a [`Shutdown`](super::Shutdown) could not be built.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ShutdownError {
    /// It was built outside of a tokio runtime.
    #[error("there is no tokio runtime here; build the shutdown within one")]
    NoRuntime,
    /// A duration is longer than a day.
    #[error("the {what} is at most a day, not {duration:?}")]
    TooLong {
        /// Which one.
        what: &'static str,
        /// The duration given.
        duration: Duration,
    },
    /// The delay would be extended up to less than itself.
    #[error("a delay of {delay:?} cannot be extended up to {up_to:?}")]
    ShortExtension {
        /// The delay.
        delay: Duration,
        /// What it would be extended up to.
        up_to: Duration,
    },
    /// The handler of a signal could not be installed: there is no such
    /// signal, it cannot be caught (`SIGKILL`, `SIGSTOP`) or must not be
    /// (`SIGSEGV`, `SIGILL`, `SIGFPE`).
    #[cfg(feature = "signal")]
    #[cfg_attr(docsrs, doc(cfg(feature = "signal")))]
    #[error("cannot listen for signal {signal}")]
    Signal {
        /// Its number; that of SIGINT stands for ctrl-c on Windows.
        signal: i32,
        /// What the system says.
        source: std::io::Error,
    },
}

/// A server was still busy when its time to end was over; see
/// [`Readiness::run`](crate::Readiness::run).
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
#[error("the server did not end in time: {}", cut(*.in_flight))]
pub struct CutOff {
    /// How many requests were cut off, or `None` if
    /// [nobody counts](crate::Readiness::in_flight).
    pub in_flight: Option<usize>,
}

fn cut(in_flight: Option<usize>) -> String {
    match in_flight {
        Some(in_flight) => format!("{in_flight} in flight were cut off"),
        None => "its connections were cut off".to_owned(),
    }
}
