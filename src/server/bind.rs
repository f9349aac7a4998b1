use super::error::ServeError;
#[cfg(all(unix, feature = "commands"))]
use super::socket_file::FileIdentity;
use super::stream::Stream;
use crate::{accept, address::Address};
use socket2::SockRef;
#[cfg(unix)]
use std::os::fd::{AsFd, OwnedFd};
use std::{
    io::{self, ErrorKind},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    task::{Context, Poll, ready},
};
#[cfg(unix)]
use tokio::io::{Interest, unix::AsyncFd};
use tokio::net::{TcpListener, TcpSocket};

/// How many connections the kernel queues until they are accepted. The kernel may
/// lower the number (to `net.core.somaxconn` on Linux).
const BACKLOG: u32 = 1024;

/// How many bytes of answers the kernel buffers for a TCP connection whose peer
/// does not read. Linux doubles the number for its own bookkeeping. By default the
/// kernel buffers some megabytes, so a peer that sends requests and reads no
/// answers would have that many bytes rendered.
const SEND_BUFFER: usize = 64 << 10;

/// A listening TCP or unix socket.
pub(super) struct Listener {
    socket: Socket,
    /// A duplicate of the socket, for [`Self::connection_waiting`].
    #[cfg(unix)]
    watched: OwnedFd,
}

enum Socket {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(unix::Listener),
}

impl Listener {
    /// Binds and listens. Returns the listener and its address.
    ///
    /// A unix socket's file gets `mode`.
    pub(super) async fn bind(address: Address, mode: u32) -> Result<(Self, Address), ServeError> {
        #[cfg(not(unix))]
        let _ = mode;
        let bound = match &address {
            Address::Tcp(wanted) => bind_tcp(*wanted),
            Address::Port(port) => bind_port(*port),
            #[cfg(unix)]
            Address::Unix(path) => {
                let listener = unix::Listener::bind(path, mode).await?;
                Ok((Socket::Unix(listener), address.clone()))
            }
        };
        let listening = bound.and_then(|(socket, local)| Ok((Self::new(socket)?, local)));
        listening.map_err(|source| ServeError::Bind { address, source })
    }

    fn new(socket: Socket) -> io::Result<Self> {
        Ok(Self {
            #[cfg(unix)]
            watched: match &socket {
                Socket::Tcp(listener) => listener.as_fd(),
                Socket::Unix(listener) => listener.as_fd(),
            }
            .try_clone_to_owned()?,
            socket,
        })
    }

    /// The identity of the socket file, if the listener is a unix socket.
    #[cfg(all(unix, feature = "commands"))]
    pub(super) fn identity(&self) -> Option<FileIdentity> {
        match &self.socket {
            Socket::Tcp(_) => None,
            Socket::Unix(listener) => Some(listener.identity()),
        }
    }

    /// Completes when a connection is in the backlog.
    ///
    /// `accept` cannot show that: without a free descriptor it fails whether or not
    /// a connection is there. The readiness that the runtime has stored may be
    /// outdated, so this registers with the kernel anew.
    #[cfg(unix)]
    #[allow(
        deprecated,
        reason = "for descriptors that are not borrowed; its successor came with tokio 1.54"
    )]
    pub(super) async fn connection_waiting(&self) {
        // If the socket cannot be registered, the caller tries to accept.
        if let Ok(watched) = AsyncFd::with_interest(self.watched.as_fd(), Interest::READABLE) {
            let _ = watched.readable().await;
        }
    }

    #[cfg(not(unix))]
    pub(super) async fn connection_waiting(&self) {}

    /// From now on every `accept` fails with `EINVAL`.
    #[cfg(all(test, target_os = "linux"))]
    pub(super) fn fail_every_accept(&self) {
        let watched = SockRef::from(&self.watched);
        watched.shutdown(std::net::Shutdown::Both).unwrap();
    }
}

