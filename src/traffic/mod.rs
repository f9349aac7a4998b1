//! The counters of requests: in flight, refused, and by outcome, and while the
//! process drains. Operators read them, and the shutdown waits for them.

#[cfg(feature = "gate")]
mod classify;
/// Without a layer, no response is classified.
#[cfg(not(feature = "gate"))]
mod classify {
    pub(crate) trait ClassifyOutcome: Send + Sync {}
}
mod arrivals;
mod counter_sets;
mod end_watchers;
#[cfg(feature = "tracing")]
mod episode;
mod in_flight;
mod in_flight_counter;
mod outcomes;
mod records;
mod request_counts;
mod sharded_counters;
mod window;

use crate::state::ScopeId;
use std::sync::Arc;
use tokio::time::Instant;

#[cfg(not(feature = "gate"))]
pub(crate) use self::classify::ClassifyOutcome;
#[cfg(feature = "gate")]
pub use self::classify::{Classified, ClassifyEnd, ClassifyOutcome};
#[cfg(feature = "tracing")]
pub(crate) use self::episode::{EpisodeEvent, EpisodeStage, RefusalEpisode, RefusalEpisodes};
#[cfg(feature = "gate")]
pub(crate) use self::window::OutcomeWindow;
pub(crate) use self::{
    arrivals::{Arrivals, quiet},
    end_watchers::EndWatchers,
    in_flight::{Observed, ResponseGuard},
    in_flight_counter::InFlightCounter,
    outcomes::Outcomes,
    request_counts::{GateOutcome, RequestCounts},
    sharded_counters::ShardedCounters,
};
pub use self::{in_flight::InFlightGuard, outcomes::Drift};

/// The counters of one registry.
#[derive(Debug)]
pub(crate) struct Traffic {
    pub(crate) flights: InFlightCounter,
    /// Requests that are held or wait for room. They are not in flight yet, but may
    /// be soon.
    pub(crate) waiting: InFlightCounter,
    /// Requests that do not count, but whose responses are marked while the process
    /// drains.
    pub(crate) uncounted: ShardedCounters,
    pub(crate) arrivals: Arc<Arrivals>,
    pub(crate) end_watchers: EndWatchers,
    /// Requests that layers did not admit at once.
    pub(crate) gates: RequestCounts,
    /// Requests that layers in dry run would not have admitted at once.
    pub(crate) dry_run_gates: RequestCounts,
    #[cfg(feature = "tracing")]
    pub(crate) episodes: RefusalEpisodes,
    pub(crate) outcomes: Arc<Outcomes>,
    /// How often a gate of the process has admitted a request although its flag was not set,
    /// as it is not while a reason holds.
    #[cfg(all(feature = "gate", feature = "test-util"))]
    pub(crate) hesitated: Hesitated,
}

/// A counter for [`check_wired`](crate::testing::check_wired).
#[cfg(all(feature = "gate", feature = "test-util"))]
#[derive(Debug, Default)]
pub(crate) struct Hesitated(std::sync::atomic::AtomicU64);

#[cfg(all(feature = "gate", feature = "test-util"))]
impl Hesitated {
    pub(crate) fn record(&self) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(std::sync::atomic::Ordering::Relaxed)
    }
}

impl Traffic {
    /// The counters of a registry with this number of named scopes.
    pub(crate) fn new(scopes: usize) -> Self {
        let arrivals = Arc::default();
        let outcomes = Arc::new(Outcomes::with(&arrivals));
        Self {
            flights: InFlightCounter::with_observed(Arc::clone(&outcomes), &arrivals),
            waiting: InFlightCounter::default(),
            uncounted: ShardedCounters::with(&arrivals),
            arrivals,
            end_watchers: EndWatchers::default(),
            gates: RequestCounts::new(scopes),
            dry_run_gates: RequestCounts::new(scopes),
            #[cfg(feature = "tracing")]
            episodes: RefusalEpisodes::default(),
            outcomes,
            #[cfg(all(feature = "gate", feature = "test-util"))]
            hesitated: Hesitated::default(),
        }
    }

    /// The counts of the requests that layers did not admit at once, or would not have
    /// in dry run.
    pub(crate) fn gates(&self, dry_run: bool) -> &RequestCounts {
        if dry_run {
            &self.dry_run_gates
        } else {
            &self.gates
        }
    }

    /// Whether at one moment of this call no request was in flight or waiting.
    pub(crate) fn is_idle(&self) -> bool {
        // A request moves from `waiting` to `flights`, so `waiting` is read first. Another
        // request may begin to wait before the last one in flight ends.
        self.waiting.is_empty_while(|| self.flights.is_empty())
    }

    /// The counters of a layer that observes the requests of this scope, and with
    /// `in_flight` counts them as in flight as well.
    pub(crate) fn observe(
        &self,
        scope: ScopeId,
        in_flight: bool,
        classifier: Option<&Arc<dyn ClassifyOutcome>>,
        now: Instant,
    ) -> Arc<ShardedCounters> {
        self.outcomes.observe(scope, in_flight, classifier, now)
    }
}
