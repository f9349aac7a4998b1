use crate::state::{Reason, ScopeId, Snapshot};
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// The episodes of a registry: one after the other for each scope, and others
/// for gates in dry run.
#[derive(Debug, Default)]
pub(crate) struct Episodes(Mutex<Vec<Arc<Episode>>>);

impl Episodes {
    fn all(&self) -> MutexGuard<'_, Vec<Arc<Episode>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn of(&self, scope: ScopeId, dry_run: bool, base: Instant) -> Arc<Episode> {
        let mut all = self.all();
        let same = |episode: &&Arc<Episode>| (episode.scope, episode.dry_run) == (scope, dry_run);
        if let Some(episode) = all.iter().find(same) {
            return Arc::clone(episode);
        }
        let episode = Arc::new(Episode::new(scope, dry_run, base));
        all.push(Arc::clone(&episode));
        episode
    }

    /// What there is to tell of each at `now`, and when there may be more.
    pub(crate) fn look(&self, now: Instant, told: &mut Vec<Told>) -> Option<Instant> {
        let all = self.all();
        let dues = all.iter().filter_map(|episode| {
            let (news, due) = episode.look(now);
            told.extend(news);
            due
        });
        dues.min()
    }
}

/// A time in which gates refuse requests. It ends when none was refused for 10
/// seconds, so that a subsystem that flaps does not begin one after the other.
#[derive(Debug)]
pub(crate) struct Episode {
    scope: ScopeId,
    dry_run: bool,
    base: Instant,
    /// When a request was refused last, in nanoseconds after `base`.
    last: AtomicU64,
    refused: AtomicU64,
    /// Why that was, as an index.
    reason: AtomicU8,
    /// There is an episode.
    open: AtomicBool,
    state: Mutex<Option<Open>>,
}

#[derive(Debug)]
struct Open {
    begun: Instant,
    summaries: u32,
    /// The snapshot behind its first refusal.
    snapshot: Snapshot,
}

/// What there is to tell of an episode.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) scope: ScopeId,
    pub(crate) dry_run: bool,
    pub(crate) reason: Reason,
    pub(crate) refused: u64,
    pub(crate) lasted: Duration,
    pub(crate) stage: Stage,
    pub(crate) snapshot: Snapshot,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Begun,
    GoesOn,
    Ended,
}

impl Episode {
    const ENDS_AFTER: Duration = Duration::from_secs(10);

    fn new(scope: ScopeId, dry_run: bool, base: Instant) -> Self {
        Self {
            scope,
            dry_run,
            base,
            last: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            reason: AtomicU8::new(0),
            open: AtomicBool::new(false),
            state: Mutex::new(None),
        }
    }

    /// Counts a refused request. What it returns is to be called if it is the
    /// first of an episode.
    pub(crate) fn count(&self, reason: Reason, now: Instant) -> bool {
        let nanos = now.saturating_duration_since(self.base).as_nanos();
        self.refused.fetch_add(1, Ordering::Relaxed);
        self.reason.store(reason as u8, Ordering::Relaxed);
        let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
        self.last.fetch_max(nanos, Ordering::SeqCst);
        // After that: either this sees that the episode has ended, or what ends
        // it sees this refusal.
        !self.open.load(Ordering::SeqCst)
    }

    fn state(&self) -> MutexGuard<'_, Option<Open>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins an episode, unless another thread has. Returns when to look at it.
    pub(crate) fn begin(&self, now: Instant, snapshot: Snapshot) -> Option<(Told, Instant)> {
        let mut state = self.state();
        self.open.store(true, Ordering::SeqCst);
        if state.is_some() {
            return None;
        }
        let open = state.insert(Open {
            begun: now,
            summaries: 0,
            snapshot,
        });
        let told = self.tell(open, Stage::Begun, 1, Duration::ZERO);
        Some((told, now + Self::ENDS_AFTER))
    }

