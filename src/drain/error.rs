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

/// Something was still in flight when the time to end was over; see
/// [`Readiness::run`](crate::Readiness::run).
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
#[error("{}", describe(self))]
pub struct ShutdownTimeout {
    /// How much was [in flight](crate::Readiness::in_flight) and cut off, or
    /// `None` if requests are not counted, and nothing was
    /// [tracked](crate::Readiness::track).
    pub in_flight: Option<usize>,
    /// Whether the server had ended, so that only what it had left behind was
    /// cut off: upgraded connections, and jobs that were tracked.
    pub server_ended: bool,
}

fn describe(cut_off: &ShutdownTimeout) -> String {
    let begin = if cut_off.server_ended {
        "what the server left behind did not end in time"
    } else {
        "the server did not end in time"
    };
    match cut_off.in_flight {
        Some(in_flight) => format!("{begin}: {in_flight} in flight were cut off"),
        None => format!("{begin}: its connections were cut off, and no layer counts what that was"),
    }
}
