use super::error::ServeError;
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
    pub(super) async fn bind(address: Address) -> Result<(Self, Address), ServeError> {
        match address {
            Address::Tcp(wanted) => match bind_tcp(wanted).await {
                Ok((listener, local)) => Ok((Self::Tcp(listener), Address::Tcp(local))),
                Err(source) => Err(ServeError::Bind { address, source }),
            },
            #[cfg(unix)]
            Address::Unix(path) => {
                let listener = unix::Listener::bind(&path).await?;
                Ok((Self::Unix(listener), Address::Unix(path)))
            }
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
    use super::super::error::ServeError;
    use std::{
        fs::{remove_file, symlink_metadata},
        io,
        os::unix::fs::{FileTypeExt, MetadataExt},
        path::{Path, PathBuf},
    };
    use tokio::net::{UnixListener, UnixStream};

    pub(in super::super) struct Listener {
        // The first to go: as long as the file is there somebody listens, so
        // that nobody takes it for a stale one.
        _file: SocketFile,
        listener: UnixListener,
    }

    impl Listener {
        pub(super) async fn bind(path: &Path) -> Result<Self, ServeError> {
            let failed = |source| ServeError::Bind {
                address: path.into(),
                source,
            };
            let listener = match UnixListener::bind(path) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    remove_stale(path, error).await?;
                    UnixListener::bind(path)
                }
                bound => bound,
            };
            let listener = listener.map_err(failed)?;
            let file = SocketFile::at(path).map_err(failed)?;
            Ok(Self {
                _file: file,
                listener,
            })
        }

        pub(super) async fn accept(&self) -> io::Result<UnixStream> {
            let (stream, _) = self.listener.accept().await?;
            Ok(stream)
        }
    }

    /// Removes what a process left behind that could not do so itself.
    async fn remove_stale(path: &Path, in_use: io::Error) -> Result<(), ServeError> {
        let address = || path.into();
        match symlink_metadata(path) {
            // Before it is connected to: a file refuses just as a stale socket.
            Ok(there) if !there.file_type().is_socket() => {
                return Err(ServeError::NotASocket { address: address() });
            }
            // What is gone meanwhile is not in the way.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            _ => {}
        }
        match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => remove_file(path)
                .map_err(|source| ServeError::Bind {
                    address: address(),
                    source,
                }),
            // It is answered, or it is not ours to ask.
            _ => Err(ServeError::Bind {
                address: address(),
                source: in_use,
            }),
        }
    }

    /// The file of a socket, removed when dropped unless it is somebody else's
    /// by then.
    struct SocketFile {
        path: PathBuf,
        device: u64,
        inode: u64,
    }

    impl SocketFile {
        fn at(path: &Path) -> io::Result<Self> {
            let file = symlink_metadata(path)?;
            Ok(Self {
                path: path.to_owned(),
                device: file.dev(),
                inode: file.ino(),
            })
        }
    }

    impl Drop for SocketFile {
        fn drop(&mut self) {
            let is_ours = symlink_metadata(&self.path)
                .is_ok_and(|file| (file.dev(), file.ino()) == (self.device, self.inode));
            if is_ours {
                // What cannot be removed is stale for whoever comes next.
                let _ = remove_file(&self.path);
            }
        }
    }
}
