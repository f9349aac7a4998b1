use super::error::{AttributeError, DeclareError, NameError};
use crate::state::text::{MAX_NAME_BYTES, shown_name};

/// Names that the crate uses itself, so no subsystem or scope can have them.
const RESERVED: [&str; 5] = ["readiness", "liveness", "startup", "runtime", "traffic"];

/// Checks the name of a subsystem or scope.
///
/// Names occur in paths, queries and lines of text. They hold unreserved characters
/// (RFC 3986, section 2.3), which never need escaping, and the characters of an
/// address with a port: `10.0.0.1:8080`, `[::1]:8080`. A client may percent-encode
/// those, so probes decode them.
pub(crate) fn check(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > MAX_NAME_BYTES {
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

/// Checks the name of a member of a group, or the key of an attribute, which may be a
/// reserved name.
pub(super) fn check_free(name: &str) -> Result<(), NameError> {
    match check(name) {
        Err(NameError::Reserved) => Ok(()),
        checked => checked,
    }
}

/// Checks the name of a subsystem or a scope to declare.
pub(super) fn check_declared(name: &str) -> Result<(), DeclareError> {
    check(name).map_err(|source| DeclareError::Name {
        name: shown_name(name),
        source,
    })
}

/// Checks the key of an attribute.
pub(crate) fn check_key(key: &str) -> Result<(), AttributeError> {
    check_free(key).map_err(|source| AttributeError::Key {
        key: shown_name(key),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_need_no_escaping_are_valid() {
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
    fn invalid_names_are_refused_with_the_cause() {
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
