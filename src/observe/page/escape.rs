use crate::state::text::OneLine;
use std::fmt::{self, Write};

/// Shows a text of an application in HTML, as the content of an element or as the value of
/// an attribute in double quotes: in one line, and without markup.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaper(f), "{}", OneLine(self.0))
    }
}

/// Replaces the characters that are markup in HTML.
struct Escaper<'a, 'f>(&'a mut fmt::Formatter<'f>);

impl Write for Escaper<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|c| match c {
            '&' => self.0.write_str("&amp;"),
            '<' => self.0.write_str("&lt;"),
            '>' => self.0.write_str("&gt;"),
            '"' => self.0.write_str("&quot;"),
            '\'' => self.0.write_str("&#39;"),
            c => self.0.write_char(c),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_and_control_characters_are_replaced() {
        for (text, expected) in [
            ("", ""),
            ("naïve – ✓", "naïve – ✓"),
            (
                "<script>alert('&')</script>",
                "&lt;script&gt;alert(&#39;&amp;&#39;)&lt;/script&gt;",
            ),
            ("\"onload=\"x", "&quot;onload=&quot;x"),
            ("a\nb\u{202e}c\0", "a b c "),
            ("&amp;", "&amp;amp;"),
        ] {
            assert_eq!(Escaped(text).to_string(), expected);
        }
    }
}
