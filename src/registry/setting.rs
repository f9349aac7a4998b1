//! The checks of the settings that builders and constructors take.

use super::error::SettingError;
use std::{ops::RangeInclusive, time::Duration};

/// The shortest and the longest duration that a setting may have. tokio's timers
/// have a resolution of 1 ms; a setting of more than a day is most likely a mistake.
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Checks that a duration is between 1 ms and a day.
pub(crate) fn bounded(what: &'static str, given: Duration) -> Result<Duration, SettingError> {
    within(SHORTEST..=LONGEST, what, given)
}

/// Checks that a duration is between `least` and a day.
pub(crate) fn bounded_from(
    least: Duration,
    what: &'static str,
    given: Duration,
) -> Result<Duration, SettingError> {
    within(least..=LONGEST, what, given)
}

/// Checks that a duration is between 1 ms and ten minutes, for times in which a client waits.
#[cfg(feature = "gate")]
pub(crate) fn waited(what: &'static str, given: Duration) -> Result<Duration, SettingError> {
    within(SHORTEST..=Duration::from_secs(600), what, given)
}

/// Checks that a duration is in a range.
pub(crate) fn within(
    range: RangeInclusive<Duration>,
    what: &'static str,
    given: Duration,
) -> Result<Duration, SettingError> {
    if range.contains(&given) {
        return Ok(given);
    }
    let (least, most) = range.into_inner();
    Err(SettingError::OutOfBounds {
        what,
        given,
        least,
        most,
    })
}

/// Checks that a number is greater than zero.
#[cfg(feature = "gate")]
pub(crate) fn not_zero<N: Default + PartialEq>(
    what: &'static str,
    given: N,
) -> Result<N, SettingError> {
    if given == N::default() {
        return Err(SettingError::Zero { what });
    }
    Ok(given)
}

/// Checks that a number is between 0 and 1.
#[cfg(any(feature = "check", feature = "gate"))]
pub(crate) fn fraction(what: &'static str, given: f64) -> Result<f64, SettingError> {
    if !(0.0..=1.0).contains(&given) {
        return Err(SettingError::Fraction { what, given });
    }
    Ok(given)
}
