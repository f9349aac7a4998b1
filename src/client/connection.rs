use super::deadline::Deadline;
#[cfg(unix)]
use super::unix;
use crate::address::Address;
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::{
    io::{self, ErrorKind, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    time::Duration,
};

/// A connection with one deadline for all reads and writes together, so that a
/// peer that sends a byte a second cannot extend it.
#[derive(Debug)]
pub(super) struct Connection {
    socket: Socket,
    deadline: Deadline,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Connection {
    pub(super) fn connect(address: &Address, deadline: Deadline) -> io::Result<Self> {
        let left = deadline.left()?;
        let socket = match address {
            Address::Tcp(address) => Socket::Tcp(connect_tcp(*address, left)?),
            Address::Port(port) => {
                let at = |address: IpAddr| connect_tcp((address, *port).into(), left);
                Socket::Tcp(match at(Ipv4Addr::LOCALHOST.into()) {
                    // The process may listen on IPv6 alone, or the machine may
                    // have IPv6 alone.
                    Err(error) if error.kind() != ErrorKind::TimedOut => {
                        at(Ipv6Addr::LOCALHOST.into()).map_err(|_| error)?
                    }
                    connected => connected?,
                })
            }
            #[cfg(unix)]
            Address::Unix(path) => Socket::Unix(unix::connect(path, left)?),
        };
        Ok(Self { socket, deadline })
    }
}

fn connect_tcp(address: SocketAddr, within: Option<Duration>) -> io::Result<TcpStream> {
    match within {
        Some(within) => TcpStream::connect_timeout(&address, within),
        None => TcpStream::connect(address),
    }
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.deadline.left()?;
        timed(match &mut self.socket {
            Socket::Tcp(socket) => {
                socket.set_read_timeout(left)?;
                socket.read(buffer)
            }
            #[cfg(unix)]
            Socket::Unix(socket) => {
                socket.set_read_timeout(left)?;
                socket.read(buffer)
            }
        })
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left: Option<Duration> = self.deadline.left()?;
        timed(match &mut self.socket {
            Socket::Tcp(socket) => {
                socket.set_write_timeout(left)?;
                socket.write(bytes)
            }
            #[cfg(unix)]
            Socket::Unix(socket) => {
                socket.set_write_timeout(left)?;
                socket.write(bytes)
            }
        })
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
