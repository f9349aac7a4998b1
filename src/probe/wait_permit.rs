use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// A permit to `?wait`, returned on drop.
pub(super) struct WaitPermit(Arc<AtomicUsize>);

impl WaitPermit {
    pub(super) fn try_acquire(waiting: &Arc<AtomicUsize>, max: usize) -> Option<Self> {
        let increment = |waiting| (waiting < max).then_some(waiting + 1);
        waiting
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, increment)
            .ok()?;
        Some(Self(Arc::clone(waiting)))
    }
}

impl Drop for WaitPermit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
