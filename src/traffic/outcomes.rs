use super::{
    arrivals::Arrivals,
    classify::ClassifyOutcome,
    counter_sets::CounterSets,
    sharded_counters::ShardedCounters,
    window::{OutcomeWindow, Totals},
};
use crate::{mutex::Mutex, panics::contained, state::ScopeId};
use std::{fmt, sync::Arc};
use tokio::time::{Duration, Instant};

/// The outcomes of requests that are admitted while ready, by scope. Requests
/// count in [`ShardedCounters`] without a lock; readers take the lock.
#[derive(Default)]
pub(crate) struct Outcomes {
    scopes: Mutex<Vec<ObservedScope>>,
    arrivals: Option<Arc<Arrivals>>,
}

struct ObservedScope {
    id: ScopeId,
    sets: CounterSets,
    /// `None` until a layer observes the scope.
    window: Option<OutcomeWindow>,
    disputes: Disputes,
}

/// Measures how long a gate has refused although the subsystems' own checks passed.
#[derive(Default)]
struct Disputes {
    past: Duration,
    since: Option<Instant>,
}

impl Outcomes {
    pub(super) fn with(arrivals: &Arc<Arrivals>) -> Self {
        Self {
            arrivals: Some(Arc::clone(arrivals)),
            ..Self::default()
        }
    }

    /// Returns the counters for a layer of this scope. The window of the scope
    /// begins with the first such layer.
    pub(crate) fn observe(
        &self,
        scope: ScopeId,
        in_flight: bool,
        classifier: Option<&Arc<dyn ClassifyOutcome>>,
        now: Instant,
    ) -> Arc<ShardedCounters> {
        self.with_scopes(|scopes, retired| {
            let scope = find_or_insert(scopes, scope, self.arrivals.as_ref());
            if scope.window.is_none() {
                scope.window = Some(OutcomeWindow::new(now, scope.totals(now)));
            }
            scope.sets.get_or_insert(in_flight, classifier, retired)
        })
    }

    /// Frees the counters and the classifier of a layer that ends, unless another layer
    /// or a request uses them; then [`retire`](Self::retire) does.
    #[cfg(feature = "gate")]
    pub(crate) fn release(
        &self,
        scope: ScopeId,
        in_flight: bool,
        classifier: &Arc<dyn ClassifyOutcome>,
        shards: Arc<ShardedCounters>,
    ) {
        self.with_scopes(|scopes, retired| {
            let scope = find_or_insert(scopes, scope, self.arrivals.as_ref());
            scope.sets.release(in_flight, classifier, shards, retired);
        });
    }

    /// Frees the counters and the classifiers that neither a layer nor a request uses.
    pub(crate) fn retire(&self) {
        self.with_scopes(|scopes, retired| {
            for scope in scopes {
                scope.sets.retire(retired);
            }
        });
    }

    /// How many observed requests are in flight, in layers that count that.
    pub(super) fn in_flight(&self) -> usize {
        let scopes = self.scopes.lock();
        scopes.iter().map(|scope| scope.sets.in_flight()).sum()
    }

    /// Records which gates refuse although the subsystems' own checks pass.
    /// `is_disputed` is called under the lock, so that the last of several
    /// concurrent callers records the newest result.
    pub(crate) fn dispute(&self, now: Instant, is_disputed: impl Fn(ScopeId) -> bool) {
        for scope in self.scopes.lock().iter_mut() {
            scope.disputes.set(is_disputed(scope.id), now);
        }
    }

    /// Takes the samples that are due. Returns when the next is due, or `None` as
    /// long as no layer observes.
    pub(crate) fn sample(&self, now: Instant) -> Option<Instant> {
        let mut scopes = self.scopes.lock();
        let next = scopes.iter_mut().filter_map(|scope| scope.sample(now));
        next.min()
    }

    /// The totals of a scope since a layer first observed it, or `None` if none does.
    #[cfg(feature = "metrics")]
    pub(crate) fn totals(&self, scope: ScopeId, now: Instant) -> Option<Totals> {
        let scopes = self.scopes.lock();
        let scope = scopes.iter().find(|known| known.id == scope)?;
        scope.window.as_ref().map(|_| scope.totals(now))
    }

    /// The drift of a scope over the whole window, or `None` if no layer observes
    /// the scope.
    pub(crate) fn drift(&self, scope: ScopeId, now: Instant) -> Option<Drift> {
        self.drift_over(scope, OutcomeWindow::LENGTH, now)
    }

    /// The drift of a scope over the last `length`, at most that of the window.
    pub(crate) fn drift_over(
        &self,
        scope: ScopeId,
        length: Duration,
        now: Instant,
    ) -> Option<Drift> {
        self.with_scopes(|scopes, retired| {
            let scope = scopes.iter_mut().find(|known| known.id == scope)?;
            scope.sets.retire(retired);
            scope.sample(now)?;
            let window = scope.window.as_ref()?;
            let totals = scope.totals(now);
            let (totals, window) = window.totals_over(length, now, totals);
            Some(Drift { totals, window })
        })
    }

