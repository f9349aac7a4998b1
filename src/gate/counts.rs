use crate::{
    meters::Stopwatch,
    registry::Meters,
    state::{PerReason, Reason},
    sync::AtomicUsize,
    traffic::InFlightGuard,
};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Counts the requests that the gates of a layer have refused and held; see
/// [`ReadinessLayer::counts`](crate::ReadinessLayer::counts).
///
/// Separate counters hold the requests that a
/// [dry run](crate::ReadinessLayer::dry_run) would have refused or held.
#[derive(Clone, Default)]
pub struct GateCounts(Arc<PerReason<ReasonCounts>>);

#[derive(Debug, Default)]
struct ReasonCounts {
    refused: AtomicU64,
    held: AtomicU64,
    dry_run_refused: AtomicU64,
    dry_run_held: AtomicU64,
    waiting: AtomicUsize,
}

impl GateCounts {
    /// Returns how many requests were refused for this reason.
    pub fn refused(&self, reason: Reason) -> u64 {
        self.counters(reason).refused.load(Ordering::Relaxed)
    }

    /// Returns how many requests were held for this reason, with any outcome.
    pub fn held(&self, reason: Reason) -> u64 {
        self.counters(reason).held.load(Ordering::Relaxed)
    }

    /// Returns how many requests the gates would have refused for this reason without
    /// the [dry run](crate::ReadinessLayer::dry_run).
    pub fn dry_run_refused(&self, reason: Reason) -> u64 {
        self.counters(reason)
            .dry_run_refused
            .load(Ordering::Relaxed)
    }

    /// Returns how many requests the gates would have held for this reason without the
    /// [dry run](crate::ReadinessLayer::dry_run).
    pub fn dry_run_held(&self, reason: Reason) -> u64 {
        self.counters(reason).dry_run_held.load(Ordering::Relaxed)
    }

    /// Returns how many requests are being held for this reason now.
    pub fn waiting(&self, reason: Reason) -> usize {
        self.counters(reason).waiting.load(Ordering::Relaxed)
    }

    fn counters(&self, reason: Reason) -> &ReasonCounts {
        &self.0[reason]
    }

    pub(super) fn count_refused(&self, reason: Reason, dry_run: bool) {
        let counters = self.counters(reason);
        let count = if dry_run {
            &counters.dry_run_refused
        } else {
            &counters.refused
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_held(&self, reason: Reason, dry_run: bool) {
        let counters = self.counters(reason);
        let count = if dry_run {
            &counters.dry_run_held
        } else {
            &counters.held
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes one of `max_waiting` slots, or returns `None` if all are taken.
    pub(super) fn take_slot(
        &self,
        reason: Reason,
        max_waiting: usize,
        waiting: InFlightGuard,
        meters: &Arc<Meters>,
    ) -> Option<WaitSlot> {
        let take = |taken| (taken < max_waiting).then_some(taken + 1);
        let taken = &self.counters(reason).waiting;
        taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .ok()?;
        Some(WaitSlot {
            counts: self.clone(),
            reason,
            _waiting: waiting,
            since: Stopwatch::start(),
            meters: Arc::clone(meters),
        })
    }
}

impl fmt::Debug for GateCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter()).finish()
    }
}

/// A slot for a waiting request, given back when dropped.
pub(super) struct WaitSlot {
    counts: GateCounts,
    reason: Reason,
    _waiting: InFlightGuard,
    since: Stopwatch,
    meters: Arc<Meters>,
}

impl WaitSlot {
    pub(super) fn reason(&self) -> Reason {
        self.reason
    }
}

impl Drop for WaitSlot {
    fn drop(&mut self) {
        self.meters.holds.record(&self.since);
        self.counts
            .counters(self.reason)
            .waiting
            .fetch_sub(1, Ordering::Relaxed);
    }
}
