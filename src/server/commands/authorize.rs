use crate::server::socket_file::{FileIdentity, ROOT};
use thiserror::Error;

/// Any permission of group or others.
const OTHERS: u32 = 0o077;

/// Why a command is refused.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum Denied {
    #[error("only the owner of the socket file, or root, may send commands")]
    NotOwner,
    #[error("others may open the socket (mode {mode:o}, not 600)")]
    Open { mode: u32 },
    #[error("others may replace the socket, because they may write to its folder")]
    Folder,
    #[error("the socket file is no longer there")]
    Gone,
}

/// Checks that only the owner and root can open or replace the socket file, and
/// that `peer` is one of them.
///
/// The kernel guarantees the user id of a peer. It does not suffice, because all
/// users that are not mapped into the user namespace of this process appear with
/// the same id. The mode is read for each command, because it may have changed. A
/// user that can replace the file could answer instead of this process, and receive
/// its commands.
pub(super) fn authorize(socket: &FileIdentity, peer: Option<u32>) -> Result<(), Denied> {
    if !peer.is_some_and(|peer| peer == socket.owner || peer == ROOT) {
        return Err(Denied::NotOwner);
    }
    let mode = socket.mode().map_err(|_| Denied::Gone)?;
    if mode & OTHERS != 0 {
        return Err(Denied::Open { mode });
    }
    match socket.folder_is_shared() {
        Ok(false) => Ok(()),
        Ok(true) => Err(Denied::Folder),
        Err(_) => Err(Denied::Gone),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::socket_file::SocketFile;
    use std::os::unix::net::UnixListener;

    #[test]
    fn only_the_owner_and_root_are_authorized() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let _listener = UnixListener::bind(&path).unwrap();
        let file = SocketFile::at(&path).unwrap();
        let owner = file.identity().owner;
        for peer in [None, Some(owner + 1), Some(u32::MAX)] {
            let outcome = authorize(file.identity(), peer);
            assert_eq!(outcome, Err(Denied::NotOwner), "{peer:?}");
        }
        for peer in [owner, ROOT] {
            assert_ne!(
                authorize(file.identity(), Some(peer)),
                Err(Denied::NotOwner)
            );
        }
    }
}
