use super::deadline::Deadline;
#[cfg(unix)]
use super::unix;
use crate::address::Address;
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::{
    fmt::Debug,
    io::{self, ErrorKind, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    time::Duration,
};

/// A connection with one deadline for all reads and writes together, so that a
/// peer that sends a byte a second cannot extend it.
#[derive(Debug)]
pub(super) struct ClientConnection {
    socket: Box<dyn Socket>,
    deadline: Deadline,
}

trait Socket: Read + Write + Debug {
    /// Sets the timeout of each later read and write.
    fn set_timeout(&self, timeout: Option<Duration>) -> io::Result<()>;
}

impl Socket for TcpStream {
    fn set_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.set_read_timeout(timeout)?;
        self.set_write_timeout(timeout)
    }
}

#[cfg(unix)]
impl Socket for UnixStream {
    fn set_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.set_read_timeout(timeout)?;
        self.set_write_timeout(timeout)
    }
}

impl ClientConnection {
    pub(super) fn connect(address: &Address, deadline: Deadline) -> io::Result<Self> {
        let left = deadline.left()?;
        let socket: Box<dyn Socket> = match address {
            Address::Tcp(address) => Box::new(connect_tcp(*address, left)?),
            Address::Port(port) => {
                let at = |address: IpAddr| connect_tcp((address, *port).into(), left);
                Box::new(match at(Ipv4Addr::LOCALHOST.into()) {
                    // The process may listen on IPv6 alone, or the machine may
                    // have IPv6 alone.
                    Err(error) if error.kind() != ErrorKind::TimedOut => {
                        at(Ipv6Addr::LOCALHOST.into()).map_err(|_| error)?
                    }
                    connected => connected?,
                })
            }
            #[cfg(unix)]
            Address::Unix(path) => Box::new(unix::connect(path, left)?),
        };
        Ok(Self { socket, deadline })
    }

    /// Begins a new deadline, for a stream whose parts each have one.
    #[cfg(feature = "cli")]
    pub(super) fn set_deadline(&mut self, deadline: Deadline) {
        self.deadline = deadline;
    }

    /// Sets the timeouts of the socket to the time that is left.
    fn set_timeout(&self) -> io::Result<()> {
        self.socket.set_timeout(self.deadline.left()?)
    }
}

fn connect_tcp(address: SocketAddr, within: Option<Duration>) -> io::Result<TcpStream> {
    match within {
        Some(within) => TcpStream::connect_timeout(&address, within),
        None => TcpStream::connect(address),
    }
}

impl Read for ClientConnection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.set_timeout()?;
        timed(self.socket.read(buffer))
    }
}

impl Write for ClientConnection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.set_timeout()?;
        timed(self.socket.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Maps `WouldBlock`, the error of a socket's timeout on Unix, to `TimedOut`.
fn timed<T>(result: io::Result<T>) -> io::Result<T> {
    result.map_err(|error| match error.kind() {
        ErrorKind::WouldBlock => ErrorKind::TimedOut.into(),
        _ => error,
    })
}
