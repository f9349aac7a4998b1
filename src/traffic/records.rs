use crate::sync::{AtomicU64, Ordering, fence};

/// Counts entries into a set of counters, so that a reader of several counters
/// notices a token that was moved between them during the read.
#[derive(Default)]
pub(super) struct Records(AtomicU64);

impl Records {
    /// Records an entry. Call it after the entry was counted, and before the caller
    /// drops another.
    pub(super) fn record(&self) {
        self.0.fetch_add(1, Ordering::Release);
    }

    /// Whether `read` returned `true`, and no entry was recorded during it.
    #[inline]
    pub(super) fn hold_while(&self, read: impl FnOnce() -> bool) -> bool {
        let before = self.0.load(Ordering::Acquire);
        if !read() {
            return false;
        }
        // The load below sees every record that precedes a decrement seen by `read`.
        fence(Ordering::Acquire);
        self.0.load(Ordering::Relaxed) == before
    }
}

/// Run with
/// `RUSTFLAGS="--cfg tower_readiness_loom" cargo test --release --lib loom`.
#[cfg(all(test, tower_readiness_loom))]
mod loom {
    use super::*;
    use crate::sync::explore;
    use ::loom::{sync::Arc, thread};

    /// Two counters that work as those of `Arc` do, with one token in the second.
    struct Counters {
        shards: [AtomicU64; 2],
        records: Records,
    }

    impl Counters {
        fn new() -> Arc<Self> {
            Arc::new(Self {
                shards: [AtomicU64::new(0), AtomicU64::new(1)],
                records: Records::default(),
            })
        }

        fn hand_over(&self, from: usize, to: usize) {
            self.shards[to].fetch_add(1, Ordering::Relaxed);
            self.records.record();
            self.shards[from].fetch_sub(1, Ordering::Release);
        }

        fn is_empty(&self) -> bool {
            self.records.hold_while(|| {
                let mut shards = self.shards.iter();
                shards.all(|shard| shard.load(Ordering::Relaxed) == 0)
            })
        }
    }

    #[test]
    fn a_token_that_is_handed_over_is_never_read_as_gone() {
        explore(3, || {
            let counters = Counters::new();
            let other = {
                let counters = Arc::clone(&counters);
                thread::spawn(move || {
                    counters.hand_over(1, 0);
                    counters.hand_over(0, 1);
                })
            };
            assert!(!counters.is_empty());
            other.join().unwrap();
            assert!(!counters.is_empty());
        });
    }

    #[test]
    fn a_token_that_two_threads_hand_over_is_never_read_as_gone() {
        explore(3, || {
            let counters = Counters::new();
            let others = [(1, 0), (0, 1)].map(|(from, to)| {
                let counters = Arc::clone(&counters);
                thread::spawn(move || {
                    // The second has its own token until it has got the first one's.
                    if from == 0 {
                        counters.shards[from].fetch_add(1, Ordering::Relaxed);
                        counters.records.record();
                    }
                    counters.hand_over(from, to);
                })
            });
            assert!(!counters.is_empty());
            for other in others {
                other.join().unwrap();
            }
        });
    }

    #[test]
    fn a_dropped_token_is_read_as_gone() {
        explore(3, || {
            let counters = Counters::new();
            counters.hand_over(1, 0);
            counters.shards[0].fetch_sub(1, Ordering::Release);
            assert!(counters.is_empty());
        });
    }

    #[test]
    fn a_token_that_enters_before_the_last_of_another_set_leaves_is_seen() {
        explore(3, || {
            let [waiting, flights] = [Counters::new(), Counters::new()];
            waiting.shards[1].fetch_sub(1, Ordering::Release);
            let other = {
                let (waiting, flights) = (Arc::clone(&waiting), Arc::clone(&flights));
                thread::spawn(move || {
                    waiting.shards[0].fetch_add(1, Ordering::Relaxed);
                    waiting.records.record();
                    flights.shards[1].fetch_sub(1, Ordering::Release);
                })
            };
            let is_idle = waiting.records.hold_while(|| {
                let mut shards = waiting.shards.iter();
                shards.all(|shard| shard.load(Ordering::Relaxed) == 0) && flights.is_empty()
            });
            assert!(!is_idle);
            other.join().unwrap();
        });
    }
}
