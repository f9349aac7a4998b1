use std::{
    fs::metadata,
    io::{self, ErrorKind},
    os::unix::{fs::FileTypeExt, net::UnixStream},
    path::Path,
    sync::mpsc::{RecvTimeoutError, sync_channel},
    thread,
    time::Duration,
};

/// Connects to the socket at `path`, with an optional timeout.
pub(super) fn connect(path: &Path, within: Option<Duration>) -> io::Result<UnixStream> {
    let Some(within) = within else {
        return UnixStream::connect(path);
    };
    // While the queue of a listener is full (its process is stopped, say), the
    // kernel blocks `connect`, which has no timeout. After a timeout here the
    // thread stays blocked, at most until this process exits.
    let (sender, outcome) = sync_channel(1);
    let path = path.to_owned();
    thread::Builder::new().spawn(move || {
        // The receiver is gone after a timeout.
        let _ = sender.send(UnixStream::connect(path));
    })?;
    match outcome.recv_timeout(within) {
        Ok(connected) => connected,
        Err(RecvTimeoutError::Timeout) => Err(ErrorKind::TimedOut.into()),
        Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("the thread panicked")),
    }
}

/// Returns whether the file at `path` is not a socket. (The kernel refuses to
/// connect to such a file with the same error as to a stale socket.)
pub(super) fn is_not_a_socket(path: &Path) -> bool {
    metadata(path).is_ok_and(|file| !file.file_type().is_socket())
}
