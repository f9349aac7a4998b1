use std::{
    fs::OpenOptions,
    io::{self, Error},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

/// Replaces the contents of an existing regular file, in place.
pub(super) fn rewrite(path: &Path, text: &str) -> io::Result<()> {
    let file = OpenOptions::new()
        .write(true)
        // Without O_NONBLOCK, opening a pipe that no process reads would block.
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(Error::other("it is not a regular file"));
    }
    file.write_all_at(text.as_bytes(), 0)?;
    // A length in bytes of a text in memory fits.
    file.set_len(text.len() as u64)
}
