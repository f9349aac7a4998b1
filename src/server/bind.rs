use super::error::ServeError;
#[cfg(unix)]
use super::place::Place;
use crate::address::Address;
use std::{io, net::SocketAddr};
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};

/// A socket that listens.
pub(super) enum Listener {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(unix::Listener),
}

/// A connection of either kind.
pub(super) enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Duplex for S {}

impl Listener {
    /// Listens, and says where.
    /// `mode` is that of the file of a unix socket.
    pub(super) async fn bind(address: Address, mode: u32) -> Result<(Self, Address), ServeError> {
        #[cfg(not(unix))]
        let _ = mode;
        match address {
            Address::Tcp(wanted) => match bind_tcp(wanted).await {
                Ok((listener, local)) => Ok((Self::Tcp(listener), Address::Tcp(local))),
                Err(source) => Err(ServeError::Bind { address, source }),
            },
            #[cfg(unix)]
            Address::Unix(path) => {
                let listener = unix::Listener::bind(&path, mode).await?;
                Ok((Self::Unix(listener), Address::Unix(path)))
            }
        }
    }

    /// The file of the unix socket, if it is one.
    #[cfg(unix)]
    pub(super) fn place(&self) -> Option<Place> {
        match self {
            Self::Tcp(_) => None,
            Self::Unix(listener) => Some(listener.place()),
        }
    }

    pub(super) async fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // An answer is not to wait for the one before it. Where that
                // cannot be had, it does.
                let _ = stream.set_nodelay(true);
                Ok(Stream::Tcp(stream))
            }
            #[cfg(unix)]
            Self::Unix(listener) => listener.accept().await.map(Stream::Unix),
        }
    }
}

async fn bind_tcp(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await?;
    let local = listener.local_addr()?;
    Ok((listener, local))
}

#[cfg(unix)]
mod unix {
    use super::super::{
        error::ServeError,
        place::{Place, SocketFile, remove_seen},
    };
    use std::{
        fs::{Permissions, set_permissions, symlink_metadata},
        io,
        os::unix::fs::{FileTypeExt, PermissionsExt},
        path::Path,
    };
    use tokio::net::{UnixListener, UnixSocket, UnixStream};

    /// How many connections may queue; as many as for tokio's own listeners.
    const BACKLOG: u32 = 1024;

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
        async fn at(path: &Path, mode: u32) -> Result<Self, ServeError> {
            let failed = |source| ServeError::Bind {
                address: path.into(),
                source,
            };
            let socket = UnixSocket::new_stream().map_err(failed)?;
            match socket.bind(path) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    remove_stale(path, error).await?;
                    socket.bind(path)
                }
                bound => bound,
            }
            .map_err(failed)?;
            let file = SocketFile::at(path).map_err(failed)?;
            if file.place().mode().map_err(failed)? != mode {
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
            match file.place().mode() {
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
            let bound = Bound::at(path, mode).await?;
            // Until here nobody could connect, whatever the umask had allowed.
            // (That is one of the whole process, and not ours to change.)
            bound.listen().map_err(|source| ServeError::Bind {
                address: path.into(),
                source,
            })
        }

        pub(super) fn place(&self) -> Place {
            self.file.place().clone()
        }

        pub(super) async fn accept(&self) -> io::Result<UnixStream> {
            let (stream, _) = self.listener.accept().await?;
            Ok(stream)
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
            let bound = Bound::at(&path, 0o600).await.unwrap();
            fs::remove_file(&path).unwrap();
            let _winner = net::UnixListener::bind(&path).unwrap();
            in_use(bound);
            // Whose it is now keeps it.
            net::UnixStream::connect(&path).unwrap();

            fs::remove_file(&path).unwrap();
            let bound = Bound::at(&path, 0o600).await.unwrap();
            fs::remove_file(&path).unwrap();
            in_use(bound);

            let bound = Bound::at(&path, 0o600).await.unwrap();
            assert!(bound.listen().is_ok());
        }
    }
}
