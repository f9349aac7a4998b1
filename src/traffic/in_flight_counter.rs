use super::{
    arrivals::Arrivals, in_flight::InFlightGuard, outcomes::Outcomes, records::Records,
    sharded_counters::ShardedCounters,
};
use crate::sync::fence;
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Counts requests and other work in flight. Each thread counts in a shard of its
/// own, so that threads do not contend.
#[derive(Default)]
pub(crate) struct InFlightCounter {
    shards: ShardedCounters,
    /// Counts the observed requests, which have shards of their own.
    observed: Option<Arc<Outcomes>>,
    counting: AtomicBool,
    /// The calls of [`enter_recorded`](Self::enter_recorded).
    records: Records,
}

impl InFlightCounter {
    /// A counter that includes the observed requests in flight.
    pub(super) fn with_observed(outcomes: Arc<Outcomes>, arrivals: &Arc<Arrivals>) -> Self {
        Self {
            shards: ShardedCounters::with(arrivals),
            observed: Some(outcomes),
            ..Self::default()
        }
    }

    /// Makes [`count`](Self::count) return 0 instead of `None` when nothing is in
    /// flight, because from now on a layer counts requests.
    pub(crate) fn begin(&self) {
        self.counting.store(true, Ordering::Relaxed);
    }

    /// Counts a request that was admitted while no reason held, and so before the
    /// drain.
    #[inline]
    pub(crate) fn enter(&self) -> InFlightGuard {
        self.shards.enter()
    }

    /// Counts an entry and records it for [`is_empty`](Self::is_empty). Every entry
    /// that may happen during the drain has to use this function.
    pub(crate) fn enter_recorded(&self) -> InFlightGuard {
        let entered = self.shards.enter();
        // After the new guard has entered, and before the caller drops another.
        self.records.record();
        entered
    }

    /// Whether a layer counts requests, so that a count of zero means that no
    /// request is in flight.
    pub(crate) fn is_counting(&self) -> bool {
        self.counting.load(Ordering::Relaxed)
    }

    /// How much is in flight. If no layer counts requests, only other work counts,
    /// and zero is returned as `None`.
    pub(crate) fn count(&self) -> Option<usize> {
        let entered = self.entered();
        (entered > 0 || self.is_counting()).then_some(entered)
    }

    /// The number of guards, whether or not a layer counts requests.
    ///
    /// A guard that exists during the whole call is counted; a guard that is made or
    /// dropped during the call may be. So a hand-over (`let new = enter();
    /// drop(old)`) may count as two, as one or as nothing, because the shards are
    /// read one after the other.
    pub(crate) fn entered(&self) -> usize {
        let observed = self.observed.as_ref();
        self.shards.owners() + observed.map_or(0, |outcomes| outcomes.in_flight())
    }

    /// Whether at one moment of this call nothing was in flight that had entered
    /// before. Valid only in a process that drains.
    ///
    /// It is true if all shards were read as empty and no entry was recorded during
    /// the read. This proves that no token was handed over either. Suppose that
    /// some tokens were held when the read began. Their owners had recorded them, or
    /// entered them before the drain. All were read as gone, so consider the token
    /// that left last. If its owner had entered another token before dropping it, the
    /// owner had recorded the other token. That record happens before the decrement
    /// that was read (`Arc` decrements with `Release`), and so, by the fence, before
    /// the second load of the records. Both loads returned the same value, so the
    /// first load saw the record too. Then (`Release` and `Acquire`) the other token
    /// was in its shard before the shards were read. It was read as gone, but left
    /// later than the last token: a contradiction.
    ///
    /// `records.rs` has a model of this for loom.
    ///
    /// A clone enters the shard of its original, which is a single counter and so
    /// cannot be read as empty during a hand-over.
    pub(crate) fn is_empty(&self) -> bool {
        self.is_empty_by(|| self.entered())
    }

    /// Whether at one moment of this call nothing was in flight, and `read` was true.
    /// Unlike two calls one after the other, it notices an entry in between.
    pub(super) fn is_empty_while(&self, read: impl FnOnce() -> bool) -> bool {
        self.records.hold_while(|| {
            let is_empty = self.entered() == 0;
            // `read` sees what the owner of each token did before dropping it.
            fence(Ordering::Acquire);
            is_empty && read()
        })
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
    fn the_count_is_none_until_counting_begins() {
        let flights = InFlightCounter::default();
        assert_eq!(flights.count(), None);
        flights.begin();
        assert_eq!(flights.count(), Some(0));
    }

    #[test]
    fn other_work_counts_although_requests_do_not() {
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
        // The reader reads the shard of the new token before that enters, and the
        // shard of the old token after that is gone.
        let is_empty = flights.is_empty_by(|| {
            job = Some(flights.enter_recorded());
            0
        });
        assert!(!is_empty);
        drop(job);
        assert!(flights.is_empty());
    }

    #[test]
    fn an_entry_while_the_last_of_another_counter_leaves_is_not_overlooked() {
        let (waiting, flights) = (InFlightCounter::default(), InFlightCounter::default());
        let mut last = Some(flights.enter_recorded());
        let mut held = None;
        let is_idle = waiting.is_empty_while(|| {
            held = Some(waiting.enter_recorded());
            last = None;
            flights.is_empty()
        });
        assert!(!is_idle, "one of the two exists at each moment");
        drop((last, held));
        assert!(waiting.is_empty_while(|| flights.is_empty()));
    }

    /// Threads take turns to hand over one job, so that at each moment one or two
    /// tokens are held, while another thread reads.
    #[test]
    fn a_job_that_threads_hand_over_is_never_read_as_ended() {
        // Tests that run at the same time take thread numbers too, so only some pairs
        // of threads have different shards.
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
