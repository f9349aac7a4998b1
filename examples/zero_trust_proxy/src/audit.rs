//! The audit log: which user has requested which path, in a file.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{fs::OpenOptions, io::AsyncWriteExt, sync::mpsc, time::timeout};
use tower_readiness::Reporter;

pub(crate) struct Audit {
    folder: PathBuf,
    lines: mpsc::Sender<String>,
}

impl Audit {
    pub(crate) fn start(parent: &Path, reporter: Reporter) -> io::Result<Arc<Self>> {
        let folder = parent.join("audit");
        fs::create_dir(&folder)?;
        let (lines, written) = mpsc::channel(1_024);
        tokio::spawn(write(folder.join("log"), written, reporter));
        Ok(Arc::new(Self { folder, lines }))
    }

    /// Queues a line. A full queue drops the line, because no request waits for an optional
    /// subsystem.
    pub(crate) fn note(&self, user: &str, path: &str) {
        let _ = self.lines.try_send(format!("{user} {path:?}\n"));
    }

    // === faults ===

    /// Moves the folder away.
    pub(crate) fn lose(&self) -> io::Result<()> {
        fs::rename(&self.folder, self.elsewhere())
    }

    /// Moves it back.
    pub(crate) fn restore(&self) -> io::Result<()> {
        fs::rename(self.elsewhere(), &self.folder)
    }

    fn elsewhere(&self) -> PathBuf {
        self.folder.with_extension("elsewhere")
    }
}

/// Writes lines until every sender is dropped.
async fn write(path: PathBuf, mut lines: mpsc::Receiver<String>, reporter: Reporter) {
    loop {
        // Without a line it tries to write anyway, so that a failure shows before a
        // request for a secret.
        let line = match timeout(Duration::from_secs(1), lines.recv()).await {
            Ok(Some(line)) => line,
            Ok(None) => return,
            Err(_) => String::new(),
        };
        match append(&path, &line).await {
            Ok(()) => reporter.ready(),
            Err(error) => reporter.failing(format!("{}: {error}", path.display())),
        }
    }
}

async fn append(path: &Path, line: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.append(true).create(true).open(path).await?;
    file.write_all(line.as_bytes()).await?;
    file.flush().await
}
