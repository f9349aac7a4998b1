use std::fmt::{self, Write as _};

/// How many bytes are kept of a reason or an attribute's value.
pub(crate) const MAX_BYTES: usize = 1024;

/// Cuts `text` to `max` bytes, or to the last character boundary before.
pub(crate) fn cut(text: &str, max: usize) -> &str {
    if text.len() <= max {
        return text;
    }
    let mut end = max;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Shows a text in one line: what a terminal or a log would break or obey
/// becomes a blank.
pub(crate) struct OneLine<'a>(pub(crate) &'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let harmless = |c: char| match c {
            // Unicode's own line and paragraph separators, and what changes
            // the direction of writing.
            '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => ' ',
            c if c.is_control() => ' ',
            c => c,
        };
        self.0
            .chars()
            .map(harmless)
            .try_for_each(|c| f.write_char(c))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_text_is_kept_whole() {
        assert_eq!(cut("", 8), "");
        let exactly = "x".repeat(MAX_BYTES);
        assert_eq!(cut(&exactly, MAX_BYTES), exactly);
    }

    #[test]
    fn a_long_text_is_cut_at_a_character_boundary() {
        let long = "x".repeat(MAX_BYTES - 1) + "é" + &"y".repeat(1 << 20);
        assert_eq!(cut(&long, MAX_BYTES), "x".repeat(MAX_BYTES - 1));
    }

    #[test]
    fn whatever_breaks_a_line_becomes_a_blank() {
        let nasty = "a\nb\r\nc\td\0e\u{1b}[31mf\u{85}g\u{2028}h\u{202e}i";
        assert_eq!(OneLine(nasty).to_string(), "a b  c d e [31mf g h i");
        assert_eq!(OneLine("naïve – ✓").to_string(), "naïve – ✓");
    }
}
