use super::head::RequestHead;
use crate::registry::{self, SettingError};
use std::{fmt, sync::Arc};

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
        let checked = registry::fraction("fraction of requests to shed", fraction);
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
