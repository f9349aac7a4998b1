use crate::registry::SettingError;
use thiserror::Error;

/// Why systemd is not told.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SystemdError {
    /// `NOTIFY_SOCKET` is no address of a unix socket: a relative path, say, or
    /// an abstract name where there is no such thing.
    #[error("NOTIFY_SOCKET is {socket:?}, neither an absolute path nor an abstract name (`@name`)")]
    Socket {
        /// What it is.
        socket: String,
    },
    /// `NOTIFY_SOCKET` is longer than the address of a unix socket can be.
    #[error("NOTIFY_SOCKET has {bytes} bytes, and a unix socket's address at most {most}")]
    LongSocket {
        /// Its length.
        bytes: usize,
        /// The longest that there is.
        most: usize,
    },
    /// `NOTIFY_SOCKET` leads out of a virtual machine, which is for its own
    /// systemd to use and not for a service.
    #[error("NOTIFY_SOCKET is {socket:?}: sockets of virtual machines are not supported")]
    Vsock {
        /// What it is.
        socket: String,
    },
    /// `WATCHDOG_USEC` is no number greater than zero, or `WATCHDOG_PID` none at
    /// all.
    #[error("{variable} is {value:?}, which is not what systemd says")]
    Watchdog {
        /// Which of them.
        variable: &'static str,
        /// What it is.
        value: String,
    },
    /// A duration among the options is out of its bounds.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// It is told already.
    #[error("systemd is told already")]
    Twice,
}
