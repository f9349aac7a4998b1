use super::{status::ProcessStatus, stream::StreamUpdate};
use std::io::{self, Write, stdout};

/// Shows a process to a person or a script.
pub(super) trait View {
    /// Shows an update before it becomes part of the status.
    fn announce(&mut self, update: &StreamUpdate) -> io::Result<()>;

    /// Shows the status, after an update or after a second.
    fn show(&mut self, status: &ProcessStatus) -> io::Result<()>;
}

/// Writes to standard output, at once.
pub(super) fn print(text: &str) -> io::Result<()> {
    let mut stdout = stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}
