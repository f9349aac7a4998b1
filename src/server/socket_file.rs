use std::{
    fs::{Metadata, metadata, remove_file, symlink_metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf, absolute},
};

pub(super) const ROOT: u32 = 0;

/// Write permission of group or others.
const OTHERS_WRITE: u32 = 0o022;
/// The sticky bit: in such a folder, only the owner of a file, the owner of the
/// folder and root can remove or rename the file.
const STICKY: u32 = 0o1000;

/// Removes the file at `path` if it still is the file that was `seen` there.
/// Another process may have replaced it since.
pub(super) fn remove_seen(path: &Path, seen: &Metadata) -> io::Result<()> {
    // The file system reuses the number of a freed inode, so the time of the last
    // change is compared too.
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

/// The path, inode and owner of a socket file when it was created.
#[derive(Clone, Debug)]
pub(super) struct FileIdentity {
    /// Absolute, because the process may change its working directory.
    path: PathBuf,
    device: u64,
    inode: u64,
    /// The user that created the file.
    pub(super) owner: u32,
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

    /// Reads the current mode of the file. `NotFound` if the path has another file.
    pub(super) fn mode(&self) -> io::Result<u32> {
        let file = symlink_metadata(&self.path)?;
        if (file.dev(), file.ino()) == (self.device, self.inode) {
            Ok(file.mode() & 0o7777)
        } else {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    /// Whether a user other than the owner and root can replace the file.
    pub(super) fn folder_is_shared(&self) -> io::Result<bool> {
        let folder = self.path.parent().ok_or(io::ErrorKind::NotFound)?;
        let folder = metadata(folder)?;
        let others_may = folder.mode() & OTHERS_WRITE != 0 && folder.mode() & STICKY == 0;
        Ok(others_may || ![self.owner, ROOT].contains(&folder.uid()))
    }
}

/// Removes a socket file on drop, unless another file has replaced it.
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
            // If this fails, the next process finds a stale file and removes it.
            let _ = remove_file(&self.0.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::net::UnixListener};

    #[test]
    fn a_file_that_replaced_the_seen_one_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        drop(UnixListener::bind(&path).unwrap());
        let seen = symlink_metadata(&path).unwrap();
        // Created while the other exists, so that its inode number differs.
        let newer = folder.path().join("newer");
        let _listener = UnixListener::bind(&newer).unwrap();
        fs::rename(&newer, &path).unwrap();
        remove_seen(&path, &seen).unwrap();
        assert!(path.exists());

        // A file with the same inode number differs by its time of change.
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
        // A file that is already removed is not an error.
        remove_seen(&path, &seen).unwrap();
    }
}
