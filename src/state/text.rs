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
}
