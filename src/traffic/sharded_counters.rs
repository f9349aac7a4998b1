use super::{
    classify::ClassifyOutcome,
    drain_clock::DrainClock,
    in_flight::InFlightGuard,
    shard::{Observed, Shard},
};
use std::{
    cell::Cell,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// One for each thread, so that threads do not disturb each other.
pub(crate) struct ShardedCounters(Box<[Arc<Shard>]>);

impl ShardedCounters {
    const MOST: usize = 64;

    /// Of requests of the registry with this lame duck.
    pub(super) fn with(drain_clock: &Arc<DrainClock>) -> Self {
        Self::of(|| Shard {
            observed: None,
            drain_clock: Some(Arc::clone(drain_clock)),
        })
    }

    /// Of requests whose outcomes are observed.
    pub(super) fn observing(
        classifier: Option<&Arc<dyn ClassifyOutcome>>,
        drain_clock: Option<&Arc<DrainClock>>,
    ) -> Self {
        Self::of(|| Shard {
            observed: Some(Observed::by(classifier.cloned())),
            drain_clock: drain_clock.cloned(),
        })
    }

    fn of(shard: impl Fn() -> Shard) -> Self {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let shards = threads.next_power_of_two().min(Self::MOST);
        Self((0..shards).map(|_| Arc::new(shard())).collect())
    }

    pub(crate) fn enter(&self) -> InFlightGuard {
        // There is a power of two of them.
        let shard = thread_number() & (self.0.len() - 1);
        InFlightGuard::new(Arc::clone(&self.0[shard]))
    }

    /// What has entered and not left.
    pub(super) fn owners(&self) -> usize {
        let owners = |shard| Arc::strong_count(shard) - 1;
        self.0.iter().map(owners).sum()
    }

    /// Whether all that has entered has left. Nobody enters meanwhile.
    pub(super) fn are_left(&mut self) -> bool {
        // What it counted is seen, too.
        self.0.iter_mut().all(|shard| Arc::get_mut(shard).is_some())
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
        Self::of(Shard::default)
    }
}

/// Threads that count are numbered as they come, so that the workers of a
/// runtime spread evenly.
#[inline]
fn thread_number() -> usize {
    // Without a destructor and a lazy beginning, it costs one load.
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
