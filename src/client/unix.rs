use std::{
    fs::metadata,
    io::{self, ErrorKind},
    os::unix::{fs::FileTypeExt, net::UnixStream},
    path::Path,
    sync::mpsc::{RecvTimeoutError, sync_channel},
    thread,
    time::Duration,
};

/// Connects to the socket at `path`, within a time if there is one.
pub(super) fn connect(path: &Path, within: Option<Duration>) -> io::Result<UnixStream> {
    let Some(within) = within else {
        return UnixStream::connect(path);
    };
    // While the queue of a listener is full, as that of a process is that has
    // stopped, the system lets connecting wait, and has no timeout for it. The
    // thread then waits on, at most until the process ends.
    let (tell, outcome) = sync_channel(1);
    let path = path.to_owned();
    thread::Builder::new().spawn(move || {
        // Nobody has to be there to receive it.
        let _ = tell.send(UnixStream::connect(path));
    })?;
    match outcome.recv_timeout(within) {
        Ok(connected) => connected,
        Err(RecvTimeoutError::Timeout) => Err(ErrorKind::TimedOut.into()),
        Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("the thread panicked")),
    }
}

/// Whether there is something else at `path` than a socket. (Connecting to a
/// file is refused just as connecting to a stale socket.)
pub(super) fn is_something_else(path: &Path) -> bool {
    metadata(path).is_ok_and(|there| !there.file_type().is_socket())
}
