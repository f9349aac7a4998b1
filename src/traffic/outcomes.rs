use super::{
    classify::ClassifyOutcome,
    counter_sets::CounterSets,
    drain_clock::DrainClock,
    drift::Drift,
    sharded_counters::ShardedCounters,
    window::{Totals, Window},
};
use crate::state::ScopeId;
use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::time::{Duration, Instant};

/// What becomes of requests that are admitted while ready, by scope. Requests
/// count in [`ShardedCounters`]; only who reads takes the lock.
#[derive(Default)]
pub(crate) struct Outcomes {
    scopes: Mutex<Vec<Scope>>,
    drain_clock: Option<Arc<DrainClock>>,
}

struct Scope {
    id: ScopeId,
    sets: CounterSets,
    /// There is one once somebody observes.
    window: Option<Window>,
    disputes: Disputes,
}

/// For how long a gate has refused what the checks saw no reason to.
#[derive(Default)]
struct Disputes {
    past: Duration,
    since: Option<Instant>,
}

impl Outcomes {
    pub(super) fn with(drain_clock: &Arc<DrainClock>) -> Self {
        Self {
            drain_clock: Some(Arc::clone(drain_clock)),
            ..Self::default()
        }
    }

    /// The counters for a layer of this scope. It begins to be observed, if it is
    /// not already.
    pub(super) fn observe(
        &self,
        scope: ScopeId,
        in_flight: bool,
        classifier: Option<&Arc<dyn ClassifyOutcome>>,
        now: Instant,
    ) -> Arc<ShardedCounters> {
        self.work(|scopes, gone| {
            let scope = of(scopes, scope, self.drain_clock.as_ref());
            if scope.window.is_none() {
                scope.window = Some(Window::new(now, scope.totals(now)));
            }
            scope.sets.of(in_flight, classifier, gone)
        })
    }

    /// How many of the requests are in flight whose layers count that.
    pub(super) fn in_flight(&self) -> usize {
        let scopes = self.lock();
        scopes.iter().map(|scope| scope.sets.in_flight()).sum()
    }

    /// Follows which gates refuse although the subsystems' own checks pass.
    /// `is_disputed` is asked under the lock, so that the last of several who
    /// call this finds the newest answer.
    pub(crate) fn dispute(&self, now: Instant, is_disputed: impl Fn(ScopeId) -> bool) {
        for scope in self.lock().iter_mut() {
            scope.disputes.set(is_disputed(scope.id), now);
        }
    }

    /// Takes the samples that are due, and says when the next is; `None` as
    /// long as nobody observes.
    pub(crate) fn sample(&self, now: Instant) -> Option<Instant> {
        let mut scopes = self.lock();
        let next = scopes.iter_mut().filter_map(|scope| scope.sample(now));
        next.min()
    }

    /// What happened in the window, or `None` if nobody observes.
    pub(crate) fn drift(&self, scope: ScopeId, now: Instant) -> Option<Drift> {
        self.over(scope, Window::LENGTH, now)
    }

    /// What happened in the last `length`, at most the window's.
    pub(crate) fn over(&self, scope: ScopeId, length: Duration, now: Instant) -> Option<Drift> {
        self.work(|scopes, gone| {
            let scope = scopes.iter_mut().find(|known| known.id == scope)?;
            scope.sets.retire(gone);
            scope.sample(now)?;
            let window = scope.window.as_ref()?;
            Some(Drift::new(window.over(length, now, scope.totals(now))))
        })
    }

    /// Works under the lock. What goes meanwhile is dropped after it, for its
    /// classifiers are the user's. (So whoever samples lets nothing go: the
    /// keeper does it under a lock of its own.)
    fn work<R>(
        &self,
        work: impl FnOnce(&mut Vec<Scope>, &mut Vec<Arc<ShardedCounters>>) -> R,
    ) -> R {
        let mut gone = Vec::new();
        let result = work(&mut self.lock(), &mut gone);
        drop(gone);
        result
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Scope>> {
        self.scopes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn of<'s>(
    scopes: &'s mut Vec<Scope>,
    id: ScopeId,
    drain_clock: Option<&Arc<DrainClock>>,
) -> &'s mut Scope {
    let known = scopes.iter().position(|scope| scope.id == id);
    let index = known.unwrap_or_else(|| {
        scopes.push(Scope {
            id,
            sets: CounterSets::new(drain_clock.cloned()),
            window: None,
            disputes: Disputes::default(),
        });
        scopes.len() - 1
    });
    &mut scopes[index]
}

impl Scope {
    fn totals(&self, now: Instant) -> Totals {
        Totals {
            refusing: self.disputes.total(now),
            ..self.sets.totals()
        }
    }

    fn sample(&mut self, now: Instant) -> Option<Instant> {
        if now >= self.window.as_ref()?.next_sample() {
            let totals = self.totals(now);
            self.window.as_mut()?.sample(now, totals);
        }
        self.window.as_ref().map(Window::next_sample)
    }
}

impl Disputes {
    fn set(&mut self, disputed: bool, now: Instant) {
        self.past = self.total(now);
        self.since = disputed.then_some(now);
    }

