use crate::{
    address::{Address, AddressError},
    registry::SettingError,
};
use std::{convert::Infallible, io};
use thiserror::Error;

/// Why an admin listener could not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address cannot be parsed.
    #[error("bad address")]
    Address(#[from] AddressError),
    /// The system does not allow listening there: the address is in use, the port
    /// is privileged, the address does not belong to this machine, or the folder
    /// of a unix socket does not exist.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: Address,
        /// The error of the system.
        source: io::Error,
    },
    /// The path of the unix socket is a file that is not a socket. The file is not
    /// changed.
    #[error("cannot listen on {address}: the path is a file that is not a socket")]
    NotASocket {
        /// The address.
        address: Address,
    },
    /// A timeout is shorter than 1 millisecond, or longer than a day.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The maximum number of connections is zero.
    #[error("`max_connections` must allow at least one connection, not 0")]
    NoConnections,
    /// The mode of a unix socket has more than the permissions of owner, group and
    /// others.
    #[error("the `socket_mode` must be at most 777, not {mode:o}")]
    SocketMode {
        /// The mode given.
        mode: u32,
    },
    /// The umask removes permissions from the mode of the unix socket, and they
    /// cannot be added safely: other users may write to the folder, so the path
    /// could lead to another file. Change the umask, or use a folder that only this
    /// user may write to.
    #[error(
        "cannot listen on {address} with mode {mode:o}: the umask removes a part of it, and other \
         users may write to the folder; change the umask, or use another folder"
    )]
    SharedFolder {
        /// The address.
        address: Address,
        /// The mode given.
        mode: u32,
    },
    /// The listener has to serve metrics, which name subsystems, and its detail is
    /// [`Detail::None`](crate::probe::Detail::None), which names none.
    #[cfg(feature = "metrics")]
    #[error(
        "`metrics` would show the names of subsystems, which `Detail::None` hides; remove \
         `metrics`, or set `detail` to `Detail::Names`"
    )]
    MetricsWithoutNames,
    /// The listener has to serve events, which name subsystems, and its detail is
    /// [`Detail::None`](crate::probe::Detail::None), which names none.
    #[cfg(feature = "events")]
    #[error(
        "`events` would show the names of subsystems, which `Detail::None` hides; remove \
         `events`, or set `detail` to `Detail::Names`"
    )]
    EventsWithoutNames,
    /// The listener has to serve the page, which names subsystems, and its detail is
    /// [`Detail::None`](crate::probe::Detail::None), which names none.
    #[cfg(feature = "page")]
    #[error(
        "`page` would show the names of subsystems, which `Detail::None` hides; remove `page`, or \
         set `detail` to `Detail::Names`"
    )]
    PageWithoutNames,
    /// `serve` was called outside a tokio runtime.
    #[error("there is no tokio runtime here; call `serve` in one, or `serve_on_thread`")]
    NoRuntime,
    /// The thread of the listener, or its runtime, could not be started.
    #[error("cannot start a thread to listen on {address}")]
    Thread {
        /// The address.
        address: Address,
        /// The error of the system.
        source: io::Error,
    },
}

/// For conversions to [`Address`] that cannot fail.
impl From<Infallible> for ServeError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}
