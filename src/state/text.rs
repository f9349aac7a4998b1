use std::fmt::{self, Write as _};

/// How many bytes of a reason or of an attribute's value are kept.
pub(crate) const MAX_BYTES: usize = 1024;

/// How many bytes a name may have.
pub(crate) const MAX_NAME_BYTES: usize = 128;

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

/// How many names an error lists.
const LISTED: usize = 8;

/// Lists names for an error: `"storage", "policy", 3 more`.
pub(crate) fn listed_names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let (mut list, mut unnamed) = (Vec::new(), 0_usize);
    for name in names {
        if list.len() < LISTED {
            list.push(format!("{name:?}"));
        } else {
            unnamed += 1;
        }
    }
    if list.is_empty() {
        return "none".to_owned();
    }
    if unnamed > 0 {
        list.push(format!("{unnamed} more"));
    }
    list.join(", ")
}

/// Cuts an invalid name, which may have any length, for an error.
pub(crate) fn shown_name(name: &str) -> String {
    cut(name, MAX_NAME_BYTES).to_owned()
}

/// Shows a number with a comma before each three digits: `1,000,050`.
pub(crate) struct Thousands(pub(crate) u64);

impl fmt::Display for Thousands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            few @ 0..1_000 => write!(f, "{few}"),
            more => write!(f, "{},{:03}", Thousands(more / 1_000), more % 1_000),
        }
    }
}

/// Shows a text in one line: line breaks and control characters become blanks.
pub(crate) struct OneLine<'a>(pub(crate) &'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let harmless = |c: char| match c {
            // Unicode's own line and paragraph separators.
            '\u{2028}' | '\u{2029}' => ' ',
            c if c.is_control() || is_invisible_control(c) => ' ',
            c => c,
        };
        self.0
            .chars()
            .map(harmless)
            .try_for_each(|c| f.write_char(c))
    }
}

/// Whether a character is invisible and changes how other characters are shown:
/// the twelve with Unicode's property `Bidi_Control`, which change the
/// direction of writing; the deprecated format characters (Unicode 16, section
/// 23.3); the characters of interlinear annotation and of tags, in which text
/// can be hidden.
fn is_invisible_control(c: char) -> bool {
    matches!(c,
        '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        | '\u{206a}'..='\u{206f}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}')
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
    fn numbers_are_grouped() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (4_870, "4,870"),
            (1_000_050, "1,000,050"),
        ] {
            assert_eq!(Thousands(number).to_string(), text);
        }
    }

    #[test]
    fn a_list_of_names_is_bounded() {
        assert_eq!(listed_names(std::iter::empty()), "none");
        assert_eq!(listed_names(["a", "b"].into_iter()), r#""a", "b""#);
        let many: Vec<_> = (0..5_000).map(|number| number.to_string()).collect();
        let list = listed_names(many.iter().map(String::as_str));
        assert_eq!(list, r#""0", "1", "2", "3", "4", "5", "6", "7", 4992 more"#);
    }

    #[test]
    fn line_breaks_and_control_characters_become_blanks() {
        let nasty = "a\nb\r\nc\td\0e\u{1b}[31mf\u{85}g\u{2028}h\u{202e}i";
        assert_eq!(OneLine(nasty).to_string(), "a b  c d e [31mf g h i");
        assert_eq!(OneLine("naïve – ✓").to_string(), "naïve – ✓");
    }

    #[test]
    fn invisible_characters_that_change_others_become_blanks() {
        let bidi = "\u{61c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\
                    \u{2066}\u{2067}\u{2068}\u{2069}";
        assert_eq!(OneLine(bidi).to_string(), " ".repeat(12));
        let others = "\u{206a}\u{206f}\u{fff9}\u{fffb}\u{e0001}\u{e0020}\u{e007f}";
        assert_eq!(OneLine(others).to_string(), " ".repeat(7));
        // Joiners belong to words of Persian and Hindi, and to emoji.
        let words = "שלום مرحبا می\u{200c}خواهم क्\u{200d}ष 👩\u{200d}🔬";
        assert_eq!(OneLine(words).to_string(), words);
    }
}
