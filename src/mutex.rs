//! A mutex without poisoning.

use std::sync::{MutexGuard, PoisonError};

/// A panic in one critical section does not make the next `lock` panic: no code of the
/// application runs under a lock of the crate, so the value is whole.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(std::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }

    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
