use super::head::RequestHead;
use std::{fmt, sync::Arc, time::Duration};
use thiserror::Error;

/// What a gate does with a request while there is a [reason] to hesitate.
///
/// [reason]: crate::Reason
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Action {
    /// Lets it through.
    Admit,
    /// Refuses it.
    Refuse,
    /// Lets it wait for the reason to pass.
    Hold(Hold),
    /// Refuses some, and lets the rest through.
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

    /// Refuses every request that `essential` does not pick.
    pub fn shed_unless(
        essential: impl Fn(RequestHead<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self::Shed(Shed::unless(essential))
    }
}

/// Why an action cannot be.
#[derive(Clone, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum ActionError {
    /// A hold of no time at all is a refusal.
    #[error("a hold of zero would refuse; use `Action::Refuse`")]
    NoWait,
    /// No client waits that long.
    #[error("a hold lasts at most {} seconds, not {wait:?}", Hold::LONGEST.as_secs())]
    LongWait {
        /// The time asked for.
        wait: Duration,
    },
    /// A hold that nobody fits in is a refusal.
    #[error("a hold without room for a waiter would refuse; use `Action::Refuse`")]
    NoRoom,
    /// Waiters that nobody lets go would never be served.
    #[error("at least one waiter has to be let go at a time")]
    NoRelease,
    /// A fraction is a number from 0 to 1.
    #[error("a fraction is a number from 0 to 1, not {fraction}")]
    Fraction {
        /// The number given.
        fraction: f64,
    },
}

/// Lets requests wait for a reason to pass, in bounds.
///
/// A request that finds no room, or whose time is up, is refused. When the
/// reason has passed, a few waiters at a time are let go, each making room for
/// the next when it has its response, so that they do not all fall upon what
/// has just come back. (Requests that arrive then are admitted beside them.)
/// One whose time is up while others go first is let go as well.
///
/// What cannot pass is not waited for: phases never go back, and what had not
/// started when the process began to drain never will. A hold refuses at once
/// then, and lets go of those who wait already. So it does when another reason
/// refuses, also while a request waits for others to go first or for room in the
/// inner service: the request is decided on anew whenever the verdict changes,
/// for the reasons that were not there when it was admitted.
///
/// Time is tokio's. Outside of a tokio runtime a hold refuses at once, but for
/// saturation, which is then bounded by the number of waiters alone.
///
/// # Panics
///
/// On a tokio runtime whose timers are not enabled, the first request to be
/// held panics, as every use of tokio's time does there.
#[must_use]
#[derive(Clone, Debug)]
pub struct Hold {
    pub(super) max_wait: Duration,
    pub(super) max_waiting: usize,
    pub(super) release: usize,
}

impl Hold {
    const LONGEST: Duration = Duration::from_secs(600);

    /// A hold of at most `max_wait`, for at most 1,024 waiting requests, 16 of
    /// which are let go at a time.
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

    /// How many requests wait at the same time.
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

    /// How many waiters are let go at a time.
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

    /// What a gate does while the inner service is saturated, unless told
    /// otherwise.
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

    /// Refuses every request that `essential` does not pick. It is asked on
    /// the request path, and only while there is a reason to hesitate.
    pub fn unless(essential: impl Fn(RequestHead<'_>) -> bool + Send + Sync + 'static) -> Self {
        Self(Part::Unless(Arc::new(essential)))
    }

    pub(super) fn sheds(&self, head: RequestHead<'_>) -> bool {
        match &self.0 {
            // `f64()` is below 1, so a fraction of 1 sheds all.
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
    fn absurd_holds_are_refused_where_they_are_built() {
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
    fn a_fraction_outside_of_its_range_is_refused() {
        for fraction in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert!(Shed::fraction(fraction).is_err(), "{fraction}");
        }
    }

    #[test]
    fn a_fraction_sheds_about_as_much_as_it_says() {
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
    fn a_predicate_sheds_what_is_not_essential() {
        let shed = Shed::unless(|head| head.uri().path().starts_with("/checkout"));
        let checkout = Request::get("/checkout/1").body(()).unwrap();
        let browse = Request::get("/browse").body(()).unwrap();
        assert!(!shed.sheds(RequestHead::from(&checkout)));
        assert!(shed.sheds(RequestHead::from(&browse)));
    }
}
