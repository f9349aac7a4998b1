//! The primitives below the snapshot cell, which a cfg swaps for loom's.
//!
//! arc-swap and tokio's `Notify` do not support loom. Under `--cfg
//! tower_readiness_loom` the unit tests use doubles with the same contract, so
//! that loom checks the protocol built on them (publish, then wake; subscribe,
//! then read). The cfg has a name of its own because hyper-util does not build
//! under the customary `--cfg loom`.

#[cfg(not(all(test, tower_readiness_loom)))]
mod imp {
    pub(crate) use crate::mutex::Mutex;
    pub(crate) use arc_swap::ArcSwap as Swap;
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
    pub(crate) use tokio::sync::Notify;
}

#[cfg(all(test, tower_readiness_loom))]
mod imp {
    use loom::sync::MutexGuard;
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
    use std::{
        future::poll_fn,
        sync::Arc,
        task::{Poll, Waker},
    };

    #[derive(Default)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap()
        }
    }

    /// A double of `arc_swap::ArcSwap` that orders memory no more than the atomic pointer
    /// that it stands for: an `Acquire` load may return an old value, and a store is an
    /// `AcqRel` swap. It keeps all values, so that a late load finds its own.
    pub(crate) struct Swap<T> {
        newest: AtomicUsize,
        /// loom does not see this lock, so the lock orders nothing in a model.
        values: std::sync::Mutex<Vec<Arc<T>>>,
    }

    impl<T> Swap<T> {
        pub(crate) fn new(value: Arc<T>) -> Self {
            Self {
                newest: AtomicUsize::new(0),
                values: std::sync::Mutex::new(vec![value]),
            }
        }

        pub(crate) fn load(&self) -> Arc<T> {
            let index = self.newest.load(Ordering::Acquire);
            Arc::clone(&self.values.lock().unwrap()[index])
        }

        pub(crate) fn load_full(&self) -> Arc<T> {
            self.load()
        }

        pub(crate) fn store(&self, value: Arc<T>) {
            let index = {
                let mut values = self.values.lock().unwrap();
                values.push(value);
                values.len() - 1
            };
            self.newest.swap(index, Ordering::AcqRel);
        }
    }

    /// A double of `tokio::sync::Notify`, as far as the crate uses it: a
    /// `notified` future completes after any `notify_waiters` since its
    /// creation.
    #[derive(Default)]
    pub(crate) struct Notify(Mutex<Waiters>);

    #[derive(Default)]
    struct Waiters {
        calls: usize,
        wakers: Vec<Waker>,
    }

    impl Notify {
        pub(crate) fn notified(&self) -> impl Future<Output = ()> {
            let created_at = self.0.lock().calls;
            poll_fn(move |cx| {
                let mut waiters = self.0.lock();
                if waiters.calls != created_at {
                    return Poll::Ready(());
                }
                waiters.wakers.push(cx.waker().clone());
                Poll::Pending
            })
        }

        pub(crate) fn notify_waiters(&self) {
            let wakers = {
                let mut waiters = self.0.lock();
                waiters.calls += 1;
                std::mem::take(&mut waiters.wakers)
            };
            wakers.into_iter().for_each(Waker::wake);
        }
    }
}

pub(crate) use imp::*;
