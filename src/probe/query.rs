use crate::state::text::cut;
use std::{borrow::Cow, time::Duration};
use thiserror::Error;

/// The maximum of `?wait`.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// The maximum number of `?exclude` parameters. Each is compared with the name of
/// every subsystem.
const MAX_EXCLUDED: usize = 64;

/// How many bytes of an invalid value the answer repeats.
const MAX_SHOWN: usize = 128;

/// The parsed query of a probe. Unknown parameters are ignored.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) verbose: bool,
    /// The value of `verbose`, if it is not a boolean.
    pub(super) unclear_verbose: Option<String>,
    /// Zero without `?wait`.
    pub(super) wait: Duration,
    /// Whether the wait is over once the probe is red, and not once it is green.
    pub(super) until_red: bool,
    pub(super) exclude: Vec<String>,
}

#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum QueryError {
    #[error("wait takes whole seconds, 0 to {}", MAX_WAIT.as_secs())]
    Wait,
    #[error("until takes red or green")]
    Until,
    #[error("until=red is for the other probes: the status is always green")]
    UntilRedOfStatus,
    #[error("exclude takes the name of a subsystem")]
    Exclude,
    #[error("exclude may be given {MAX_EXCLUDED} times at most")]
    ManyExcludes,
    #[error("exclude is for the process and for scopes")]
    ExcludeOnSubsystem,
}

impl Query {
    pub(super) fn parse(query: &str) -> Result<Self, QueryError> {
        let mut parsed = Self::default();
        for parameter in query.split('&') {
            let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match key {
                // Not an error: the status of the probe matters more than the
                // form of its body.
                "verbose" => match parse_bool(value) {
                    Some(verbose) => parsed.verbose = verbose,
                    None => parsed.unclear_verbose = Some(cut(value, MAX_SHOWN).to_owned()),
                },
                "wait" => parsed.wait = parse_seconds(value).ok_or(QueryError::Wait)?,
                "until" => parsed.until_red = parse_until(value).ok_or(QueryError::Until)?,
                "exclude" if value.is_empty() => return Err(QueryError::Exclude),
                "exclude" if parsed.exclude.len() == MAX_EXCLUDED => {
                    return Err(QueryError::ManyExcludes);
                }
                "exclude" => parsed.exclude.push(decode_name(value).into_owned()),
                _ => {}
            }
        }
        Ok(parsed)
    }
}

/// Decodes a name from a path or a query.
///
/// Of the characters of a name a client may encode `:`, `[` and `]`, which are
/// reserved there (RFC 3986, section 2.2). A client should not encode the others
/// (section 2.3), so they are not decoded.
pub(super) fn decode_name(name: &str) -> Cow<'_, str> {
    const ENCODED: [(&str, &str); 6] = [
        ("%3A", ":"),
        ("%3a", ":"),
        ("%5B", "["),
        ("%5b", "["),
        ("%5D", "]"),
        ("%5d", "]"),
    ];
    if !name.contains('%') {
        return Cow::Borrowed(name);
    }
    let decode = |name: String, (encoded, plain): (&str, &str)| name.replace(encoded, plain);
    Cow::Owned(ENCODED.into_iter().fold(name.to_owned(), decode))
}

/// Parses a boolean. A parameter without a value is true.
fn parse_bool(value: &str) -> Option<bool> {
    let is = |word: &&str| value.eq_ignore_ascii_case(word);
    if ["", "1", "true", "yes", "on"].iter().any(is) {
        Some(true)
    } else if ["0", "false", "no", "off"].iter().any(is) {
        Some(false)
    } else {
        None
    }
}

/// Parses a colour, and returns whether it is red.
fn parse_until(value: &str) -> Option<bool> {
    match value {
        "red" => Some(true),
        "green" => Some(false),
        _ => None,
    }
}