impl accept::Listener for Listener {
    type Connection = Stream;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        Poll::Ready(Ok(match &self.socket {
            Socket::Tcp(listener) => {
                let (stream, _) = ready!(listener.poll_accept(cx))?;
                // Without Nagle's algorithm, an answer does not wait for the
                // acknowledgement of the one before. On an error it may wait.
                let _ = stream.set_nodelay(true);
                Stream::Tcp(stream)
            }
            #[cfg(unix)]
            Socket::Unix(listener) => Stream::Unix(ready!(listener.poll_accept(cx))?),
        }))
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<(Socket, Address)> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    if address.ip() == Ipv6Addr::UNSPECIFIED {
        // Accept IPv4 as well, independently of the default of the system
        // (`net.ipv6.bindv6only` on Linux). On an error, IPv6 alone is answered.
        let _ = SockRef::from(&socket).set_only_v6(false);
    }
    // A restarted process can listen although connections of its predecessor are
    // not closed yet. (On Windows this would let two processes listen.)
    #[cfg(not(windows))]
    socket.set_reuseaddr(true)?;
    // Connections inherit the size. On an error, the kernel buffers more.
    let _ = SockRef::from(&socket).set_send_buffer_size(SEND_BUFFER);
    socket.bind(address)?;
    let listener = socket.listen(BACKLOG)?;
    let local = listener.local_addr()?;
    Ok((Socket::Tcp(listener), Address::Tcp(local)))
}

/// Listens on all addresses of both families, or on those of IPv4 where the
/// system has no IPv6.
fn bind_port(port: u16) -> io::Result<(Socket, Address)> {
    match bind_tcp((Ipv6Addr::UNSPECIFIED, port).into()) {
        Err(error)
            if !matches!(
                error.kind(),
                ErrorKind::AddrInUse | ErrorKind::PermissionDenied
            ) =>
        {
            bind_tcp((Ipv4Addr::UNSPECIFIED, port).into())
        }
        bound => bound,
    }
}

#[cfg(unix)]
mod unix {
    use super::{
        super::{
            error::ServeError,
            socket_file::{SocketFile, remove_seen},
        },
        BACKLOG,
    };
    use std::{
        fs::{File, Permissions, set_permissions, symlink_metadata},
        io,
        os::{
            fd::{AsFd, BorrowedFd},
            unix::fs::{FileTypeExt, PermissionsExt},
        },
        path::Path,
        task::{Context, Poll, ready},
    };
    use tokio::net::{UnixListener, UnixSocket, UnixStream};

    pub(in super::super) struct Listener {
        // Dropped first: while the file exists, the socket must listen, or
        // another process would take the file for a stale one.
        #[cfg_attr(not(feature = "commands"), expect(dead_code))]
        file: SocketFile,
        listener: UnixListener,
    }

    /// A unix socket that is bound to its file and does not listen yet.
    struct Bound {
        file: SocketFile,
        socket: UnixSocket,
    }

