use crate::state::text::OneLine;
use std::{fmt, process::ExitCode};

/// What a process says of itself.
///
/// Whatever it holds is safe to show in a terminal: control characters, and
/// those that change the direction of writing, are blanks. Shows as its
/// [line](Self::line).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    is_ok: bool,
    line: String,
    details: String,
    json: Option<String>,
    is_cut: bool,
}

impl Report {
    pub(super) fn text(is_ok: bool, line: String, details: String) -> Self {
        Self {
            is_ok,
            line,
            details,
            json: None,
            is_cut: false,
        }
    }

    pub(super) fn json_of(is_ok: bool, line: String, json: String, is_cut: bool) -> Self {
        Self {
            is_ok,
            line,
            details: String::new(),
            json: Some(json),
            is_cut,
        }
    }

    /// This one, on what came `before` it too.
    pub(super) fn after(mut self, before: &Self) -> Self {
        if self.is_ok {
            self.line = format!("{}, {}", before.line, self.line);
        }
        self
    }

    /// Whether the answer is yes.
    pub fn is_ok(&self) -> bool {
        self.is_ok
    }

    /// The answer in one line, without its end: which subsystem and why, as far
    /// as the process tells. Of one that was asked for
    /// [JSON](super::HealthCheck::json), the verdict alone.
    pub fn line(&self) -> &str {
        &self.line
    }

    /// A line for each subsystem, if it was asked for
    /// [them](super::HealthCheck::verbose) and the process tells; otherwise nothing.
    pub fn details(&self) -> &str {
        &self.details
    }

    /// The answer as one JSON object on one line, if it was asked for
    /// [that](super::HealthCheck::json) and is of a sensible length (1 MiB).
    pub fn json(&self) -> Option<&str> {
        self.json.as_deref().filter(|_| !self.is_cut)
    }

    /// How a health check command ends: 0 if the answer is yes, 1 if not.
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

/// What a peer says, fit for a terminal.
pub(super) fn clean(text: &str) -> String {
    OneLine(text).to_string()
}
