use super::head::RequestHead;
use crate::registry::{SettingError, fraction, not_zero, waited};
use std::{fmt, sync::Arc, time::Duration};

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
    /// When `max_wait` is shorter than 1 millisecond or longer than ten minutes.
    pub fn hold(max_wait: Duration) -> Result<Self, SettingError> {
        Hold::new(max_wait).map(Self::Hold)
    }

    /// Refuses this fraction of the requests, picked at random.
    ///
    /// # Errors
    ///
    /// When `fraction` is not within 0 and 1.
    pub fn shed(fraction: f64) -> Result<Self, SettingError> {
        Shed::fraction(fraction).map(Self::Shed)
    }

    /// Refuses every request for which `essential` returns `false`.
    pub fn shed_unless(
        essential: impl Fn(RequestHead<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self::Shed(Shed::unless(essential))
    }
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
    /// Returns a hold of at most `max_wait`, for at most 1,024 waiting requests, which
    /// releases 16 at a time.
    ///
    /// # Errors
    ///
    /// When `max_wait` is shorter than 1 millisecond, which would refuse every request
    /// ([`Action::Refuse`] does), or longer than ten minutes.
    pub fn new(max_wait: Duration) -> Result<Self, SettingError> {
        Self::builder(max_wait).build()
    }

    /// Configures a hold of at most `max_wait`, with the other bounds of [`new`](Self::new).
    pub const fn builder(max_wait: Duration) -> HoldBuilder {
        HoldBuilder(Self {
            max_wait,
            max_waiting: 1_024,
            release: 16,
        })
    }

    /// The default hold while the inner service is saturated.
    pub(super) const fn while_saturated() -> Self {
        Self::builder(Duration::from_secs(5)).0
    }
}

/// Configures a [`Hold`].
///
/// ```
/// # use std::time::Duration;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use tower_readiness::gate::{Action, Hold};
///
/// let hold = Hold::builder(Duration::from_secs(2)).max_waiting(100).release(4);
/// let action = Action::Hold(hold.build()?);
/// # Ok(())
/// # }
/// ```
#[must_use = "a builder does nothing until it builds"]
#[derive(Clone, Debug)]
pub struct HoldBuilder(Hold);

impl HoldBuilder {
    /// Sets how many requests wait at the same time.
    pub fn max_waiting(mut self, max_waiting: usize) -> Self {
        self.0.max_waiting = max_waiting;
        self
    }

    /// Sets how many waiting requests are released at a time.
    pub fn release(mut self, release: usize) -> Self {
        self.0.release = release;
        self
    }

    /// Builds the hold.
    ///
    /// # Errors
    ///
    /// When the time is not valid (see [`Hold::new`]), or a number is zero: no request
    /// would wait, or be served after it has waited.
    pub fn build(self) -> Result<Hold, SettingError> {
        waited("time of a hold", self.0.max_wait)?;
        not_zero("maximum of waiting requests of a hold", self.0.max_waiting)?;
        not_zero(
            "number of requests that a hold releases at a time",
            self.0.release,
        )?;
        Ok(self.0)
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
    pub fn fraction(fraction: f64) -> Result<Self, SettingError> {
        let checked = self::fraction("fraction of requests to shed", fraction);
        checked.map(|fraction| Self(Part::Fraction(fraction)))
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
        for wait in [Duration::ZERO, Duration::from_secs(601)] {
            let error = Hold::new(wait).unwrap_err();
            let given = matches!(error, SettingError::OutOfBounds { given, .. } if given == wait);
            assert!(given, "{error}");
        }
        assert!(Hold::new(Duration::from_secs(600)).is_ok());

        let hold = Hold::builder(Duration::from_secs(1));
        for zero in [hold.clone().max_waiting(0), hold.release(0)] {
            let error = zero.build().unwrap_err();
            assert!(matches!(error, SettingError::Zero { .. }), "{error}");
        }
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
