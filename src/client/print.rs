use super::{
    causes::causes,
    health_check::{HealthCheck, OutputFormat},
    report::{Report, clean},
};
use crate::state::text;
use serde_json::json;
use std::{
    error::Error,
    fmt::Display,
    io::{Write, stdout},
    process::ExitCode,
};

/// The number of bytes of a health check's output that Docker keeps.
const MAX_OUTPUT: usize = 4096;

impl HealthCheck {
    /// Runs the check and prints the answer to standard output, for a health
    /// check command: one line, or more if [`verbose`](Self::verbose), of 4,096
    /// bytes in all at most (Docker keeps no more). Longer JSON becomes a small
    /// object with `ok`, `status` and `"cut": true`, an error becomes one with `ok`
    /// and `error`.
    ///
    /// The exit code is 0 if the answer is yes, and 1 if it is no or the check
    /// fails.
    pub fn print(&self) -> ExitCode {
        let (code, text) = match self.run() {
            Ok(report) => (report.exit_code(), self.render(&report)),
            Err(error) => (ExitCode::FAILURE, self.render_error(&error)),
        };
        write(text);
        code
    }

    pub(super) fn render(&self, report: &Report) -> String {
        match (self.format, report.json()) {
            (OutputFormat::Json, Some(json)) if json.len() < MAX_OUTPUT => json.to_owned(),
            (OutputFormat::Json, _) => {
                json!({"ok": report.is_ok(), "status": report.line(), "cut": true}).to_string()
            }
            (OutputFormat::Verbose, _) => format!("{report}\n{}", report.details()),
            (OutputFormat::Line, _) => report.to_string(),
        }
    }

    pub(super) fn render_error(&self, error: &dyn Error) -> String {
        let text = causes(error);
        match self.format {
            OutputFormat::Json => json!({"ok": false, "error": text}).to_string(),
            OutputFormat::Line | OutputFormat::Verbose => text,
        }
    }
}

/// Prints the outcome of a command to standard output, in one line of at most
/// 4,096 bytes: the answer of the process, or the error and its causes. Control
/// characters become blanks. The exit code is 0, or 1 for an error.
pub fn print<E: Error>(outcome: Result<impl Display, E>) -> ExitCode {
    let (code, text) = match outcome {
        Ok(answer) => (ExitCode::SUCCESS, clean(&answer.to_string())),
        Err(error) => (ExitCode::FAILURE, causes(&error)),
    };
    write(text);
    code
}

fn write(text: String) {
    // An error means that the reader has closed the output.
    let _ = stdout().write_all(bounded(text).as_bytes());
}

/// Ends `text` with a newline, and cuts it to [`MAX_OUTPUT`] bytes.
pub(super) fn bounded(mut text: String) -> String {
    const CUT: &str = "…";
    text.truncate(text.trim_end().len());
    if text.len() >= MAX_OUTPUT {
        text.truncate(text::cut(&text, MAX_OUTPUT - CUT.len() - 1).len());
        text += CUT;
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_bounded_and_ends_with_a_newline() {
        assert_eq!(bounded(String::new()), "\n");
        assert_eq!(bounded("ready\n\n".into()), "ready\n");
        let most = "x".repeat(MAX_OUTPUT - 1);
        assert_eq!(bounded(most.clone()), most.clone() + "\n");
        for long in [most + "x", "é".repeat(MAX_OUTPUT), "日".repeat(MAX_OUTPUT)] {
            let printed = bounded(long);
            assert!(printed.len() <= MAX_OUTPUT, "{}", printed.len());
            assert!(printed.len() > MAX_OUTPUT - 4, "{}", printed.len());
            assert!(printed.ends_with("…\n"));
        }
    }
}
