use super::{status::Status, stream::Update};
use std::io::{self, Write, stdout};

/// Shows what the updates say.
pub(super) trait View {
    /// Shows an update of the status.
    fn update(&mut self, update: &Update, status: &Status) -> io::Result<()>;

    /// Shows that time has passed.
    fn time(&mut self, status: &Status) -> io::Result<()>;
}

/// Writes to standard output, at once.
pub(super) fn print(text: &str) -> io::Result<()> {
    let mut stdout = stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}
