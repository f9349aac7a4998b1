use crate::{
    registry::{AttributeError, attribute_key},
    state::{State, text},
};
use std::fmt::Display;

/// The result of one run of a check.
///
/// ```
/// use tower_readiness::check::Outcome;
///
/// # fn lag() -> Result<u64, std::io::Error> { Ok(3) }
/// fn replica() -> Result<Outcome, Box<dyn std::error::Error>> {
///     let lag = lag()?;
///     let outcome = if lag > 60 {
///         Outcome::degraded(format!("{lag} s behind"))
///     } else {
///         Outcome::ready()
///     };
///     Ok(outcome.attribute("lag", lag.to_string())?)
/// }
/// # assert!(replica().is_ok());
/// ```
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub(super) state: State,
    pub(super) reason: String,
    pub(super) attributes: Vec<(String, String)>,
}

impl Outcome {
    fn new(state: State, reason: impl Into<String>) -> Self {
        Self {
            state,
            reason: reason.into(),
            attributes: Vec::new(),
        }
    }

    /// Returns the outcome of a subsystem that is up.
    pub fn ready() -> Self {
        Self::new(State::Ready, "")
    }

    /// Returns the outcome of a subsystem that is up, but worse than it should be.
    pub fn degraded(reason: impl Into<String>) -> Self {
        Self::new(State::Degraded, reason)
    }

    /// Returns the outcome of a subsystem that is down.
    pub fn failing(reason: impl Into<String>) -> Self {
        Self::new(State::Failing, reason)
    }

    /// Shows `value` beside the state until the key is set again, as
    /// [`Reporter::attribute`](crate::Reporter::attribute) does. An attribute
    /// beyond the limit of 32 is left out.
    ///
    /// # Errors
    ///
    /// If `key` is not 1 to 128 characters of `A-Z a-z 0-9 . _ - : [ ]`.
    pub fn attribute(
        mut self,
        key: impl Into<String>,
        value: impl AsRef<str>,
    ) -> Result<Self, AttributeError> {
        let key = key.into();
        attribute_key(&key)?;
        let value = text::cut(value.as_ref(), text::MAX_BYTES).to_owned();
        self.attributes.push((key, value));
        Ok(self)
    }
}

impl<E: Display> From<Result<(), E>> for Outcome {
    fn from(result: Result<(), E>) -> Self {
        Self::from(result.map(|()| Self::ready()))
    }
}

impl<E: Display> From<Result<Self, E>> for Outcome {
    fn from(result: Result<Self, E>) -> Self {
        result.unwrap_or_else(|error| Self::failing(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn results_are_outcomes() {
        let ok: Result<(), io::Error> = Ok(());
        assert_eq!(Outcome::from(ok), Outcome::ready());
        let error: Result<(), _> = Err(io::Error::other("no route"));
        assert_eq!(Outcome::from(error), Outcome::failing("no route"));
        let slow: Result<Outcome, io::Error> = Ok(Outcome::degraded("slow"));
        assert_eq!(Outcome::from(slow), Outcome::degraded("slow"));
    }

    #[test]
    fn an_attribute_needs_a_plain_key() {
        assert!(Outcome::ready().attribute("replica lag", "3").is_err());
        let outcome = Outcome::ready().attribute("lag", "x".repeat(2_000));
        assert_eq!(outcome.unwrap().attributes[0].1.len(), text::MAX_BYTES);
    }
}
