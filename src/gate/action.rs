use super::head::RequestHead;
use std::{fmt, sync::Arc, time::Duration};
use thiserror::Error;

/// The action of a gate on a request while there is a [reason] to hesitate.
///
/// [reason]: crate::Reason
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Action {
    /// Admits the request.
    Admit,
    /// Refuses the request.
    Refuse,
    /// Lets the request wait for the reason to pass.
    Hold(Hold),
    /// Refuses a part of the requests, and admits the rest.
    Shed(Shed),
}

impl Action {
    /// Holds requests for at most `max_wait`, with the bounds of
    /// [`Hold::new`].
    ///
    /// # Errors
    ///
    /// When `max_wait` is zero or longer than ten minutes.
    pub fn hold(max_wait: Duration) -> Result<Self, ActionError> {
        Hold::new(max_wait).map(Self::Hold)
    }

    /// Refuses this fraction of the requests, picked at random.
    ///
    /// # Errors
    ///
    /// When `fraction` is not within 0 and 1.
    pub fn shed(fraction: f64) -> Result<Self, ActionError> {
        Shed::fraction(fraction).map(Self::Shed)
    }

    /// Refuses every request for which `essential` returns `false`.
    pub fn shed_unless(
        essential: impl Fn(RequestHead<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self::Shed(Shed::unless(essential))
    }
}

/// Why the values of an action are not valid.
#[derive(Clone, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum ActionError {
    /// `max_wait` is zero, so the hold would refuse every request.
    #[error("a hold of zero would refuse every request; use `Action::Refuse`")]
    NoWait,
    /// `max_wait` is longer than ten minutes, and no client waits that long.
    #[error("a hold lasts at most {} seconds, not {wait:?}", Hold::LONGEST.as_secs())]
    LongWait {
        /// The time that was given.
        wait: Duration,
    },
    /// `max_waiting` is zero, so the hold would refuse every request.
    #[error("a hold with `max_waiting` of zero would refuse every request; use `Action::Refuse`")]
    NoRoom,
    /// `release` is zero, so the waiting requests would never be served.
    #[error("`release` is at least 1, because with 0 no waiting request would be served")]
    NoRelease,
    /// The fraction is not a number from 0 to 1.
    #[error("a fraction is a number from 0 to 1, not {fraction}")]
    Fraction {
        /// The number given.
        fraction: f64,
    },
}

/// Lets a bounded number of requests wait a bounded time for a reason to pass.
///
/// A request is refused if all wait slots are taken, or when its time is up. When
/// the reason has passed, the hold releases a few waiting requests at a time, and
/// the next when one of them has its response, so that a service which has just
/// recovered does not get all of them at once. (New requests are admitted beside
/// them.) A request whose time is up before its turn to be released is admitted
/// as well.
///
/// A hold refuses at once where the reason cannot pass: phases never go back, and
/// a subsystem that had not started when the process began to drain never will.
/// It then refuses the requests that wait already, too. The gate decides again
/// whenever the verdict changes, and refuses a waiting request if another reason
/// demands it. That also holds for a request that waits for its turn or for room
/// in the inner service, except that reasons in spite of which it was admitted
/// are not considered again.
///
/// Time is tokio's. Outside of a tokio runtime a hold refuses at once. The hold
/// for saturation waits there as well, bounded only by the number of wait slots.
///
/// # Panics
///
/// On a tokio runtime whose timers are not enabled, the first held request
/// panics, as every use of tokio's time does there.
#[must_use]
#[derive(Clone, Debug)]
pub struct Hold {
    pub(super) max_wait: Duration,
    pub(super) max_waiting: usize,
    pub(super) release: usize,
}

impl Hold {
    const LONGEST: Duration = Duration::from_secs(600);

    /// Returns a hold of at most `max_wait`, for at most 1,024 waiting requests, which
    /// releases 16 at a time.
    ///
    /// # Errors
    ///
    /// When `max_wait` is zero or longer than ten minutes.
    pub fn new(max_wait: Duration) -> Result<Self, ActionError> {
        if max_wait.is_zero() {
            return Err(ActionError::NoWait);
        }
        if max_wait > Self::LONGEST {
            return Err(ActionError::LongWait { wait: max_wait });
        }
        Ok(Self {
            max_wait,
            max_waiting: 1_024,
            release: 16,
        })
    }

