use super::error::{AttributeError, NameError};
use crate::state::text;

/// What the crate itself answers for, so that nothing else can be called so.
const RESERVED: [&str; 5] = ["readiness", "liveness", "startup", "runtime", "traffic"];

const MAX_BYTES: usize = 128;

/// Names of subsystems and scopes stand in paths, queries and lines of text. They
/// hold unreserved characters (RFC 3986, section 2.3), which need no escaping
/// anywhere, and what an address with a port needs beside them: `10.0.0.1:8080`,
/// `[::1]:8080`. A client may percent-encode the latter, so probes decode them.
pub(crate) fn check(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > MAX_BYTES {
        return Err(NameError::TooLong { bytes: name.len() });
    }
    let allowed =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':' | '[' | ']');
    if let Some(character) = name.chars().find(|c| !allowed(*c)) {
        return Err(NameError::Character { character });
    }
    if RESERVED.contains(&name) {
        return Err(NameError::Reserved);
    }
    Ok(())
}

/// Keys of attributes are like names, but nobody else's.
pub(crate) fn check_key(key: &str) -> Result<(), AttributeError> {
    match check(key) {
        Ok(()) | Err(NameError::Reserved) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// How many names an error lists.
const LISTED: usize = 8;

/// The names that there are, as an error lists them: `"storage", "policy", 3
/// more`.
pub(crate) fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
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

/// A bad name as an error shows it: it may be of any length.
pub(crate) fn shown(name: &str) -> String {
    text::cut(name, MAX_BYTES).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_need_no_escaping_are_taken() {
        for name in ["a", "Policy.v2_east-1", &"x".repeat(128)] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn an_address_is_a_name() {
        for name in ["10.0.0.1:8080", "[::1]:8080", "db.internal:5432"] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn a_list_of_names_is_bounded() {
        assert_eq!(listed(std::iter::empty()), "none");
        assert_eq!(listed(["a", "b"].into_iter()), r#""a", "b""#);
        let many: Vec<_> = (0..5_000).map(|number| number.to_string()).collect();
        let list = listed(many.iter().map(String::as_str));
        assert_eq!(list, r#""0", "1", "2", "3", "4", "5", "6", "7", 4992 more"#);
    }

    #[test]
    fn names_that_would_not_fit_are_refused_with_the_cause() {
        assert_eq!(check(""), Err(NameError::Empty));
        assert_eq!(
            check(&"x".repeat(129)),
            Err(NameError::TooLong { bytes: 129 })
        );
        for (name, character) in [
            ("a/b", '/'),
            ("a?b", '?'),
            ("a b", ' '),
            ("a\n", '\n'),
            ("a\0", '\0'),
            ("a%3A", '%'),
            ("a&b", '&'),
            ("a=b", '='),
            ("a,b", ','),
            ("a\"b", '"'),
            ("naïve", 'ï'),
        ] {
            assert_eq!(check(name), Err(NameError::Character { character }));
        }
        for name in RESERVED {
            assert_eq!(check(name), Err(NameError::Reserved));
        }
    }
}