    fn look(&self, now: Instant) -> (Option<Told>, Option<Instant>) {
        let mut state = self.state();
        let Some(open) = &mut *state else {
            return (None, None);
        };
        self.open.store(false, Ordering::SeqCst);
        let last = self.base + Duration::from_nanos(self.last.load(Ordering::SeqCst));
        let ends = last + Self::ENDS_AFTER;
        if ends <= now {
            let refused = self.refused.swap(0, Ordering::Relaxed);
            let lasted = last.saturating_duration_since(open.begun);
            let told = self.tell(open, Stage::Ended, refused, lasted);
            *state = None;
            return (Some(told), None);
        }
        self.open.store(true, Ordering::SeqCst);
        let lasts = now.saturating_duration_since(open.begun);
        let told = (open.next_summary() <= lasts).then(|| {
            // Summaries that were missed are not made up for.
            while open.next_summary() <= lasts {
                open.summaries += 1;
            }
            let refused = self.refused.load(Ordering::Relaxed);
            self.tell(open, Stage::GoesOn, refused, lasts)
        });
        (told, Some(ends.min(open.begun + open.next_summary())))
    }

    fn tell(&self, open: &Open, stage: Stage, refused: u64, lasted: Duration) -> Told {
        let reason = usize::from(self.reason.load(Ordering::Relaxed));
        Told {
            scope: self.scope,
            dry_run: self.dry_run,
            reason: Reason::ALL[reason],
            refused,
            lasted,
            stage,
            snapshot: open.snapshot.clone(),
        }
    }
}

impl Open {
    /// How long after its begin: 10 seconds, a minute, and then every 5 minutes.
    fn next_summary(&self) -> Duration {
        Duration::from_secs(match self.summaries {
            0 => 10,
            1 => 60,
            more => 60 + 300 * u64::from(more - 1),
        })
    }
}

#[cfg(all(test, not(tower_readiness_loom)))]
mod tests {
    use super::*;
    use crate::registry::{Readiness, Subsystem};

    const SECOND: Duration = Duration::from_secs(1);

    /// What is told at each second at which anything is, up to the end.
    fn told(refused_at: impl Fn(u32) -> bool, until: u32) -> Vec<(u32, Stage, u64, Duration)> {
        let readiness = Readiness::builder()
            .subsystem(Subsystem::new("storage"))
            .build()
            .unwrap();
        let base = Instant::now();
        let episode = Episode::new(ScopeId::Process, false, base);
        let mut all = Vec::new();
        for second in 0..until {
            let now = base + SECOND * second;
            let (looked, _) = episode.look(now);
            let mut begun = None;
            if refused_at(second) && episode.count(Reason::Failing, now) {
                begun = episode
                    .begin(now, readiness.snapshot())
                    .map(|(told, _)| told);
            }
            let told = looked.into_iter().chain(begun);
            all.extend(told.map(|told| (second, told.stage, told.refused, told.lasted)));
        }
        all
    }

    #[test]
    fn an_episode_is_told_at_its_begin_and_its_end_and_now_and_then() {
        use Stage::{Begun, Ended, GoesOn};
        let told = told(|second| second < 400, 500);
        let expected = [
            (0, Begun, 1, Duration::ZERO),
            (10, GoesOn, 10, SECOND * 10),
            (60, GoesOn, 60, SECOND * 60),
            (360, GoesOn, 360, SECOND * 360),
            (409, Ended, 400, SECOND * 399),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_refusal_now_and_then_is_one_episode_until_there_was_none_for_10_seconds() {
        let flapping = told(|second| second % 9 == 0 && second < 90, 200);
        let begun = flapping.iter().filter(|told| told.1 == Stage::Begun);
        assert_eq!(begun.count(), 1, "{flapping:?}");
        let rare = told(|second| second % 11 == 0 && second < 44, 200);
        let begun = rare.iter().filter(|told| told.1 == Stage::Begun);
        assert_eq!(begun.count(), 4, "{rare:?}");
    }

    #[test]
    fn it_says_when_to_look_again() {
        let base = Instant::now();
        let episode = Episode::new(ScopeId::Process, false, base);
        let readiness = Readiness::builder().allow_empty().build().unwrap();
        assert!(episode.count(Reason::Saturated, base));
        let (_, due) = episode.begin(base, readiness.snapshot()).unwrap();
        assert_eq!(due, base + SECOND * 10);
        assert!(!episode.count(Reason::Saturated, base + SECOND * 4));
        let (_, due) = episode.look(base + SECOND * 10);
        assert_eq!(due, Some(base + SECOND * 14));
        let (told, due) = episode.look(base + SECOND * 14);
        assert_eq!((told.unwrap().stage, due), (Stage::Ended, None));
        assert!(episode.count(Reason::Saturated, base + SECOND * 15));
    }
}
