use crate::{
    mutex::Mutex,
    state::{Reason, ScopeId, Snapshot},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// The episodes of a registry: one [`RefusalEpisode`] for each scope, and another for the
/// scope's gates in dry run.
#[derive(Debug, Default)]
pub(crate) struct RefusalEpisodes(Mutex<Vec<Arc<RefusalEpisode>>>);

impl RefusalEpisodes {
    pub(crate) fn get_or_insert(
        &self,
        scope: ScopeId,
        dry_run: bool,
        base: Instant,
    ) -> Arc<RefusalEpisode> {
        let mut all = self.0.lock();
        let same =
            |episode: &&Arc<RefusalEpisode>| (episode.scope, episode.dry_run) == (scope, dry_run);
        if let Some(episode) = all.iter().find(same) {
            return Arc::clone(episode);
        }
        let episode = Arc::new(RefusalEpisode::new(scope, dry_run, base));
        all.push(Arc::clone(&episode));
        episode
    }

    /// Appends the log events that are due at `now` to `events`. Returns when the
    /// next may be due.
    pub(crate) fn take_due(&self, now: Instant, events: &mut Vec<EpisodeEvent>) -> Option<Instant> {
        let all = self.0.lock();
        let dues = all.iter().filter_map(|episode| {
            let (event, due) = episode.take_due(now);
            events.extend(event);
            due
        });
        dues.min()
    }
}

/// A time in which gates refuse requests. It ends when no request was refused for
/// 10 seconds, so that a flapping subsystem does not begin many episodes.
#[derive(Debug)]
pub(crate) struct RefusalEpisode {
    scope: ScopeId,
    dry_run: bool,
    base: Instant,
    /// When a request was refused last, in nanoseconds after `base`.
    last: AtomicU64,
    refused: AtomicU64,
    /// The reason of the last refusal, as an index into [`Reason::ALL`].
    reason: AtomicU8,
    /// Whether an episode has begun and not ended.
    open: AtomicBool,
    state: Mutex<Option<Open>>,
}

#[derive(Debug)]
struct Open {
    begun: Instant,
    summaries: u32,
    /// The snapshot that the first refusal is based on.
    snapshot: Snapshot,
}

/// A log event: the beginning, a summary or the end of an episode.
#[derive(Clone, Debug)]
pub(crate) struct EpisodeEvent {
    pub(crate) scope: ScopeId,
    pub(crate) dry_run: bool,
    pub(crate) reason: Reason,
    pub(crate) refused: u64,
    pub(crate) lasted: Duration,
    pub(crate) stage: EpisodeStage,
    pub(crate) snapshot: Snapshot,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EpisodeStage {
    Begun,
    GoesOn,
    Ended,
}

impl RefusalEpisode {
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

    /// Counts a refused request. Returns whether no episode is open, so that the
    /// caller has to [`begin`](Self::begin) one.
    pub(crate) fn count(&self, reason: Reason, now: Instant) -> bool {
        let nanos = now.saturating_duration_since(self.base).as_nanos();
        self.refused.fetch_add(1, Ordering::Relaxed);
        self.reason.store(reason as u8, Ordering::Relaxed);
        let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
        self.last.fetch_max(nanos, Ordering::SeqCst);
        // Sequentially consistent with `take_due`: either this load sees that the
        // episode has ended, or the thread that ends it sees this refusal.
        !self.open.load(Ordering::SeqCst)
    }

    /// Begins an episode. Returns its first event and when the next may be due, or
    /// `None` if another thread has begun it.
    pub(crate) fn begin(
        &self,
        now: Instant,
        snapshot: Snapshot,
    ) -> Option<(EpisodeEvent, Instant)> {
        let mut state = self.state.lock();
        self.open.store(true, Ordering::SeqCst);
        if state.is_some() {
            return None;
        }
        let open = state.insert(Open {
            begun: now,
            summaries: 0,
            snapshot,
        });
        let event = self.event(open, EpisodeStage::Begun, 1, Duration::ZERO);
        Some((event, now + Self::ENDS_AFTER))
    }

    fn take_due(&self, now: Instant) -> (Option<EpisodeEvent>, Option<Instant>) {
        let mut state = self.state.lock();
        let Some(open) = &mut *state else {
            return (None, None);
        };
        self.open.store(false, Ordering::SeqCst);
        let last = self.base + Duration::from_nanos(self.last.load(Ordering::SeqCst));
        let ends = last + Self::ENDS_AFTER;
        if ends <= now {
            let refused = self.refused.swap(0, Ordering::Relaxed);
            let lasted = last.saturating_duration_since(open.begun);
            let event = self.event(open, EpisodeStage::Ended, refused, lasted);
            *state = None;
            return (Some(event), None);
        }
        self.open.store(true, Ordering::SeqCst);
        let lasts = now.saturating_duration_since(open.begun);
        let event = (open.next_summary() <= lasts).then(|| {
            // One summary replaces several missed summaries.
            while open.next_summary() <= lasts {
                open.summaries += 1;
            }
            let refused = self.refused.load(Ordering::Relaxed);
            self.event(open, EpisodeStage::GoesOn, refused, lasts)
        });
        (event, Some(ends.min(open.begun + open.next_summary())))
    }

    fn event(
        &self,
        open: &Open,
        stage: EpisodeStage,
        refused: u64,
        lasted: Duration,
    ) -> EpisodeEvent {
        let reason = usize::from(self.reason.load(Ordering::Relaxed));
        EpisodeEvent {
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
    /// When the next summary is due after the beginning: 10 seconds, a minute, and
    /// then every 5 minutes.
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

    /// The events of an episode up to the second `until`, each with its second.
    fn events(
        refused_at: impl Fn(u32) -> bool,
        until: u32,
    ) -> Vec<(u32, EpisodeStage, u64, Duration)> {
        let readiness = Readiness::builder()
            .subsystem(Subsystem::new("storage"))
            .build()
            .unwrap();
        let base = Instant::now();
        let episode = RefusalEpisode::new(ScopeId::Process, false, base);
        let mut all = Vec::new();
        for second in 0..until {
            let now = base + SECOND * second;
            let (due, _) = episode.take_due(now);
            let mut begun = None;
            if refused_at(second) && episode.count(Reason::Failing, now) {
                begun = episode
                    .begin(now, readiness.snapshot())
                    .map(|(event, _)| event);
            }
            let events = due.into_iter().chain(begun);
            all.extend(events.map(|event| (second, event.stage, event.refused, event.lasted)));
        }
        all
    }

    #[test]
    fn an_episode_has_events_at_its_begin_and_end_and_summaries_between() {
        use EpisodeStage::{Begun, Ended, GoesOn};
        let events = events(|second| second < 400, 500);
        let expected = [
            (0, Begun, 1, Duration::ZERO),
            (10, GoesOn, 10, SECOND * 10),
            (60, GoesOn, 60, SECOND * 60),
            (360, GoesOn, 360, SECOND * 360),
            (409, Ended, 400, SECOND * 399),
        ];
        assert_eq!(events, expected);
    }

    #[test]
    fn a_refusal_now_and_then_is_one_episode_until_there_was_none_for_10_seconds() {
        let flapping = events(|second| second % 9 == 0 && second < 90, 200);
        let begun = flapping
            .iter()
            .filter(|event| event.1 == EpisodeStage::Begun);
        assert_eq!(begun.count(), 1, "{flapping:?}");
        let rare = events(|second| second % 11 == 0 && second < 44, 200);
        let begun = rare.iter().filter(|event| event.1 == EpisodeStage::Begun);
        assert_eq!(begun.count(), 4, "{rare:?}");
    }

    #[test]
    fn it_returns_when_the_next_event_may_be_due() {
        let base = Instant::now();
        let episode = RefusalEpisode::new(ScopeId::Process, false, base);
        let readiness = Readiness::builder().allow_empty().build().unwrap();
        assert!(episode.count(Reason::Saturated, base));
        let (_, due) = episode.begin(base, readiness.snapshot()).unwrap();
        assert_eq!(due, base + SECOND * 10);
        assert!(!episode.count(Reason::Saturated, base + SECOND * 4));
        let (_, due) = episode.take_due(base + SECOND * 10);
        assert_eq!(due, Some(base + SECOND * 14));
        let (event, due) = episode.take_due(base + SECOND * 14);
        assert_eq!((event.unwrap().stage, due), (EpisodeStage::Ended, None));
        assert!(episode.count(Reason::Saturated, base + SECOND * 15));
    }
}
