use crate::state::text::OneLine;
use std::{fmt, process::ExitCode};

/// The answer of a process to a health check.
///
/// Its text is safe to print in a terminal: control characters, and characters
/// that change the direction of writing, are replaced by blanks. `Display` writes
/// the [line](Self::line).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    is_ok: bool,
    line: String,
    details: String,
    json: Option<String>,
    is_cut: bool,
}

impl Report {
    pub(super) fn from_text(is_ok: bool, line: String, details: String) -> Self {
        Self {
            is_ok,
            line,
            details,
            json: None,
            is_cut: false,
        }
    }

    pub(super) fn from_json(is_ok: bool, line: String, json: String, is_cut: bool) -> Self {
        Self {
            is_ok,
            line,
            details: String::new(),
            json: Some(json),
            is_cut,
        }
    }

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
        self.json.as_deref().filter(|_| !self.is_cut)
    }

    /// Returns the exit code of a health check command: 0 for yes, 1 for no.
    pub fn exit_code(&self) -> ExitCode {
        if self.is_ok {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
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
