use super::{
    arrivals::Arrivals, classify::ClassifyOutcome, sharded_counters::ShardedCounters,
    window::Totals,
};
use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

/// The counters of one scope: a set for each kind of requests, for as long as a
/// layer or a request uses it.
#[derive(Default)]
pub(super) struct CounterSets {
    present: HashMap<Kind, Arc<ShardedCounters>>,
    /// The totals of the sets that were retired.
    past: Totals,
    /// Scan for unused sets once this many exist.
    retire_at: usize,
    arrivals: Option<Arc<Arrivals>>,
}

/// The kind of requests that share a set.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Kind {
    in_flight: bool,
    /// The address of the classifier. It is unique, because the shards hold the
    /// classifier.
    classifier: Option<usize>,
}

impl Kind {
    fn of(in_flight: bool, classifier: Option<&Arc<dyn ClassifyOutcome>>) -> Self {
        Self {
            in_flight,
            classifier: classifier.map(|it| Arc::as_ptr(it).cast::<()>().addr()),
        }
    }
}

impl CounterSets {
    const FEW: usize = 16;

    pub(super) fn new(arrivals: Option<Arc<Arrivals>>) -> Self {
        Self {
            arrivals,
            ..Self::default()
        }
    }

    /// Returns the set for requests of this kind, and makes it if needed. Moves
    /// unused sets to `retired`; the caller drops them.
    pub(super) fn get_or_insert(
        &mut self,
        in_flight: bool,
        classifier: Option<&Arc<dyn ClassifyOutcome>>,
        retired: &mut Vec<Arc<ShardedCounters>>,
    ) -> Arc<ShardedCounters> {
        let kind = Kind::of(in_flight, classifier);
        if let Some(shards) = self.present.get(&kind) {
            return Arc::clone(shards);
        }
        if self.present.len() >= self.retire_at {
            self.retire(retired);
        }
        let shards = Arc::new(ShardedCounters::observing(
            classifier,
            self.arrivals.as_ref(),
        ));
        self.present.insert(kind, Arc::clone(&shards));
        shards
    }

    /// Moves the unused sets to `retired`, and keeps their totals. Otherwise a
    /// program that makes a layer for each connection would grow.
    pub(super) fn retire(&mut self, retired: &mut Vec<Arc<ShardedCounters>>) {
        for kind in self.present.keys().copied().collect::<Vec<_>>() {
            self.retire_unused(kind, retired);
        }
        // The next scan comes when the number of sets has doubled, so that each new
        // set costs the scan of one set on average.
        self.retire_at = Self::FEW.max(self.present.len() * 2);
        self.present.shrink_to(self.retire_at);
    }

    /// Retires the set of a layer that ends, unless another layer or a request uses it.
    #[cfg(feature = "gate")]
    pub(super) fn release(
        &mut self,
        in_flight: bool,
        classifier: &Arc<dyn ClassifyOutcome>,
        shards: Arc<ShardedCounters>,
        retired: &mut Vec<Arc<ShardedCounters>>,
    ) {
        drop(shards);
        self.retire_unused(Kind::of(in_flight, Some(classifier)), retired);
    }

    fn retire_unused(&mut self, kind: Kind, retired: &mut Vec<Arc<ShardedCounters>>) {
        if let Entry::Occupied(mut entry) = self.present.entry(kind) {
            // Without a layer that holds the set, requests cannot enter it.
            let shards = Arc::get_mut(entry.get_mut());
            if shards.is_some_and(ShardedCounters::is_unused) {
                let shards = entry.remove();
                self.past.add(&shards);
                retired.push(shards);
            }
        }
    }

    /// How many requests are in flight, in layers that count that.
    pub(super) fn in_flight(&self) -> usize {
        let counting = self.present.iter().filter(|(kind, _)| kind.in_flight);
        counting.map(|(_, shards)| shards.owners()).sum()
    }

    /// The totals of all sets, including the retired.
    pub(super) fn totals(&self) -> Totals {
        let mut totals = self.past;
        self.present.values().for_each(|shards| totals.add(shards));
        totals
    }
}

