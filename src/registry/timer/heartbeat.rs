use crate::sync::{AtomicU64, Ordering, fence};

/// Counts the signs of life of one subsystem.
///
/// No clock is read here: the keeper looks at the count now and then, and
/// knows when it has changed. Two cache lines, for processors fetch them in
/// pairs and reporters beat at the same time.
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

    /// Beats, and then looks whether there is anything to report: either the
    /// keeper sees the beat before it lets silence count, or the look after
    /// this sees that it did.
    pub(crate) fn beat_before_reading(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// The count, after having published something: the other half of
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
    fn pulses_do_not_share_a_cache_line() {
        assert_eq!(align_of::<Heartbeat>(), 128);
    }
}
