use crate::{
    state::{PerReason, Reason},
    traffic::InFlightGuard,
};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

/// What the gates of a layer have refused and held so far; see
/// [`ReadinessLayer::counts`](crate::ReadinessLayer::counts).
///
/// What a [dry run](crate::ReadinessLayer::dry_run) would have refused and held
/// is counted apart.
#[derive(Clone, Default)]
pub struct GateCounts(Arc<PerReason<Count>>);

#[derive(Debug, Default)]
struct Count {
    refused: AtomicU64,
    held: AtomicU64,
    dry_run_refused: AtomicU64,
    dry_run_held: AtomicU64,
    waiting: AtomicUsize,
}

impl GateCounts {
    /// How many requests were refused for this reason.
    pub fn refused(&self, reason: Reason) -> u64 {
        self.of(reason).refused.load(Ordering::Relaxed)
    }

    /// How many requests were held for this reason, whatever became of them.
    pub fn held(&self, reason: Reason) -> u64 {
        self.of(reason).held.load(Ordering::Relaxed)
    }

    /// How many requests would have been refused for this reason, were it not
    /// for the [dry run](crate::ReadinessLayer::dry_run).
    pub fn dry_run_refused(&self, reason: Reason) -> u64 {
        self.of(reason).dry_run_refused.load(Ordering::Relaxed)
    }

    /// How many requests would have been held for this reason, were it not for
    /// the [dry run](crate::ReadinessLayer::dry_run).
    pub fn dry_run_held(&self, reason: Reason) -> u64 {
        self.of(reason).dry_run_held.load(Ordering::Relaxed)
    }

    /// How many requests are being held for this reason now.
    pub fn waiting(&self, reason: Reason) -> usize {
        self.of(reason).waiting.load(Ordering::Relaxed)
    }

    fn of(&self, reason: Reason) -> &Count {
        &self.0[reason]
    }

    pub(super) fn count_refused(&self, reason: Reason, dry_run: bool) {
        let counts = self.of(reason);
        let count = if dry_run {
            &counts.dry_run_refused
        } else {
            &counts.refused
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_held(&self, reason: Reason, dry_run: bool) {
        let counts = self.of(reason);
        let count = if dry_run {
            &counts.dry_run_held
        } else {
            &counts.held
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes one of `room` places to wait in, if one is free.
    pub(super) fn wait(
        &self,
        reason: Reason,
        room: usize,
        waiting: InFlightGuard,
    ) -> Option<WaitSlot> {
        let take = |taken| (taken < room).then_some(taken + 1);
        let taken = &self.of(reason).waiting;
        taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .ok()?;
        Some(WaitSlot {
            counts: self.clone(),
            reason,
            _waiting: waiting,
        })
    }
}

impl fmt::Debug for GateCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter()).finish()
    }
}

/// A place to wait in, given back when dropped.
pub(super) struct WaitSlot {
    counts: GateCounts,
    reason: Reason,
    _waiting: InFlightGuard,
}

impl WaitSlot {
    pub(super) fn reason(&self) -> Reason {
        self.reason
    }
}

impl Drop for WaitSlot {
    fn drop(&mut self) {
        self.counts
            .of(self.reason)
            .waiting
            .fetch_sub(1, Ordering::Relaxed);
    }
}
