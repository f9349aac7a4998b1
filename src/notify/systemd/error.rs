use crate::registry::SettingError;
use thiserror::Error;

/// Why notifying systemd could not start.
#[derive(Clone, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum SystemdError {
    /// `NOTIFY_SOCKET` is not an address of a unix socket: a relative path, say,
    /// or an abstract name on a system without abstract names.
    #[error("NOTIFY_SOCKET is {socket:?}, neither an absolute path nor an abstract name (`@name`)")]
    Socket {
        /// The value of the variable.
        socket: String,
    },
    /// `NOTIFY_SOCKET` is longer than an address of a unix socket.
    #[error("NOTIFY_SOCKET has {bytes} bytes, and a unix socket's address at most {most}")]
    LongSocket {
        /// The length of the value.
        bytes: usize,
        /// The longest possible address.
        most: usize,
    },
    /// `NOTIFY_SOCKET` is a vsock address, which the systemd inside a virtual
    /// machine uses to notify the host, and services do not.
    #[error("NOTIFY_SOCKET is {socket:?}: sockets of virtual machines are not supported")]
    Vsock {
        /// The value of the variable.
        socket: String,
    },
    /// `WATCHDOG_USEC` or `WATCHDOG_PID` is not a number greater than zero.
    #[error("{variable} is {value:?}, which is not a number greater than zero")]
    Watchdog {
        /// The name of the variable.
        variable: &'static str,
        /// The value of the variable.
        value: String,
    },
    /// A duration in the options is out of its bounds.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// This registry notifies systemd already.
    #[error("this registry notifies systemd already; call `notify_systemd` once")]
    AlreadyRunning,
}
