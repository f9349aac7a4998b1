//! What requests leave behind as they pass: counters, for operators and for
//! whoever ends the process. Nothing here decides anything.

mod classify;
mod drift;
mod end_watchers;
#[cfg(feature = "tracing")]
mod episode;
mod flights;
mod in_flight;
mod lame_duck;
mod outcome;
mod outcomes;
mod plans;
mod records;
mod refused;
mod sets;
mod shard;
mod shards;
mod watch;
mod window;

use crate::state::ScopeId;
use std::sync::Arc;
use tokio::time::Instant;

#[cfg(all(unix, feature = "server"))]
pub(crate) use self::end_watchers::EndWatcher;
#[cfg(feature = "tracing")]
pub(crate) use self::episode::{Episode, Episodes, Stage, Told};
pub(crate) use self::watch::{Change, Judge};
pub use self::{
    classify::{Classified, ClassifyEnd, ClassifyOutcome},
    drift::Drift,
    in_flight::InFlight,
    watch::{TrafficWatch, TrafficWatchError},
};
pub(crate) use self::{
    end_watchers::EndWatchers,
    flights::Flights,
    lame_duck::LameDuck,
    outcome::Answered,
    outcomes::Outcomes,
    plans::{PlanId, Times},
    refused::Refused,
    shard::Observed,
    shards::Shards,
};

/// The counters of one registry.
#[derive(Debug)]
pub(crate) struct Traffic {
    pub(crate) flights: Flights,
    /// Held, or waiting for room: what is not in flight yet, but may be soon.
    pub(crate) waiting: Flights,
    /// What is not counted, but whose response may say that the process drains.
    pub(crate) uncounted: Shards,
    pub(crate) lame_duck: Arc<LameDuck>,
    pub(crate) end_watchers: EndWatchers,
    pub(crate) refused: Refused,
    /// What layers in dry run would have refused.
    pub(crate) dry_run_refused: Refused,
    #[cfg(feature = "tracing")]
    pub(crate) episodes: Episodes,
    pub(crate) outcomes: Arc<Outcomes>,
}

impl Traffic {
    /// The counters of a registry with so many named scopes.
    pub(crate) fn new(scopes: usize) -> Self {
        let lame_duck = Arc::default();
        let outcomes = Arc::new(Outcomes::with(&lame_duck));
        Self {
            flights: Flights::with_observed(Arc::clone(&outcomes), &lame_duck),
            waiting: Flights::default(),
            uncounted: Shards::with(&lame_duck),
            lame_duck,
            end_watchers: EndWatchers::default(),
            refused: Refused::new(scopes),
            dry_run_refused: Refused::new(scopes),
            #[cfg(feature = "tracing")]
            episodes: Episodes::default(),
            outcomes,
        }
    }

    /// Whether nothing is in flight and nothing waits to be, at one moment of
    /// this call.
    pub(crate) fn is_idle(&self) -> bool {
        // What waits leaves the one to enter the other, so it is read first.
        self.waiting.is_empty() && self.flights.is_empty()
    }

    /// The counters for requests of this scope that are observed, and in
    /// flight as well if the layer counts that.
    pub(crate) fn observe(
        &self,
        scope: ScopeId,
        in_flight: bool,
        classifier: Option<&Arc<dyn ClassifyOutcome>>,
        now: Instant,
    ) -> Arc<Shards> {
        self.outcomes.observe(scope, in_flight, classifier, now)
    }
}
