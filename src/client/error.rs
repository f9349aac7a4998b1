use crate::address::Address;
use std::{io, time::Duration};
use thiserror::Error;

/// Why there is no answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ExchangeError {
    /// It cannot be connected to: nothing listens there, there is no such unix
    /// socket, or it may not be opened.
    #[error("cannot connect to {address}; is the process up, and is this where it listens?")]
    Connect {
        /// Where.
        address: Address,
        /// What the system says.
        source: io::Error,
    },
    /// There is something at the path of the unix socket that is no socket.
    #[error("cannot connect to {address}: there is something else than a socket")]
    NotASocket {
        /// Where.
        address: Address,
    },
    /// The time was over before the end of the answer: the process hangs, is
    /// stopped or is too busy, or sends too slowly.
    #[error("no answer from {address} within {timeout:?}")]
    Timeout {
        /// Where.
        address: Address,
        /// The time there was for the whole exchange.
        timeout: Duration,
    },
    /// The connection was closed before the end of the answer, or before its
    /// beginning.
    #[error("{address} closed the connection before the end of its answer")]
    ShutdownTimeout {
        /// Where.
        address: Address,
    },
    /// The connection broke.
    #[error("the connection to {address} broke")]
    Broken {
        /// Where.
        address: Address,
        /// What the system says.
        source: io::Error,
    },
    /// The answer is not one of HTTP/1.
    #[error(
        "what answers at {address} is not HTTP/1; does it expect TLS, or is it the port of \
         something else?"
    )]
    NotHttp {
        /// Where.
        address: Address,
    },
    /// The answer is longer than any of a probe. Its end was not read.
    #[error("the answer of {address} is longer than {limit} bytes, so it is not that of a probe")]
    TooLong {
        /// Where.
        address: Address,
        /// How much is read.
        limit: usize,
    },
}

/// Why a check has no result. The process is then to be taken for unhealthy.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CheckError {
    /// There is no answer.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// The answer is a redirect. No probe answers with one, and it is not
    /// followed: it could lead to the answer of another process.
    #[error(
        "{address} redirects ({status}) to {location:?}, which is not followed; ask where the \
         probes are"
    )]
    Redirect {
        /// Where.
        address: Address,
        /// The status code.
        status: u16,
        /// Where it leads, or nothing if it does not say.
        location: String,
    },
    /// Something answers, but not a probe of this crate: the port is of
    /// something else, or the probe was moved or turned off.
    #[error(
        "what answers {path} at {address} ({status}) is no probe; is it the right port, and is \
         the probe at its default path?"
    )]
    NotAProbe {
        /// Where.
        address: Address,
        /// What was asked.
        path: String,
        /// The status code.
        status: u16,
    },
    /// There is no scope or subsystem of that name, or the probes there tell
    /// no details.
    #[error(
        "{address} knows no scope or subsystem {name:?} (or, at an application's port, tells \
         nothing of any)"
    )]
    UnknownScope {
        /// Where.
        address: Address,
        /// The name.
        name: String,
    },
    /// There is no such subsystem to leave out.
    #[error("{address} knows no subsystem to exclude: {}", .names.join(", "))]
    UnknownExclude {
        /// Where.
        address: Address,
        /// The names.
        names: Vec<String>,
    },
    /// Something was to be left out, but the probes there
    /// [tell no details](crate::probe::Detail::None), and leave out nothing.
    #[error("{address} tells no details, so nothing can be excluded; ask the admin listener")]
    NoDetails {
        /// Where.
        address: Address,
    },
    /// The process does not take the question.
    #[error("{address} does not take the question: {answer}")]
    Refused {
        /// Where.
        address: Address,
        /// What it says.
        answer: String,
    },
}

/// Why a command was not obeyed.
#[cfg(unix)]
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CommandError {
    /// There is no answer. The command may have been obeyed nevertheless,
    /// unless it could not be sent.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// What answers there takes no commands: it is not an admin listener, or
    /// was told not to.
    #[error("what answers at {address} takes no commands ({status})")]
    NotTaken {
        /// Where.
        address: Address,
        /// The status code.
        status: u16,
    },
    /// The admin listener refuses it, and says why.
    #[error("{address} refuses: {answer}")]
    Refused {
        /// Where.
        address: Address,
        /// What it says.
        answer: String,
    },
}
