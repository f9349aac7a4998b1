//! A folder for a unix socket.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary includes this module and uses a part of it"
)]

use std::{
    fs,
    io::ErrorKind,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
};

static FOLDERS: AtomicUsize = AtomicUsize::new(0);

/// A new folder, which is removed on drop.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        loop {
            let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
            let name = format!("readiness-{}-{number}", std::process::id());
            let path = std::env::temp_dir().join(name);
            match fs::create_dir(&path) {
                Ok(()) => return Self(path),
                // A killed process with the same id left it behind.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => panic!("{}: {error}", path.display()),
            }
        }
    }

    pub fn socket(&self) -> PathBuf {
        self.0.join("admin.sock")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
