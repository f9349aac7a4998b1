use super::error::SystemdError;
#[cfg(any(target_os = "linux", target_os = "android"))]
use std::os::linux::net::SocketAddrExt;
use std::{
    ffi::OsStr,
    io,
    os::unix::{
        ffi::OsStrExt,
        net::{SocketAddr, UnixDatagram},
    },
};

/// The length of Linux's `sun_path` without the NUL byte that ends a path or
/// begins an abstract name. (Other systems have a shorter one, but no systemd.)
const LONGEST: usize = 107;

/// Sends datagrams to systemd. (The sender of the crate `sd-notify` blocks, and
/// does not support abstract names.)
#[derive(Debug)]
pub(super) struct Sender {
    address: SocketAddr,
    socket: Option<UnixDatagram>,
}

impl Sender {
    /// Parses the address. The socket may be created later.
    pub(super) fn new(socket: &OsStr) -> Result<Self, SystemdError> {
        Ok(Self {
            address: address(socket)?,
            socket: None,
        })
    }

    /// Sends without blocking: a full socket buffer is an error.
    pub(super) fn send(&mut self, message: &str) -> io::Result<()> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => open()?,
        };
        // Sent by address on an unconnected socket, because systemd may have
        // replaced its socket. A datagram is sent as a whole or not at all.
        let socket = self.socket.insert(socket);
        let sent = socket.send_to_addr(message.as_bytes(), &self.address);
        sent.map(drop)
    }
}

fn open() -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn address(socket: &OsStr) -> Result<SocketAddr, SystemdError> {
    let given = || socket.to_string_lossy().into_owned();
    let bytes = socket.as_bytes();
    let address = match bytes {
        [b'/', ..] => SocketAddr::from_pathname(socket),
        [b'@', name @ ..] if !name.is_empty() => by_abstract_name(name),
        _ if bytes.starts_with(b"vsock") => {
            return Err(SystemdError::Vsock { socket: given() });
        }
        _ => Err(io::ErrorKind::InvalidInput.into()),
    };
    address.map_err(|_| {
        if bytes.len() > LONGEST && matches!(bytes[0], b'/' | b'@') {
            SystemdError::LongSocket {
                bytes: bytes.len(),
                most: LONGEST,
            }
        } else {
            SystemdError::Socket { socket: given() }
        }
    })
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn by_abstract_name(name: &[u8]) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(name)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn by_abstract_name(_: &[u8]) -> io::Result<SocketAddr> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(socket: &str) -> SystemdError {
        Sender::new(OsStr::new(socket)).unwrap_err()
    }

    #[test]
    fn malformed_addresses_are_refused() {
        for socket in ["run/notify", "notify", "@", "./x", "unix:/run/x", "/a\0b"] {
            let socket = socket.to_owned();
            assert_eq!(refused(&socket), SystemdError::Socket { socket });
        }
        for socket in ["vsock:2:1234", "vsock-stream:2:1234"] {
            let socket = socket.to_owned();
            assert_eq!(refused(&socket), SystemdError::Vsock { socket });
        }
    }

    #[test]
    fn the_length_of_an_address_has_a_limit() {
        for first in ["/", "@"] {
            let longest = first.to_owned() + &"x".repeat(LONGEST - 1);
            assert!(Sender::new(OsStr::new(&longest)).is_ok(), "{longest}");
        }
        let most = LONGEST;
        let bytes = LONGEST + 2;
        for first in ["/", "@"] {
            let longer = first.to_owned() + &"x".repeat(bytes - 1);
            assert_eq!(refused(&longer), SystemdError::LongSocket { bytes, most });
        }
    }
}
