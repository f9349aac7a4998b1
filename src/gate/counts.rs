use crate::{
    meters::Stopwatch,
    registry::Meters,
    state::{PerReason, Reason},
    traffic::{GateOutcome, InFlightGuard, OutcomeCounts},
};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Counts the requests that the gates of a layer have refused and held; see
/// [`ReadinessLayer::counts`](crate::ReadinessLayer::counts).
///
/// Separate counters hold the requests that a
/// [dry run](crate::ReadinessLayer::dry_run) would have refused or held.
#[derive(Clone, Debug, Default)]
pub struct GateCounts(Arc<LayerCounts>);

#[derive(Debug, Default)]
struct LayerCounts {
    gates: OutcomeCounts,
    dry_run_gates: OutcomeCounts,
    waiting: PerReason<AtomicUsize>,
}

impl GateCounts {
    /// Returns how many requests were refused for this reason.
    pub fn refused(&self, reason: Reason) -> u64 {
        self.0.gates.refused(reason)
    }

    /// Returns how many requests were held for this reason, with any outcome.
    pub fn held(&self, reason: Reason) -> u64 {
        self.0.gates.get(GateOutcome::Held, reason)
    }

    /// Returns how many requests the gates would have refused for this reason without
    /// the [dry run](crate::ReadinessLayer::dry_run).
    pub fn dry_run_refused(&self, reason: Reason) -> u64 {
        self.0.dry_run_gates.refused(reason)
    }

    /// Returns how many requests the gates would have held for this reason without the
    /// [dry run](crate::ReadinessLayer::dry_run).
    pub fn dry_run_held(&self, reason: Reason) -> u64 {
        self.0.dry_run_gates.get(GateOutcome::Held, reason)
    }

    /// Returns how many requests are being held for this reason now.
    pub fn waiting(&self, reason: Reason) -> usize {
        self.0.waiting[reason].load(Ordering::Relaxed)
    }

    pub(super) fn count(&self, outcome: GateOutcome, reason: Reason, dry_run: bool) {
        let counts = if dry_run {
            &self.0.dry_run_gates
        } else {
            &self.0.gates
        };
        counts.count(outcome, reason);
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
        self.0.waiting[reason]
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
        let waiting = &self.counts.0.waiting[self.reason];
        waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
