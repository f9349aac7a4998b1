use super::{
    classify::ClassifyOutcome, drain_clock::DrainClock, sharded_counters::ShardedCounters,
    window::Totals,
};
use std::{collections::HashMap, sync::Arc};

/// The counters of one scope: a set for each kind of requests, for as long as
/// somebody counts in it.
#[derive(Default)]
pub(super) struct CounterSets {
    present: HashMap<Kind, Arc<ShardedCounters>>,
    /// What was counted in those that are gone.
    past: Totals,
    /// So many are worth a look whether some can go.
    retire_at: usize,
    drain_clock: Option<Arc<DrainClock>>,
}

/// Requests of one kind count in the same way.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Kind {
    in_flight: bool,
    /// Where it is. No other is there as long as the shards hold it.
    classifier: Option<usize>,
}

impl CounterSets {
    const FEW: usize = 16;

    pub(super) fn new(drain_clock: Option<Arc<DrainClock>>) -> Self {
        Self {
            drain_clock,
            ..Self::default()
        }
    }

    /// The set for requests of this kind. What has gone is `gone`.
    pub(super) fn of(
        &mut self,
        in_flight: bool,
        classifier: Option<&Arc<dyn ClassifyOutcome>>,
        gone: &mut Vec<Arc<ShardedCounters>>,
    ) -> Arc<ShardedCounters> {
        let kind = Kind {
            in_flight,
            classifier: classifier.map(|it| Arc::as_ptr(it).cast::<()>().addr()),
        };
        if let Some(shards) = self.present.get(&kind) {
            return Arc::clone(shards);
        }
        if self.present.len() >= self.retire_at {
            self.retire(gone);
        }
        let shards = Arc::new(ShardedCounters::observing(
            classifier,
            self.drain_clock.as_ref(),
        ));
        self.present.insert(kind, Arc::clone(&shards));
        shards
    }

    /// Lets the sets go in which nobody counts any more, and keeps their counts:
    /// whoever makes a layer for each connection would make the process grow.
    pub(super) fn retire(&mut self, gone: &mut Vec<Arc<ShardedCounters>>) {
        let left = self.present.iter_mut().filter_map(|(kind, shards)| {
            // Nobody else has it, so nobody enters.
            Arc::get_mut(shards)?.are_left().then_some(*kind)
        });
        for kind in left.collect::<Vec<_>>() {
            if let Some(shards) = self.present.remove(&kind) {
                self.past.add(&shards);
                gone.push(shards);
            }
        }
        // As many are to come before the next look as this one has left, so that
        // on average it costs each of them a look at one.
        self.retire_at = Self::FEW.max(self.present.len() * 2);
        self.present.shrink_to(self.retire_at);
    }

    /// How many requests are in flight, of those whose layers count that.
    pub(super) fn in_flight(&self) -> usize {
        let counting = self.present.iter().filter(|(kind, _)| kind.in_flight);
        counting.map(|(_, shards)| shards.owners()).sum()
    }

    /// What has become of requests so far.
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

#[cfg(test)]
mod tests {
    use super::{
        super::{Classified, response_guard::ResponseGuard},
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
            .map(|(in_flight, classifier)| sets.of(in_flight, classifier, &mut Vec::new()))
        };
        let (first, second) = (all(), all());
        for (index, shards) in first.iter().enumerate() {
            let same = second.iter().map(|it| Arc::ptr_eq(it, shards));
            assert!(same.eq((0..4).map(|other| other == index)));
        }
    }

    #[test]
    fn a_set_goes_with_the_last_who_counts_in_it_and_its_counts_stay() {
        let (mut sets, mut gone) = (CounterSets::default(), Vec::new());
        let classifier = classifier();
        let shards = sets.of(true, Some(&classifier), &mut gone);
        let [served, failed] = [(); 2].map(|()| shards.enter());
        sets.retire(&mut gone);
        drop(shards);
        sets.retire(&mut gone);
        assert_eq!(sets.in_flight(), 2, "although their layer is gone");
        drop(ResponseGuard::new(failed).fail());
        sets.retire(&mut gone);
        assert_eq!((sets.in_flight(), counts(&sets)), (1, (0, 1)));
        assert!(gone.is_empty());

        drop(ResponseGuard::new(served));
        sets.retire(&mut gone);
        assert_eq!((sets.in_flight(), counts(&sets)), (0, (1, 1)));
        assert_eq!((sets.present.len(), gone.len()), (0, 1));
        drop(gone);
        assert_eq!(Arc::strong_count(&classifier), 1);
        let shards = sets.of(true, Some(&classifier), &mut Vec::new());
        drop(ResponseGuard::new(shards.enter()));
        assert_eq!(counts(&sets), (2, 1), "anew");
    }

    #[test]
    fn however_many_are_made_those_that_are_left_are_few() {
        let (mut sets, mut gone) = (CounterSets::default(), Vec::new());
        let mut kept = Vec::new();
        for index in 1..=1_000 {
            let shards = sets.of(true, Some(&classifier()), &mut gone);
            drop(ResponseGuard::new(shards.enter()));
            if index % 10 == 0 {
                kept.push(shards);
            }
            let most = CounterSets::FEW.max(2 * kept.len());
            assert!(sets.present.len() <= most && sets.present.capacity() <= 4 * most);
        }
        assert_eq!(counts(&sets), (1_000, 0));
        drop(kept);
        sets.retire(&mut gone);
        assert_eq!((sets.present.len(), counts(&sets)), (0, (1_000, 0)));
    }

    #[test]
    fn while_all_are_needed_there_are_few_looks_whether_some_can_go() {
        let mut sets = CounterSets::default();
        let mut looks = 0;
        let _kept: Vec<_> = (0..1_000)
            .map(|_| {
                let before = sets.retire_at;
                let shards = sets.of(false, Some(&classifier()), &mut Vec::new());
                looks += usize::from(sets.retire_at != before);
                shards
            })
            .collect();
        assert_eq!(looks, 7, "at 0, 16, 32, 64, 128, 256 and 512");
    }
}
