use crate::state::text::OneLine;
use std::{fmt, process::ExitCode};

/// The answer of a process to a health check.
///
/// Its text is safe to print in a terminal: control characters, and characters
/// that change the direction of writing, are replaced by blanks. `Display` writes
/// the [line](Self::line).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub(super) is_ok: bool,
    pub(super) line: String,
    pub(super) details: String,
    pub(super) json: Option<String>,
}

impl Report {
    /// Prepends the line of the report `before`, if this report is green.
    pub(super) fn with_line_of(mut self, before: &Self) -> Self {
        if self.is_ok {
            self.line = format!("{}, {}", before.line, self.line);
        }
        self
    }

    /// Returns whether the answer is yes.
    pub fn is_ok(&self) -> bool {
        self.is_ok
    }

    /// Returns the answer in one line, without a line end: the verdict, with
    /// subsystems and reasons if the process gives them. For a check with
    /// [JSON](super::HealthCheck::json) it is the verdict alone.
    pub fn line(&self) -> &str {
        &self.line
    }

    /// Returns a line for each subsystem, if the check is
    /// [verbose](super::HealthCheck::verbose) and the process gives details;
    /// otherwise an empty string.
    pub fn details(&self) -> &str {
        &self.details
    }

    /// Returns the answer as one JSON object on one line, if the check requested
    /// [JSON](super::HealthCheck::json) and the answer has at most 1 MiB.
    pub fn json(&self) -> Option<&str> {
        self.json.as_deref()
    }

    /// Returns the exit code of a health check command: 0 for yes, 1 for no.
    pub fn exit_code(&self) -> ExitCode {
        u8::from(!self.is_ok).into()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

/// Makes the text of a peer safe to print in a terminal.
pub(super) fn clean(text: &str) -> String {
    OneLine(text).to_string()
}
