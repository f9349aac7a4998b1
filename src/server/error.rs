use crate::address::{Address, AddressError};
use std::{convert::Infallible, io, time::Duration};
use thiserror::Error;

/// Why the admin listener does not listen.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address is none.
    #[error("bad address")]
    Address(#[from] AddressError),
    /// The system does not let it listen there: something else does, the port
    /// is a privileged one, the address is not one of this machine's, the
    /// folder of a unix socket is not there.
    #[error("cannot listen on {address}")]
    Bind {
        /// Where.
        address: Address,
        /// What the system says.
        source: io::Error,
    },
    /// There is something at the path of the unix socket that is no socket. It
    /// is left alone.
    #[error("cannot listen on {address}: there is something else than a socket")]
    NotASocket {
        /// Where.
        address: Address,
    },
    /// A timeout is zero, or longer than a day.
    #[error("the {what} is more than nothing and at most a day, not {duration:?}")]
    Timeout {
        /// Which one.
        what: &'static str,
        /// The duration given.
        duration: Duration,
    },
    /// Not one connection would be allowed.
    #[error("at least one connection has to be allowed")]
    NoConnections,
    /// The permissions of a unix socket hold more than those of owner, group
    /// and others.
    #[error("the mode of a socket is at most 777, not {mode:o}")]
    SocketMode {
        /// The mode given.
        mode: u32,
    },
    /// The umask takes permissions away that the unix socket is to have, and
    /// they cannot be given back safely: others may write to its folder, so
    /// that its path could lead to another file. Change the umask, or use a
    /// folder that only this user may write to.
    #[error(
        "cannot listen on {address} with mode {mode:o}: the umask takes a part of it away, \
         and others may write to the folder"
    )]
    SharedFolder {
        /// Where.
        address: Address,
        /// The mode given.
        mode: u32,
    },
    /// It was to run in a tokio runtime, outside of one.
    #[error("there is no tokio runtime here; serve within one, or on a thread")]
    NoRuntime,
    /// Its thread, or the runtime on it, could not be started.
    #[error("cannot start a thread to listen on {address}")]
    Thread {
        /// Where it would have listened.
        address: Address,
        /// What the system says.
        source: io::Error,
    },
}

/// For what always is an [`Address`].
impl From<Infallible> for ServeError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}
