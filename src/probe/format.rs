use http::{HeaderMap, header::ACCEPT};

/// The format of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Text,
    Json,
    /// The page of an admin listener.
    #[cfg(feature = "page")]
    Html,
}

impl Format {
    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; charset=utf-8",
            Self::Json => "application/json",
            #[cfg(feature = "page")]
            Self::Html => "text/html; charset=utf-8",
        }
    }

    /// Chooses JSON for a client that prefers it to text, text for any other client.
    pub(super) fn accepted(headers: &HeaderMap) -> Self {
        if prefers(headers, "application/json") {
            Self::Json
        } else {
            Self::Text
        }
    }

    /// Chooses HTML for a client that names it and prefers it, as browsers do;
    /// otherwise as [`accepted`](Self::accepted).
    #[cfg(feature = "page")]
    pub(super) fn accepted_or_html(headers: &HeaderMap) -> Self {
        let html = Preference::of(headers, "", "text/html");
        let json = Preference::of(headers, "application/*", "application/json");
        let text = Preference::of(headers, "text/*", "text/plain");
        // Of equal ones the more specific counts: curl sends `*/*`, and gets text.
        let others = json.quality.max(text.quality);
        if html.specificity == 3 && html.quality > 0.0 && html.quality >= others {
            Self::Html
        } else {
            Self::accepted(headers)
        }
    }
}

/// Whether a client prefers this type of the group `application` to plain text (RFC
/// 9110, section 12.5.1: the most specific range counts).
pub(crate) fn prefers(headers: &HeaderMap, exact: &str) -> bool {
    let preferred = Preference::of(headers, "application/*", exact);
    let text = Preference::of(headers, "text/*", "text/plain");
    preferred.quality > text.quality
}

#[derive(Default)]
struct Preference {
    /// 3 for the exact type, 2 for its group, 1 for `*/*`, 0 for no match.
    specificity: u8,
    quality: f32,
}

impl Preference {
    fn of(headers: &HeaderMap, group: &str, exact: &str) -> Self {
        let mut preference = Self::default();
        for value in headers.get_all(ACCEPT) {
            for range in value.to_str().unwrap_or_default().split(',') {
                preference.consider(range, group, exact);
            }
        }
        preference
    }

    fn consider(&mut self, range: &str, group: &str, exact: &str) {
        let mut parts = range.split(';').map(str::trim);
        let specificity = match parts.next() {
            Some(media) if media.eq_ignore_ascii_case(exact) => 3,
            Some(media) if media.eq_ignore_ascii_case(group) => 2,
            Some("*/*") => 1,
            _ => 0,
        };
        if specificity > self.specificity {
            let quality = parts
                .find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")))
                .map_or(Ok(1.0), str::parse);
            *self = Self {
                specificity,
                quality: quality.unwrap_or(0.0),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(accept: &str) -> Format {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, accept.parse().unwrap());
        Format::accepted(&headers)
    }

    #[test]
    fn text_is_the_default() {
        assert_eq!(Format::accepted(&HeaderMap::new()), Format::Text);
        for accept in [
            "*/*",
            "text/plain",
            "text/*",
            "image/png",
            "",
            "garbage;;;,,",
        ] {
            assert_eq!(accepted(accept), Format::Text, "{accept}");
        }
    }

    #[test]
    fn json_is_chosen_when_the_client_prefers_it() {
        for accept in [
            "application/json",
            "APPLICATION/JSON",
            "application/*",
            "application/json, text/plain;q=0.9, */*;q=0.1",
            "text/plain;q=0.5, application/json",
            "text/html, application/json;q=0.9",
        ] {
            assert_eq!(accepted(accept), Format::Json, "{accept}");
        }
    }

    #[cfg(feature = "page")]
    #[test]
    fn html_is_chosen_by_browsers_alone() {
        let accepted = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, accept.parse().unwrap());
            Format::accepted_or_html(&headers)
        };
        for accept in [
            // Chromium, and Firefox.
            "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "text/html",
            "application/json;q=0.5, text/html",
        ] {
            assert_eq!(accepted(accept), Format::Html, "{accept}");
        }
        for accept in ["*/*", "text/*", "", "text/plain", "text/html;q=0"] {
            assert_eq!(accepted(accept), Format::Text, "{accept}");
        }
        for accept in ["application/json", "text/html;q=0.5, application/json"] {
            assert_eq!(accepted(accept), Format::Json, "{accept}");
        }
        assert_eq!(Format::accepted_or_html(&HeaderMap::new()), Format::Text);
    }

    #[test]
    fn quality_and_specificity_count() {
        for accept in [
            "application/json;q=0",
            "application/json;q=0.5, text/plain",
            "application/json;q=nonsense",
            "application/json, text/plain",
            "*/*, application/json;q=0.5",
        ] {
            assert_eq!(accepted(accept), Format::Text, "{accept}");
        }
    }
}
