use crate::{address::Address, registry::NameError};
use std::{io, time::Duration};
use thiserror::Error;

/// Why an exchange with a process ended without an answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ExchangeError {
    /// Connecting failed: no process listens at the address, the unix socket does
    /// not exist, or this user may not open it.
    #[error("cannot connect to {address}; is the process up, and is this where it listens?")]
    Connect {
        /// Where.
        address: Address,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The file at the path of the unix socket is not a socket.
    #[error("cannot connect to {address}: the file at this path is not a socket")]
    NotASocket {
        /// Where.
        address: Address,
    },
    /// The timeout expired before the end of the answer: the process hangs, is
    /// stopped, is too busy, or sends too slowly.
    #[error("no answer from {address} within {timeout:?}")]
    Timeout {
        /// Where.
        address: Address,
        /// The timeout of the whole exchange.
        timeout: Duration,
    },
    /// The process closed the connection before the end of its answer, or before
    /// the beginning.
    #[error("{address} closed the connection before the end of its answer")]
    ClosedEarly {
        /// Where.
        address: Address,
    },
    /// The connection failed with an I/O error.
    #[error("the connection to {address} broke")]
    Broken {
        /// Where.
        address: Address,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The answer is not HTTP/1.
    #[error(
        "the answer of {address} is not HTTP/1; does the port expect TLS, or belong to another \
         program?"
    )]
    NotHttp {
        /// Where.
        address: Address,
    },
    /// The answer has a transfer coding such as `chunked`, although the client
    /// speaks HTTP/1.0, which has none (RFC 9112, section 6.1).
    #[error(
        "the answer of {address} has a transfer coding, although the request is HTTP/1.0; check \
         the process itself and not through a proxy"
    )]
    Encoded {
        /// Where.
        address: Address,
    },
    /// The answer is longer than any answer of a probe. Its end was not read.
    #[error("the answer of {address} is longer than {limit} bytes, so it is not from a probe")]
    TooLong {
        /// Where.
        address: Address,
        /// The number of bytes that the client reads at most.
        limit: usize,
    },
}

/// Why a health check has no result. Treat the process as unhealthy.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CheckError {
    /// The process gave no answer.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// The name of a scope or of a subsystem to exclude is invalid. The check has
    /// not connected.
    #[error("{setting} takes a name, not {name:?}: {reason}")]
    InvalidName {
        /// The setting: `scope` or `exclude`.
        setting: &'static str,
        /// The name.
        name: String,
        /// Why the name is invalid.
        reason: NameError,
    },
    /// The check excludes more subsystems than
    /// [`MAX_EXCLUDED`](super::HealthCheck::MAX_EXCLUDED). It has not connected.
    #[error("exclude takes at most {most} names, not {count}")]
    TooManyExcluded {
        /// The number of names.
        count: usize,
        /// The most names that a check can exclude.
        most: usize,
    },
    /// The answer is a redirect. Probes never redirect, and the client does not
    /// follow: another process could give the answer.
    #[error(
        "{address} redirects ({status}) to {location:?}, which is not followed; check the \
         address that serves the probes"
    )]
    Redirect {
        /// Where.
        address: Address,
        /// The status code.
        status: u16,
        /// The `location` header, or an empty string if there is none.
        location: String,
    },
    /// The answer does not come from a probe of this crate: the port belongs to
    /// another program, or the probe was moved or turned off.
    #[error(
        "the answer of {address} to {path} ({status}) is not from a probe; is it the right port, \
         and is the probe at its default path?"
    )]
    NotAProbe {
        /// Where.
        address: Address,
        /// The path that was requested.
        path: String,
        /// The status code.
        status: u16,
    },
    /// The process has no scope or subsystem of that name, or its probes give no
    /// details.
    #[error(
        "{address} knows no scope or subsystem {name:?} (or gives no details, as an \
         application's port does)"
    )]
    UnknownScope {
        /// Where.
        address: Address,
        /// The name.
        name: String,
    },
    /// The process does not know a subsystem to exclude.
    #[error("{address} knows no subsystem to exclude: {}", .names.join(", "))]
    UnknownExclude {
        /// Where.
        address: Address,
        /// The names.
        names: Vec<String>,
    },
    /// A subsystem was excluded, but the probes at the address
    /// [give no details](crate::probe::Detail::None) and ignore exclusions.
    #[error("{address} gives no details, so nothing can be excluded; ask the admin listener")]
    NoDetails {
        /// Where.
        address: Address,
    },
    /// The process rejects the request as malformed.
    #[error("{address} rejects the request: {answer}")]
    Refused {
        /// Where.
        address: Address,
        /// The answer of the process.
        answer: String,
    },
}

/// Why the event stream of a process has ended, or does not begin.
#[cfg(feature = "cli")]
#[derive(Debug, Error)]
pub(super) enum StreamError {
    /// The process gave no answer, or the connection ended.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// All streams of the listener are taken, or a proxy in front of it does not reach it.
    #[error(
        "{address} has no stream now ({status}): the process admits no more, or a proxy in front \
         of it does not reach it; it is asked again"
    )]
    Unavailable {
        /// Where.
        address: Address,
        /// The status code.
        status: u16,
    },
    /// The server at the address has no event stream: it is not an admin listener, or
    /// one of a process without the feature `events`.
    #[error(
        "{address} has no event stream ({status}); is it an admin listener, of a process with the \
         feature `events`?"
    )]
    NoEvents {
        /// Where.
        address: Address,
        /// The status code.
        status: u16,
    },
    /// An event is not what this version understands.
    #[error("{address} sends events that this version of `readiness` cannot read")]
    Malformed {
        /// Where.
        address: Address,
    },
}

#[cfg(feature = "cli")]
impl StreamError {
    /// Whether another connection ends in the same way: the address belongs to a server
    /// without an event stream, or to a file that is no socket.
    pub(super) fn is_final(&self) -> bool {
        use ExchangeError::{Encoded, NotASocket, NotHttp};
        match self {
            Self::NoEvents { .. } => true,
            Self::Exchange(error) => {
                matches!(error, Encoded { .. } | NotASocket { .. } | NotHttp { .. })
            }
            Self::Unavailable { .. } | Self::Malformed { .. } => false,
        }
    }
}

/// Why a command failed.
#[cfg(unix)]
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The process gave no answer. It may still have executed the command, except
    /// if the client could not connect.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// The server at the address accepts no commands: it is not an admin
    /// listener, or its commands are turned off.
    #[error(
        "{address} accepts no commands ({status}); is it an admin listener built `with_commands`?"
    )]
    NotTaken {
        /// Where.
        address: Address,
        /// The status code.
        status: u16,
    },
    /// The admin listener refuses the command, and gives the reason.
    #[error("{address} refuses: {answer}")]
    Refused {
        /// Where.
        address: Address,
        /// The answer of the listener.
        answer: String,
    },
}
