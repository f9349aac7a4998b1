use super::error::ServeError;
#[cfg(unix)]
use super::socket_file::FileIdentity;
use super::stream::Stream;
use crate::address::Address;
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

/// How many connections may queue in the system until they are accepted. It
/// lowers the number to its own limit (`net.registry.somaxconn` on Linux).
const BACKLOG: u32 = 1024;

/// How many bytes of answers the system keeps for a TCP connection whose peer does
/// not read (Linux doubles it, for its own bookkeeping). Left to itself it
/// keeps some megabytes, and a peer that sends requests and reads nothing has
/// that many answers rendered.
const SEND_BUFFER: usize = 64 << 10;

/// A socket that listens.
pub(super) struct Listener {
    socket: Socket,
    /// The same socket again, for [`Self::has_one_waiting`].
    #[cfg(unix)]
    watched: OwnedFd,
}

enum Socket {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(unix::Listener),
}

impl Listener {
    /// Listens, and says where.
    /// `mode` is that of the file of a unix socket.
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

    /// The file of the unix socket, if it is one.
    #[cfg(unix)]
    pub(super) fn identity(&self) -> Option<FileIdentity> {
        match &self.socket {
            Socket::Tcp(_) => None,
            Socket::Unix(listener) => Some(listener.identity()),
        }
    }

    pub(super) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        Poll::Ready(Ok(match &self.socket {
            Socket::Tcp(listener) => {
                let (stream, _) = ready!(listener.poll_accept(cx))?;
                // An answer is not to wait for the one before it. Where that
                // cannot be had, it does.
                let _ = stream.set_nodelay(true);
                Stream::Tcp(stream)
            }
            #[cfg(unix)]
            Socket::Unix(listener) => Stream::Unix(ready!(listener.poll_accept(cx))?),
        }))
    }

    /// Completes when a connection waits to be accepted. To have no descriptor
    /// left is an error of accepting whether one does or not, and what the
    /// runtime knows of the socket may be of the past, so the system is asked
    /// anew.
    #[cfg(unix)]
    #[allow(
        deprecated,
        reason = "for descriptors that are not borrowed; its successor came with tokio 1.54"
    )]
    pub(super) async fn connection_waiting(&self) {
        // Where it cannot be asked, accepting tells.
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

fn bind_tcp(address: SocketAddr) -> io::Result<(Socket, Address)> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    if address.ip() == Ipv6Addr::UNSPECIFIED {
        // IPv4 as well, whatever the default of the system is
        // (`net.ipv6.bindv6only` on Linux). A system that cannot answers IPv6.
        let _ = SockRef::from(&socket).set_only_v6(false);
    }
    // A restarted process listens again although connections of its
    // predecessor are not over. (On Windows this would let two listen.)
    #[cfg(not(windows))]
    socket.set_reuseaddr(true)?;
    // Connections inherit it. A system that refuses keeps more.
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
            socket_file::{FileIdentity, SocketFile, remove_seen},
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
        // The first to go: as long as the file is there somebody listens, so
        // that nobody takes it for a stale one.
        file: SocketFile,
        listener: UnixListener,
    }

    /// A socket that has its file, and does not listen yet.
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
                // By its path, which in a folder that others may write to could
                // lead to another file by now, even through a symbolic link.
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
            // Until here connections were refused as by a stale socket, so that
            // a process that began to listen at the same time may have removed
            // the file, and be the one that is found there. (If it was refused
            // before this and removes it after, nobody knows; between the two
            // are a few system calls of either.)
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
            // Until here nobody could connect, whatever the umask had allowed.
            // (That is one of the whole process, and not ours to change.)
            bound.listen().map_err(|source| ServeError::Bind {
                address: path.into(),
                source,
            })
        }

        pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
            self.listener.as_fd()
        }

        pub(super) fn identity(&self) -> FileIdentity {
            self.file.identity().clone()
        }

        pub(super) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<UnixStream>> {
            let (stream, _) = ready!(self.listener.poll_accept(cx))?;
            Poll::Ready(Ok(stream))
        }
    }

    /// Gives the file that the socket will make its mode, less what the umask
    /// takes away: Linux takes it from the descriptor. Elsewhere this does
    /// nothing, and the mode of the file tells.
    fn preset_mode(socket: &UnixSocket, mode: u32) {
        if let Ok(descriptor) = socket.as_fd().try_clone_to_owned() {
            let _ = File::from(descriptor).set_permissions(Permissions::from_mode(mode));
        }
    }

    /// Removes what a process left behind that could not do so itself.
    async fn remove_stale(path: &Path, in_use: io::Error) -> Result<(), ServeError> {
        let failed = |source| ServeError::Bind {
            address: path.into(),
            source,
        };
        let seen = match symlink_metadata(path) {
            // Before it is connected to: a file refuses just as a stale socket.
            Ok(there) if !there.file_type().is_socket() => {
                return Err(ServeError::NotASocket {
                    address: path.into(),
                });
            }
            Ok(there) => there,
            // What is gone meanwhile is not in the way.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(_) => return Err(failed(in_use)),
        };
        match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                remove_seen(path, &seen).map_err(failed)
            }
            // It is answered, or it is not ours to ask.
            _ => Err(failed(in_use)),
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use std::{fs, os::unix::net};

        #[tokio::test]
        async fn one_whose_file_is_no_longer_its_own_when_it_listens_is_in_use() {
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
            // Whose it is now keeps it.
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
