use super::{
    drain_clock::DrainClock, in_flight::InFlightGuard, outcomes::Outcomes, records::Records,
    sharded_counters::ShardedCounters,
};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Counts what is in flight, by threads that do not disturb each other.
#[derive(Default)]
pub(crate) struct InFlightCounter {
    shards: ShardedCounters,
    /// Those requests are in flight, too, whose outcomes are observed.
    observed: Option<Arc<Outcomes>>,
    counting: AtomicBool,
    /// What has [entered and was recorded](Self::enter_recorded).
    records: Records,
}

impl InFlightCounter {
    /// Counts what these count as in flight, too.
    pub(super) fn with_observed(outcomes: Arc<Outcomes>, drain_clock: &Arc<DrainClock>) -> Self {
        Self {
            shards: ShardedCounters::with(drain_clock),
            observed: Some(outcomes),
            ..Self::default()
        }
    }

    /// From now on everything enters, so that zero means that there is nothing,
    /// and not that nobody counts.
    pub(crate) fn begin(&self) {
        self.counting.store(true, Ordering::Relaxed);
    }

    /// Enters a request that was admitted while nothing was wrong, which a
    /// process that drains never is.
    #[inline]
    pub(crate) fn enter(&self) -> InFlightGuard {
        self.shards.enter()
    }

    /// Enters, and lets [`is_empty`](Self::is_empty) know of it: whatever
    /// enters while the process may drain.
    pub(crate) fn enter_recorded(&self) -> InFlightGuard {
        let entered = self.shards.enter();
        // After it has entered, and before the caller lets go of another.
        self.records.record();
        entered
    }

    /// Whether every request enters, so that zero means that there is none.
    pub(crate) fn is_counting(&self) -> bool {
        self.counting.load(Ordering::Relaxed)
    }

    /// What is in flight. If requests are not counted, that is what else has
    /// entered, and `None` if that is nothing.
    pub(crate) fn count(&self) -> Option<usize> {
        let entered = self.entered();
        (entered > 0 || self.is_counting()).then_some(entered)
    }

    /// What has entered and not left, whether or not everything does.
    ///
    /// What entered before the call and leaves after it is counted; what comes
    /// or goes meanwhile may be. So a hand-over (`let new = enter(); drop(old)`)
    /// may be counted as two, as one or as nothing: the shards are read one
    /// after the other.
    pub(crate) fn entered(&self) -> usize {
        let observed = self.observed.as_ref();
        self.shards.owners() + observed.map_or(0, |outcomes| outcomes.in_flight())
    }

    /// Whether there was a moment during this call at which nothing was in
    /// flight that had entered before; only in a process that drains.
    ///
    /// All shards were read as empty, and meanwhile nothing was recorded. Then
    /// nothing was handed over either. Suppose that some tokens were held when
    /// the reading began. Their owners had recorded them, or entered them
    /// before the drain. All were read as gone, so take the one that left last.
    /// If its owner had entered another before it let go of it, then it had
    /// recorded the other, and that record happens before the decrement
    /// (`Arc` decrements with `Release`) that was read, and so, by the fence,
    /// before the second look at the records. As both looks saw the same
    /// records, the first one saw it too; so (`Release` and `Acquire`) the other
    /// token was in its shard before the shards were read. It was read as gone,
    /// and left later than the last one: a contradiction.
    ///
    /// (`records.rs` has a model of it for loom.)
    ///
    /// A clone enters the shard of its original, which is one counter and
    /// cannot be read as empty in between.
    pub(crate) fn is_empty(&self) -> bool {
        self.is_empty_by(|| self.entered())
    }

    #[inline]
    fn is_empty_by(&self, read_shards: impl FnOnce() -> usize) -> bool {
        self.records.hold_while(|| read_shards() == 0)
    }
}

impl fmt::Debug for InFlightCounter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("InFlightCounter")
            .field(&self.entered())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        mem,
        sync::{Mutex, atomic::AtomicU64},
        thread,
    };

    #[test]
    fn nobody_counts_until_somebody_begins() {
        let flights = InFlightCounter::default();
        assert_eq!(flights.count(), None);
        flights.begin();
        assert_eq!(flights.count(), Some(0));
    }

    #[test]
    fn what_entered_counts_although_requests_do_not() {
        let flights = InFlightCounter::default();
        let job = flights.enter_recorded();
        assert_eq!((flights.count(), flights.is_counting()), (Some(1), false));
        drop(job);
        assert_eq!(flights.count(), None);
    }

    #[test]
    fn a_hand_over_between_two_shards_is_not_overlooked() {
        let flights = InFlightCounter::default();
        let mut job = Some(flights.enter_recorded());
        // The reader has passed the shard of the new token before that enters,
        // and comes to the shard of the old one when that is gone.
        let is_empty = flights.is_empty_by(|| {
            job = Some(flights.enter_recorded());
            0
        });
        assert!(!is_empty);
        drop(job);
        assert!(flights.is_empty());
    }

    /// The same by chance: threads take turns to hand over one job, so that at
    /// each moment one or two tokens are held, while another thread looks.
    #[test]
    fn a_job_that_threads_hand_over_is_never_read_as_ended() {
        // Other tests take numbers of threads too: some two of so many threads
        // have different shards.
        for _ in 0..8 {
            let flights = InFlightCounter::default();
            let job = Mutex::new(flights.enter_recorded());
            let (turn, stop) = (AtomicU64::new(0), AtomicBool::new(false));
            thread::scope(|scope| {
                for thread in 0..2 {
                    let (flights, job, turn, stop) = (&flights, &job, &turn, &stop);
                    scope.spawn(move || {
                        while !stop.load(Ordering::Relaxed) {
                            if turn.load(Ordering::Relaxed) % 2 == thread {
                                let mut job = job.lock().unwrap();
                                let new = flights.enter_recorded();
                                drop(mem::replace(&mut *job, new));
                                turn.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                    });
                }
                let missed = (0..100_000).filter(|_| flights.is_empty()).count();
                stop.store(true, Ordering::Relaxed);
                assert_eq!(missed, 0, "of {turn:?} hand-overs");
            });
            drop(job);
            assert!(flights.is_empty());
        }
    }

    #[test]
    fn tokens_count_wherever_they_are_made_and_dropped() {
        let flights = InFlightCounter::default();
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
        let flights = InFlightCounter::default();
        let token = flights.enter();
        drop(flights);
        drop(token);
    }
}
