//! A directory that is gone when it is dropped.

use std::{env, fs, io, path::PathBuf, process};

#[derive(Debug)]
pub(crate) struct Directory {
    pub(crate) path: PathBuf,
}

impl Directory {
    pub(crate) fn new() -> io::Result<Self> {
        let name = format!("rollout-{}-{:08x}", process::id(), fastrand::u32(..));
        let path = env::temp_dir().join(name);
        fs::create_dir(&path)?;
        Ok(Self { path })
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // A drop cannot return the error.
        let _ = fs::remove_dir_all(&self.path);
    }
}
