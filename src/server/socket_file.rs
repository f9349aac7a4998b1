use std::{
    fs::{Metadata, metadata, remove_file, symlink_metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf, absolute},
};
use thiserror::Error;

const ROOT: u32 = 0;

/// Everybody but the owner may do something.
const OTHERS: u32 = 0o077;
/// Everybody but the owner may write.
const OTHERS_WRITE: u32 = 0o022;
/// In such a folder one's files are one's own even if everybody may write.
const STICKY: u32 = 0o1000;

/// Removes the file at `path` if it is the one that was `seen` there, and has
/// not been changed since: another may have put theirs in its place.
pub(super) fn remove_seen(path: &Path, seen: &Metadata) -> io::Result<()> {
    // An inode that is free has its number given to the next file.
    let identity = |file: &Metadata| (file.dev(), file.ino(), file.ctime(), file.ctime_nsec());
    let removed = match symlink_metadata(path) {
        Ok(there) if identity(&there) == identity(seen) => remove_file(path),
        Ok(_) => return Ok(()),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Where the file of a unix socket is, and whose it was when it was made.
#[derive(Clone, Debug)]
pub(super) struct FileIdentity {
    /// Absolute, for the process may change its folder.
    path: PathBuf,
    device: u64,
    inode: u64,
    /// The user this process was, or the files of.
    owner: u32,
}

/// Why a peer is not surely the owner.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum Denied {
    #[error("only the owner of the process may command it")]
    NotOwner,
    #[error("others may open the socket (mode {mode:o}, not 600)")]
    Open { mode: u32 },
    #[error("others may replace the socket, for they may write to its folder")]
    Folder,
    #[error("the file of the socket is no longer there")]
    Gone,
}

impl FileIdentity {
    fn read(path: &Path) -> io::Result<Self> {
        let file = symlink_metadata(path)?;
        Ok(Self {
            path: absolute(path)?,
            device: file.dev(),
            inode: file.ino(),
            owner: file.uid(),
        })
    }

    /// The permissions of the file, as they are now.
    pub(super) fn mode(&self) -> io::Result<u32> {
        let file = symlink_metadata(&self.path)?;
        if (file.dev(), file.ino()) == (self.device, self.inode) {
            Ok(file.mode() & 0o7777)
        } else {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    /// Whether nobody but the owner (and root, which may do everything) can
    /// have opened the socket, and the peer of a connection is one of them.
    ///
    /// The system vouches for the user id of a peer, so that alone would do,
    /// but for ids that are shared: those that have no name in the namespace of
    /// this process look alike. The permissions are looked at anew, for they may
    /// have been changed since. Whoever can replace the file could answer in
    /// the place of this process, and take its commands.
    pub(super) fn authorize(&self, peer: Option<u32>) -> Result<(), Denied> {
        if !peer.is_some_and(|peer| peer == self.owner || peer == ROOT) {
            return Err(Denied::NotOwner);
        }
        let mode = self.mode().map_err(|_| Denied::Gone)?;
        if mode & OTHERS != 0 {
            return Err(Denied::Open { mode });
        }
        match self.folder_is_shared() {
            Ok(false) => Ok(()),
            Ok(true) => Err(Denied::Folder),
            Err(_) => Err(Denied::Gone),
        }
    }

    /// Whether others than the owner and root can replace the file.
    pub(super) fn folder_is_shared(&self) -> io::Result<bool> {
        let folder = self.path.parent().ok_or(io::ErrorKind::NotFound)?;
        let folder = metadata(folder)?;
        let others_may = folder.mode() & OTHERS_WRITE != 0 && folder.mode() & STICKY == 0;
        Ok(others_may || ![self.owner, ROOT].contains(&folder.uid()))
    }
}

/// The file of a socket, removed when dropped unless it is somebody else's by
/// then.
pub(super) struct SocketFile(FileIdentity);

impl SocketFile {
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        FileIdentity::read(path).map(Self)
    }

    pub(super) fn identity(&self) -> &FileIdentity {
        &self.0
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.0.mode().is_ok() {
            // What cannot be removed is stale for whoever comes next.
            let _ = remove_file(&self.0.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::net::UnixListener};

    #[test]
    fn who_is_neither_the_owner_nor_root_is_a_stranger() {
        let folder = std::env::temp_dir().join(format!("readiness-place-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("admin.sock");
        let _listener = UnixListener::bind(&path).unwrap();
        let file = SocketFile::at(&path).unwrap();
        let owner = file.identity().owner;
        for peer in [None, Some(owner + 1), Some(u32::MAX)] {
            assert_eq!(
                file.identity().authorize(peer),
                Err(Denied::NotOwner),
                "{peer:?}"
            );
        }
        for peer in [owner, ROOT] {
            assert_ne!(file.identity().authorize(Some(peer)), Err(Denied::NotOwner));
        }
        drop(file);
        fs::remove_dir(folder).unwrap();
    }

    #[test]
    fn what_was_put_there_since_it_was_looked_at_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        drop(UnixListener::bind(&path).unwrap());
        let seen = symlink_metadata(&path).unwrap();
        // Made while the other is there, so that it has a number of its own.
        let newer = folder.path().join("newer");
        let _listener = UnixListener::bind(&newer).unwrap();
        fs::rename(&newer, &path).unwrap();
        remove_seen(&path, &seen).unwrap();
        assert!(path.exists());

        // One that got the number of the other differs by its time.
        let seen = symlink_metadata(&path).unwrap();
        let time = |file: &Metadata| (file.ctime(), file.ctime_nsec());
        while time(&symlink_metadata(&path).unwrap()) == time(&seen) {
            fs::set_permissions(&path, seen.permissions()).unwrap();
        }
        remove_seen(&path, &seen).unwrap();
        assert!(path.exists());

        let seen = symlink_metadata(&path).unwrap();
        remove_seen(&path, &seen).unwrap();
        assert!(!path.exists());
        // Nor does it matter who did so.
        remove_seen(&path, &seen).unwrap();
    }
}
