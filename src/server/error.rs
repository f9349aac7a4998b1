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
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The system does not allow listening there: the address is in use, the port
    /// is privileged, the address does not belong to this machine, or the folder
    /// of a unix socket does not exist.
    #[error("cannot listen on {address}; is it free, and may this user listen there?")]
    Bind {
        /// The address.
        address: Address,
        /// The error of the system.
        source: io::Error,
    },
    /// The path of the unix socket is a file that is not a socket. The file is not
    /// changed.
    #[error("cannot listen on {address}: the file there is not a socket; choose another path")]
    NotASocket {
        /// The address.
        address: Address,
    },
    /// A timeout is shorter than 1 millisecond, or longer than a day, or the maximum number of
    /// connections is zero.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The mode of a unix socket has more than the permissions of owner, group and
    /// others.
    #[error("the `socket_mode` is {mode:o}; give it at most 777")]
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
    /// The listener has to serve events, metrics or the page, which name subsystems, and
    /// its detail is [`Detail::None`](crate::probe::Detail::None), which names none.
    #[error(
        "`{setting}` would show the names of subsystems, which `Detail::None` hides; remove it, or \
         set `detail` to `Detail::Names`"
    )]
    NamesHidden {
        /// The method that turned it on: `events`, `metrics` or `page`.
        setting: &'static str,
    },
    /// `serve` was called outside a tokio runtime.
    #[error("there is no tokio runtime here; call `serve` in one, or `serve_on_thread`")]
    NoRuntime,
    /// The thread of the listener, or its runtime, could not be started.
    #[error("cannot start a thread to listen on {address}; let the process have more threads")]
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