    fn total(&self, now: Instant) -> Duration {
        let present = self.since.map(|since| now.saturating_duration_since(since));
        self.past + present.unwrap_or_default()
    }
}

impl fmt::Debug for Outcomes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let now = Instant::now();
        let scopes = self.lock();
        let totals = scopes.iter().map(|scope| (scope.id, scope.totals(now)));
        f.debug_map().entries(totals).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Classified, response_guard::ResponseGuard},
        *,
    };

    const SECOND: Duration = Duration::from_secs(1);
    const PROCESS: ScopeId = ScopeId::Process;

    fn observe(outcomes: &Outcomes, now: Instant) -> Arc<ShardedCounters> {
        outcomes.observe(PROCESS, false, None, now)
    }

    #[test]
    fn there_is_no_drift_until_somebody_observes() {
        let (outcomes, now) = (Outcomes::default(), Instant::now());
        assert_eq!(outcomes.drift(PROCESS, now), None);
        assert_eq!(outcomes.sample(now), None);
        observe(&outcomes, now);
        assert!(outcomes.drift(PROCESS, now).is_some());
        assert_eq!(outcomes.drift(ScopeId::Named(0), now), None);
        assert_eq!(outcomes.sample(now), Some(now + Window::EVERY));
    }

    /// A classifier that does what a user's may.
    struct Looks(Arc<Outcomes>);

    impl ClassifyOutcome for Looks {
        fn classify_response(&self, _: &http::Response<()>) -> Classified {
            Classified::Success
        }
    }

    impl Drop for Looks {
        fn drop(&mut self) {
            assert!(self.0.drift(PROCESS, Instant::now()).is_some());
        }
    }

    #[test]
    fn classifiers_are_dropped_where_no_lock_is_held() {
        let (outcomes, now) = (Arc::new(Outcomes::default()), Instant::now());
        for _ in 0..100 {
            let looks: Arc<dyn ClassifyOutcome> = Arc::new(Looks(Arc::clone(&outcomes)));
            outcomes.observe(PROCESS, false, Some(&looks), now);
        }
        outcomes.drift(PROCESS, now);
        assert_eq!(Arc::strong_count(&outcomes), 1);
    }

    #[test]
    fn requests_count_wherever_they_end() {
        let (outcomes, now) = (Outcomes::default(), Instant::now());
        let shards = observe(&outcomes, now);
        let begun: Vec<_> = (0..1_000)
            .map(|_| ResponseGuard::new(shards.enter()))
            .collect();
        std::thread::scope(|scope| {
            scope.spawn(|| drop(begun));
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        drop(ResponseGuard::new(shards.enter()));
                        drop(ResponseGuard::new(shards.enter()).fail());
                        drop(shards.enter());
                    }
                });
            }
        });
        let drift = outcomes.drift(PROCESS, now).unwrap();
        assert_eq!((drift.admitted(), drift.failed()), (9_000, 4_000));
        assert_eq!(shards.owners(), 0);
    }

    #[test]
    fn time_in_dispute_adds_up_and_slides_out_of_the_window() {
        let (outcomes, begin) = (Outcomes::default(), Instant::now());
        observe(&outcomes, begin);
        let refusing = |second| {
            let drift = outcomes.drift(PROCESS, begin + second * SECOND).unwrap();
            drift.refusing()
        };
        let set = |disputed, second| {
            outcomes.dispute(begin + second * SECOND, |scope| {
                assert_eq!(scope, PROCESS);
                disputed
            });
        };
        set(true, 10);
        assert_eq!(refusing(14), 4 * SECOND);
        set(true, 15);
        assert_eq!(refusing(16), 6 * SECOND, "said twice");
        set(false, 20);
        assert_eq!(refusing(30), 10 * SECOND);
        set(true, 40);
        set(false, 41);
        assert_eq!(refusing(45), 11 * SECOND);
        for second in (50..=400).step_by(5) {
            outcomes.sample(begin + second * SECOND);
        }
        assert_eq!(refusing(400), Duration::ZERO);
    }

    #[test]
    fn readers_and_a_sampler_do_not_disturb_each_other() {
        let (outcomes, begin) = (Outcomes::default(), Instant::now());
        let shards = observe(&outcomes, begin);
        // One failure a second, somebody who looks three times a second, and a
        // sampler that comes when it is told to.
        let mut due = outcomes.sample(begin).unwrap();
        for third in 1..=3_000_u32 {
            let now = begin + SECOND * third / 3;
            if third % 3 == 0 {
                shards.enter().observed().unwrap().count_failed();
            }
            if now >= due {
                due = outcomes.sample(now).unwrap();
                assert!(due > now);
            }
            let drift = outcomes.drift(PROCESS, now).unwrap();
            // Half of what happens in a second is in it, or is not yet.
            assert!(drift.failed().abs_diff(drift.window().as_secs()) <= 1);
            assert!(drift.window() < Window::LENGTH + Window::EVERY);
        }
    }
}
