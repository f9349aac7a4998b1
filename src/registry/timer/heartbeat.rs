use crate::sync::{AtomicU64, Ordering, fence};

/// Counts the heartbeats of one subsystem.
///
/// A heartbeat reads no clock: the timer reads the count at intervals and knows when
/// it changed. The counter occupies two cache lines, since processors fetch lines in
/// pairs and several reporters send heartbeats at the same time.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Heartbeat(AtomicU64);

impl Heartbeat {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    #[inline]
    pub(crate) fn beat(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a heartbeat before the caller reads the snapshot: either the timer
    /// sees the heartbeat before it publishes `stale`, or the caller then reads
    /// `stale`.
    pub(crate) fn beat_before_reading(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Reads the count after the timer has published: the other half of
    /// [`beat_before_reading`](Self::beat_before_reading).
    pub(crate) fn count_after_publishing(&self) -> u64 {
        fence(Ordering::SeqCst);
        self.count()
    }
}

#[cfg(all(test, not(tower_readiness_loom)))]
mod tests {
    use super::*;

    #[test]
    fn heartbeats_do_not_share_a_cache_line() {
        assert_eq!(align_of::<Heartbeat>(), 128);
    }
}