    impl Bound {
        async fn bind(path: &Path, mode: u32) -> Result<Self, ServeError> {
            let failed = |source| ServeError::Bind {
                address: path.into(),
                source,
            };
            let socket = UnixSocket::new_stream().map_err(failed)?;
            preset_mode(&socket, mode);
            match socket.bind(path) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    remove_stale(path, error).await?;
                    socket.bind(path)
                }
                bound => bound,
            }
            .map_err(failed)?;
            let file = SocketFile::at(path).map_err(failed)?;
            if file.identity().mode().map_err(failed)? != mode {
                // The mode is set by path, and in a folder that other users may
                // write to, the path may lead to another file by now, even
                // through a symbolic link.
                if file.identity().folder_is_shared().map_err(failed)? {
                    return Err(ServeError::SharedFolder {
                        address: path.into(),
                        mode,
                    });
                }
                set_permissions(path, Permissions::from_mode(mode)).map_err(failed)?;
            }
            Ok(Self { file, socket })
        }

        fn listen(self) -> io::Result<Listener> {
            let Self { file, socket } = self;
            let listener = socket.listen(BACKLOG)?;
            // Until here the kernel refused connections, as for a stale socket. A
            // process that starts at the same time may therefore have removed the
            // file and created its own. (This check misses a process that was
            // refused before `listen` and removes the file after the check; the
            // window is a few system calls long.)
            match file.identity().mode() {
                Ok(_) => Ok(Listener { file, listener }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    Err(io::ErrorKind::AddrInUse.into())
                }
                Err(error) => Err(error),
            }
        }
    }

    impl Listener {
        pub(super) async fn bind(path: &Path, mode: u32) -> Result<Self, ServeError> {
            let bound = Bound::bind(path, mode).await?;
            // Clients cannot connect before `listen`, so the mode that the umask
            // allowed until now did not matter. (The umask belongs to the whole
            // process, so this code does not change it.)
            bound.listen().map_err(|source| ServeError::Bind {
                address: path.into(),
                source,
            })
        }

        pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
            self.listener.as_fd()
        }

        #[cfg(feature = "commands")]
        pub(super) fn identity(&self) -> super::FileIdentity {
            self.file.identity().clone()
        }

        pub(super) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<UnixStream>> {
            let (stream, _) = ready!(self.listener.poll_accept(cx))?;
            Poll::Ready(Ok(stream))
        }
    }

    /// Sets the mode that the socket file will be created with, before the umask
    /// applies. Linux takes it from the descriptor; on other systems this has no
    /// effect, and the caller checks the mode of the file.
    fn preset_mode(socket: &UnixSocket, mode: u32) {
        if let Ok(descriptor) = socket.as_fd().try_clone_to_owned() {
            let _ = File::from(descriptor).set_permissions(Permissions::from_mode(mode));
        }
    }

    /// Removes the socket file of a process that ended without removing it.
    async fn remove_stale(path: &Path, in_use: io::Error) -> Result<(), ServeError> {
        let failed = |source| ServeError::Bind {
            address: path.into(),
            source,
        };
        let seen = match symlink_metadata(path) {
            // Checked before `connect`: a plain file refuses like a stale socket.
            Ok(there) if !there.file_type().is_socket() => {
                return Err(ServeError::NotASocket {
                    address: path.into(),
                });
            }
            Ok(there) => there,
            // Another process has removed the file meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(_) => return Err(failed(in_use)),
        };
        match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                remove_seen(path, &seen).map_err(failed)
            }
            // A process listens, or this process may not connect.
            _ => Err(failed(in_use)),
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use std::{fs, os::unix::net};

        #[tokio::test]
        async fn a_socket_whose_file_was_replaced_before_it_listens_is_in_use() {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("admin.sock");
            let in_use = |bound: Bound| {
                let error = bound.listen().map(|_| "it listens").unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::AddrInUse, "{error}");
            };
            let bound = Bound::bind(&path, 0o600).await.unwrap();
            fs::remove_file(&path).unwrap();
            let _winner = net::UnixListener::bind(&path).unwrap();
            in_use(bound);
            // The file of the other socket is kept.
            net::UnixStream::connect(&path).unwrap();

            fs::remove_file(&path).unwrap();
            let bound = Bound::bind(&path, 0o600).await.unwrap();
            fs::remove_file(&path).unwrap();
            in_use(bound);

            let bound = Bound::bind(&path, 0o600).await.unwrap();
            assert!(bound.listen().is_ok());
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use tokio::net::TcpStream;

    #[tokio::test]
    async fn the_kernel_buffers_64_kib_for_a_peer_that_does_not_read() {
        let (socket, address) = bind_tcp((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let (Socket::Tcp(listener), Address::Tcp(address)) = (socket, address) else {
            panic!("bound to a TCP address");
        };
        let _peer = TcpStream::connect(address).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        let doubled = SockRef::from(&accepted).send_buffer_size().unwrap();
        assert_eq!(doubled, 2 * (64 << 10));
    }
}