fn parse_seconds(value: &str) -> Option<Duration> {
    // `parse` alone accepts a sign.
    if !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let wait = Duration::from_secs(value.parse().ok()?);
    (wait <= MAX_WAIT).then_some(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_is_parsed() {
        let query = Query::parse("verbose&exclude=a&foo=bar&wait=5&until=red&exclude=b&&").unwrap();
        assert_eq!(
            query,
            Query {
                verbose: true,
                unclear_verbose: None,
                wait: Duration::from_secs(5),
                until_red: true,
                exclude: vec!["a".into(), "b".into()],
            }
        );
        assert_eq!(Query::parse(""), Ok(Query::default()));
    }

    #[test]
    fn a_client_may_encode_the_reserved_characters_of_a_name() {
        for (name, plain) in [
            ("10.0.0.1:80", "10.0.0.1:80"),
            ("10.0.0.1%3A80", "10.0.0.1:80"),
            ("%5B%3a%3A1%5d:80", "[::1]:80"),
            ("%5b::1%5D:80", "[::1]:80"),
            // Encoded twice, encoded needlessly, or cut off.
            ("a%253Ab", "a%253Ab"),
            ("%73torage", "%73torage"),
            ("a%2Fb", "a%2Fb"),
            ("a%", "a%"),
            ("a%5", "a%5"),
        ] {
            assert_eq!(decode_name(name), plain);
            let query = Query::parse(&format!("exclude={name}")).unwrap();
            assert_eq!(query.exclude, [plain], "{name}");
        }
    }

    #[test]
    fn verbose_is_a_boolean_or_reported() {
        for yes in ["", "=", "=1", "=true", "=True", "=yes", "=on"] {
            let query = Query::parse(&format!("verbose{yes}")).unwrap();
            assert!(query.verbose && query.unclear_verbose.is_none(), "{yes}");
        }
        for no in ["=0", "=false", "=FALSE", "=no", "=off"] {
            let query = Query::parse(&format!("verbose{no}")).unwrap();
            assert!(!query.verbose && query.unclear_verbose.is_none(), "{no}");
        }
        let query = Query::parse("verbose=2").unwrap();
        assert!(!query.verbose);
        assert_eq!(query.unclear_verbose.as_deref(), Some("2"));
        let long = Query::parse(&format!("verbose={}", "x".repeat(1 << 12))).unwrap();
        assert_eq!(long.unclear_verbose.unwrap().len(), MAX_SHOWN);
        // The last one counts, as it does for `wait`.
        assert!(!Query::parse("verbose&verbose=false").unwrap().verbose);
    }

    #[test]
    fn a_wait_that_is_not_a_bounded_number_is_an_error() {
        for bad in [
            "wait",
            "wait=",
            "wait=abc",
            "wait=1e9",
            "wait=-1",
            "wait=+1",
            "wait=61",
            "wait=1.5",
            "wait=99999999999999999999999",
        ] {
            assert_eq!(Query::parse(bad), Err(QueryError::Wait), "{bad}");
        }
        assert_eq!(
            QueryError::Wait.to_string(),
            "wait takes whole seconds, 0 to 60"
        );
    }

    #[test]
    fn until_takes_a_colour() {
        assert!(!Query::parse("until=red&until=green").unwrap().until_red);
        for bad in ["until", "until=", "until=Red", "until=blue"] {
            assert_eq!(Query::parse(bad), Err(QueryError::Until), "{bad}");
        }
    }

    #[test]
    fn excludes_are_bounded() {
        let query = |count| vec!["exclude=a"; count].join("&");
        assert!(Query::parse(&query(64)).is_ok());
        assert_eq!(Query::parse(&query(65)), Err(QueryError::ManyExcludes));
    }

    #[test]
    fn an_exclude_without_a_name_is_an_error() {
        for bad in ["exclude", "exclude="] {
            assert_eq!(Query::parse(bad), Err(QueryError::Exclude), "{bad}");
        }
    }
}