impl Totals {
    fn add(&mut self, shards: &ShardedCounters) {
        for observed in shards.observed() {
            self.answered += observed.answered();
            self.failed += observed.failed();
        }
    }
}

#[cfg(all(test, feature = "gate"))]
mod tests {
    use super::{
        super::{Classified, in_flight::ResponseGuard},
        *,
    };

    fn classifier() -> Arc<dyn ClassifyOutcome> {
        Arc::new(|_: &http::Response<()>| Classified::Success)
    }

    fn counts(sets: &CounterSets) -> (u64, u64) {
        let totals = sets.totals();
        (totals.answered, totals.failed)
    }

    #[test]
    fn layers_that_count_alike_share_their_counters() {
        let mut sets = CounterSets::default();
        let (this, that) = (classifier(), classifier());
        let mut all = || {
            [
                (false, None),
                (true, None),
                (true, Some(&this)),
                (true, Some(&that)),
            ]
            .map(|(in_flight, classifier)| {
                sets.get_or_insert(in_flight, classifier, &mut Vec::new())
            })
        };
        let (first, second) = (all(), all());
        for (index, shards) in first.iter().enumerate() {
            let same = second.iter().map(|it| Arc::ptr_eq(it, shards));
            assert!(same.eq((0..4).map(|other| other == index)));
        }
    }

    #[test]
    fn a_set_is_retired_with_its_last_user_and_its_totals_stay() {
        let (mut sets, mut retired) = (CounterSets::default(), Vec::new());
        let classifier = classifier();
        let shards = sets.get_or_insert(true, Some(&classifier), &mut retired);
        let [served, failed] = [(); 2].map(|()| shards.enter());
        sets.retire(&mut retired);
        drop(shards);
        sets.retire(&mut retired);
        assert_eq!(sets.in_flight(), 2, "although their layer is gone");
        drop(ResponseGuard::new(failed).fail());
        sets.retire(&mut retired);
        assert_eq!((sets.in_flight(), counts(&sets)), (1, (0, 1)));
        assert!(retired.is_empty());

        drop(ResponseGuard::new(served));
        sets.retire(&mut retired);
        assert_eq!((sets.in_flight(), counts(&sets)), (0, (1, 1)));
        assert_eq!((sets.present.len(), retired.len()), (0, 1));
        drop(retired);
        assert_eq!(Arc::strong_count(&classifier), 1);
        let shards = sets.get_or_insert(true, Some(&classifier), &mut Vec::new());
        drop(ResponseGuard::new(shards.enter()));
        assert_eq!(counts(&sets), (2, 1), "anew");
    }

    #[test]
    fn unused_sets_do_not_accumulate() {
        let (mut sets, mut retired) = (CounterSets::default(), Vec::new());
        let mut kept = Vec::new();
        for index in 1..=1_000 {
            let shards = sets.get_or_insert(true, Some(&classifier()), &mut retired);
            drop(ResponseGuard::new(shards.enter()));
            if index % 10 == 0 {
                kept.push(shards);
            }
            let most = CounterSets::FEW.max(2 * kept.len());
            assert!(sets.present.len() <= most && sets.present.capacity() <= 4 * most);
        }
        assert_eq!(counts(&sets), (1_000, 0));
        drop(kept);
        sets.retire(&mut retired);
        assert_eq!((sets.present.len(), counts(&sets)), (0, (1_000, 0)));
    }

    #[test]
    fn while_all_sets_are_used_there_are_few_scans() {
        let mut sets = CounterSets::default();
        let mut scans = 0;
        let _kept: Vec<_> = (0..1_000)
            .map(|_| {
                let before = sets.retire_at;
                let shards = sets.get_or_insert(false, Some(&classifier()), &mut Vec::new());
                scans += usize::from(sets.retire_at != before);
                shards
            })
            .collect();
        assert_eq!(scans, 7, "at 0, 16, 32, 64, 128, 256 and 512");
    }
}