    /// Sets how many requests wait at the same time.
    ///
    /// # Errors
    ///
    /// When it is zero.
    pub fn max_waiting(self, max_waiting: usize) -> Result<Self, ActionError> {
        if max_waiting == 0 {
            return Err(ActionError::NoRoom);
        }
        Ok(Self {
            max_waiting,
            ..self
        })
    }

    /// Sets how many waiting requests are released at a time.
    ///
    /// # Errors
    ///
    /// When it is zero.
    pub fn release(self, release: usize) -> Result<Self, ActionError> {
        if release == 0 {
            return Err(ActionError::NoRelease);
        }
        Ok(Self { release, ..self })
    }

    /// The default hold while the inner service is saturated.
    pub(super) const fn while_saturated() -> Self {
        Self {
            max_wait: Duration::from_secs(5),
            max_waiting: 1_024,
            release: 16,
        }
    }
}

/// Refuses a part of the requests.
#[must_use]
#[derive(Clone)]
pub struct Shed(Part);

pub(super) type Predicate = Arc<dyn Fn(RequestHead<'_>) -> bool + Send + Sync>;

#[derive(Clone)]
enum Part {
    Fraction(f64),
    Unless(Predicate),
}

impl Shed {
    /// Refuses this fraction of the requests, picked at random.
    ///
    /// # Errors
    ///
    /// When `fraction` is not within 0 and 1.
    pub fn fraction(fraction: f64) -> Result<Self, ActionError> {
        if (0.0..=1.0).contains(&fraction) {
            Ok(Self(Part::Fraction(fraction)))
        } else {
            Err(ActionError::Fraction { fraction })
        }
    }

    /// Refuses every request for which `essential` returns `false`. The gate calls
    /// it on the request path, and only while there is a reason to hesitate.
    pub fn unless(essential: impl Fn(RequestHead<'_>) -> bool + Send + Sync + 'static) -> Self {
        Self(Part::Unless(Arc::new(essential)))
    }

    pub(super) fn sheds(&self, head: RequestHead<'_>) -> bool {
        match &self.0 {
            // `f64()` is below 1, so a fraction of 1 sheds every request.
            Part::Fraction(fraction) => fastrand::f64() < *fraction,
            Part::Unless(essential) => !essential(head),
        }
    }
}

impl fmt::Debug for Shed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Part::Fraction(fraction) => f.debug_tuple("Shed").field(fraction).finish(),
            Part::Unless(_) => f.debug_struct("Shed").finish_non_exhaustive(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    #[test]
    fn invalid_holds_are_errors() {
        assert_eq!(Hold::new(Duration::ZERO).unwrap_err(), ActionError::NoWait);
        let wait = Duration::from_secs(601);
        assert_eq!(Hold::new(wait).unwrap_err(), ActionError::LongWait { wait });
        assert!(Hold::new(Duration::from_secs(600)).is_ok());

        let hold = Hold::new(Duration::from_secs(1)).unwrap();
        assert_eq!(
            hold.clone().max_waiting(0).unwrap_err(),
            ActionError::NoRoom
        );
        assert_eq!(hold.release(0).unwrap_err(), ActionError::NoRelease);
    }

    #[test]
    fn a_fraction_outside_of_its_range_is_an_error() {
        for fraction in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert!(Shed::fraction(fraction).is_err(), "{fraction}");
        }
    }

    #[test]
    fn a_fraction_sheds_about_that_part_of_requests() {
        let request = Request::new(());
        let shed = |fraction: f64| {
            let shed = Shed::fraction(fraction).unwrap();
            (0..10_000)
                .filter(|_| shed.sheds(RequestHead::from(&request)))
                .count()
        };
        assert_eq!(shed(0.0), 0);
        assert_eq!(shed(1.0), 10_000);
        // 20 standard deviations around the mean.
        assert!((2_000..4_000).contains(&shed(0.3)));
    }

    #[test]
    fn a_predicate_sheds_requests_that_are_not_essential() {
        let shed = Shed::unless(|head| head.uri().path().starts_with("/checkout"));
        let checkout = Request::get("/checkout/1").body(()).unwrap();
        let browse = Request::get("/browse").body(()).unwrap();
        assert!(!shed.sheds(RequestHead::from(&checkout)));
        assert!(shed.sheds(RequestHead::from(&browse)));
    }
}
