use super::{
    arrivals::Arrivals,
    classify::ClassifyOutcome,
    in_flight::{InFlightGuard, Observed, Shard},
};
use crate::sync::CountedArc;
use std::{
    cell::Cell,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// A counter in shards. Each thread uses its own, so that threads do not contend
/// for a cache line.
pub(crate) struct ShardedCounters(Box<[CountedArc<Shard>]>);

impl ShardedCounters {
    const MAX_SHARDS: usize = 64;

    /// Counts requests whose guards show whether the process drains.
    pub(super) fn with(arrivals: &Arc<Arrivals>) -> Self {
        Self::with_shards(|| Shard {
            observed: None,
            arrivals: Some(Arc::clone(arrivals)),
        })
    }

    /// Counts requests whose outcomes are observed.
    pub(super) fn observing(
        classifier: Option<&Arc<dyn ClassifyOutcome>>,
        arrivals: Option<&Arc<Arrivals>>,
    ) -> Self {
        Self::with_shards(|| Shard {
            observed: Some(Observed::by(classifier.cloned())),
            arrivals: arrivals.cloned(),
        })
    }

    fn with_shards(shard: impl Fn() -> Shard) -> Self {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let shards = threads.next_power_of_two().min(Self::MAX_SHARDS);
        Self((0..shards).map(|_| CountedArc::new(shard())).collect())
    }

    pub(crate) fn enter(&self) -> InFlightGuard {
        // The number of shards is a power of two.
        let shard = thread_number() & (self.0.len() - 1);
        InFlightGuard::new(CountedArc::clone(&self.0[shard]))
    }

    /// The number of guards that exist now.
    pub(super) fn owners(&self) -> usize {
        let owners = |shard| CountedArc::strong_count(shard) - 1;
        self.0.iter().map(owners).sum()
    }

    /// Whether all guards are dropped. `&mut self` excludes new guards during the
    /// call.
    pub(super) fn is_unused(&mut self) -> bool {
        // `get_mut` also synchronizes with the outcomes that the guards counted.
        let mut shards = self.0.iter_mut();
        shards.all(|shard| CountedArc::get_mut(shard).is_some())
    }

    pub(super) fn observed(&self) -> impl Iterator<Item = &Observed> {
        self.0.iter().filter_map(|shard| shard.observed.as_ref())
    }
}

impl fmt::Debug for ShardedCounters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ShardedCounters")
            .field(&self.owners())
            .finish()
    }
}

impl Default for ShardedCounters {
    fn default() -> Self {
        Self::with_shards(Shard::default)
    }
}

/// The number of the current thread. Threads get numbers at their first count, so
/// that the workers of a runtime spread evenly over the shards.
#[inline]
fn thread_number() -> usize {
    // A thread-local without destructor and lazy initialization costs one load.
    thread_local!(static NUMBER: Cell<usize> = const { Cell::new(usize::MAX) });
    NUMBER.with(|number| match number.get() {
        usize::MAX => {
            let next = next_number();
            number.set(next);
            next
        }
        known => known,
    })
}

#[cold]
fn next_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
