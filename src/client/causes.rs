use super::report::clean;
use crate::state::text;
use std::error::Error;

/// The most bytes of an error. Escaping for JSON may double them, and Docker keeps 4,096
/// bytes of a health check's output.
const MAX_TEXT: usize = 1024;

/// Renders an error and its causes in one line.
pub(super) fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = text + ": " + &error.to_string();
        cause = error.source();
    }
    // Paths and answers of peers are untrusted.
    clean(text::cut(&text, MAX_TEXT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn a_long_error_is_cut_to_a_kibibyte() {
        let error = io::Error::other("x".repeat(100_000));
        let text = causes(&error);
        assert!((1_000..=1_024).contains(&text.len()), "{}", text.len());
    }
}
