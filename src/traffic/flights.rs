use super::{in_flight::InFlight, outcomes::Outcomes, shards::Shards};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Counts what is in flight, by threads that do not disturb each other.
#[derive(Default)]
pub(crate) struct Flights {
    shards: Shards,
    /// Those requests are in flight, too, whose outcomes are observed.
    observed: Option<Arc<Outcomes>>,
    counting: AtomicBool,
}

impl Flights {
    /// Counts what these count as in flight, too.
    pub(super) fn with_observed(outcomes: Arc<Outcomes>) -> Self {
        Self {
            observed: Some(outcomes),
            ..Self::default()
        }
    }

    /// From now on everything enters, so that zero means that there is nothing,
    /// and not that nobody counts.
    pub(crate) fn begin(&self) {
        self.counting.store(true, Ordering::Relaxed);
    }

    pub(crate) fn enter(&self) -> InFlight {
        self.shards.enter()
    }

    /// What is in flight, or `None` if nobody counts.
    pub(crate) fn count(&self) -> Option<usize> {
        let counting = self.counting.load(Ordering::Relaxed);
        counting.then(|| self.entered())
    }

    /// What has entered and not left, whether or not everything does.
    ///
    /// What entered before the call and leaves after it is counted; what comes
    /// or goes meanwhile may be.
    pub(crate) fn entered(&self) -> usize {
        let observed = self.observed.as_ref();
        self.shards.owners() + observed.map_or(0, |outcomes| outcomes.in_flight())
    }
}

impl fmt::Debug for Flights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Flights").field(&self.entered()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn nobody_counts_until_somebody_begins() {
        let flights = Flights::default();
        assert_eq!(flights.count(), None);
        flights.begin();
        assert_eq!(flights.count(), Some(0));
    }

    #[test]
    fn tokens_count_wherever_they_are_made_and_dropped() {
        let flights = Flights::default();
        flights.begin();
        let here = flights.enter();
        let there: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| [flights.enter(), flights.enter()]))
                .collect();
            threads
                .into_iter()
                .flat_map(|t| t.join().unwrap())
                .collect()
        });
        let clone = here.clone();
        assert_eq!(flights.count(), Some(18));
        thread::scope(|scope| scope.spawn(|| drop(there)).join().unwrap());
        assert_eq!(flights.count(), Some(2));
        drop((here, clone));
        assert_eq!(flights.count(), Some(0));
    }

    #[test]
    fn a_token_outlives_the_counter() {
        let flights = Flights::default();
        let token = flights.enter();
        drop(flights);
        drop(token);
    }
}