    /// Calls `work` under the lock, and drops the retired counters after it, because
    /// dropping a classifier runs the user's code. ([`sample`](Self::sample) retires
    /// no counters, because the timer calls it under a lock of its own.)
    fn with_scopes<R>(
        &self,
        work: impl FnOnce(&mut Vec<ObservedScope>, &mut Vec<Arc<ShardedCounters>>) -> R,
    ) -> R {
        let mut retired = Vec::new();
        let result = work(&mut self.scopes.lock(), &mut retired);
        for shards in retired {
            contained(|| drop(shards));
        }
        result
    }
}

fn find_or_insert<'s>(
    scopes: &'s mut Vec<ObservedScope>,
    id: ScopeId,
    arrivals: Option<&Arc<Arrivals>>,
) -> &'s mut ObservedScope {
    let known = scopes.iter().position(|scope| scope.id == id);
    let index = known.unwrap_or_else(|| {
        scopes.push(ObservedScope {
            id,
            sets: CounterSets::new(arrivals.cloned()),
            window: None,
            disputes: Disputes::default(),
        });
        scopes.len() - 1
    });
    &mut scopes[index]
}

impl ObservedScope {
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
        self.window.as_ref().map(OutcomeWindow::next_sample)
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
        let scopes = self.scopes.lock();
        let totals = scopes.iter().map(|scope| (scope.id, scope.totals(now)));
        f.debug_map().entries(totals).finish()
    }
}

/// How well the readiness of a scope matched the outcomes of its requests, over
/// the last minutes; see [Readiness drift](crate::gate#readiness-drift).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drift {
    totals: Totals,
    window: Duration,
}

impl Drift {
    /// Returns how many requests were admitted while ready and have come to an end.
    pub fn admitted(&self) -> u64 {
        self.totals.answered + self.totals.failed
    }

    /// Returns how many of these failed nevertheless.
    pub fn failed(&self) -> u64 {
        self.totals.failed
    }

    /// Returns the fraction of these requests that failed, from 0 to 1, or `None` if
    /// there were none.
    pub fn failure_ratio(&self) -> Option<f64> {
        let admitted = self.admitted();
        (admitted > 0).then(|| self.failed() as f64 / admitted as f64)
    }

    /// Returns for how long the gate refused although the checks of the subsystems
    /// themselves passed.
    pub fn refusing(&self) -> Duration {
        self.totals.refusing
    }

    /// Returns the time that these counts cover: five minutes and up to five seconds.
    /// It is shorter if observation began later, and longer if samples came late.
    pub fn window(&self) -> Duration {
        self.window
    }
}

#[cfg(all(test, feature = "gate"))]
mod tests {
    use super::{
        super::{Classified, in_flight::ResponseGuard},
        *,
    };

    const SECOND: Duration = Duration::from_secs(1);
    const PROCESS: ScopeId = ScopeId::Process;

    fn observe(outcomes: &Outcomes, now: Instant) -> Arc<ShardedCounters> {
        outcomes.observe(PROCESS, false, None, now)
    }

    #[test]
    fn there_is_no_drift_until_a_layer_observes() {
        let (outcomes, now) = (Outcomes::default(), Instant::now());
        assert_eq!(outcomes.drift(PROCESS, now), None);
        assert_eq!(outcomes.sample(now), None);
        observe(&outcomes, now);
        assert!(outcomes.drift(PROCESS, now).is_some());
        assert_eq!(outcomes.drift(ScopeId::Named(0), now), None);
        assert_eq!(outcomes.sample(now), Some(now + OutcomeWindow::EVERY));
    }

    /// A classifier that takes the lock when it is dropped, as a user's may.
    struct ReadsDriftInDrop(Arc<Outcomes>);

    impl ClassifyOutcome for ReadsDriftInDrop {
        fn classify_response(&self, _: &http::Response<()>) -> Classified {
            Classified::Success
        }
    }

    impl Drop for ReadsDriftInDrop {
        fn drop(&mut self) {
            assert!(self.0.drift(PROCESS, Instant::now()).is_some());
        }
    }

    #[test]
    fn classifiers_are_dropped_where_no_lock_is_held() {
        let (outcomes, now) = (Arc::new(Outcomes::default()), Instant::now());
        for _ in 0..100 {
            let classifier = ReadsDriftInDrop(Arc::clone(&outcomes));
            let classifier: Arc<dyn ClassifyOutcome> = Arc::new(classifier);
            outcomes.observe(PROCESS, false, Some(&classifier), now);
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
        assert_eq!(refusing(16), 6 * SECOND, "set twice");
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
        // One failure a second, a reader three times a second, and a sampler at the
        // times that `sample` returns.
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
            // The failure of the current second may be counted already.
            assert!(drift.failed().abs_diff(drift.window().as_secs()) <= 1);
            assert!(drift.window() < OutcomeWindow::LENGTH + OutcomeWindow::EVERY);
        }
    }
}
