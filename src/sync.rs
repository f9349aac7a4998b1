//! The primitives below the state cell, behind one switch.
//!
//! arc-swap and tokio's `Notify` are not aware of loom. Under
//! `--cfg tower_readiness_loom` the unit tests swap them for doubles with the
//! same contract, so that the protocol built on top of them (publish, then
//! wake; listen, then look) is model-checked. The cfg has a name of its own
//! because hyper-util does not build under the customary `--cfg loom`.

#[cfg(not(all(test, tower_readiness_loom)))]
mod imp {
    pub(crate) use arc_swap::ArcSwap as Swap;
    pub(crate) use std::sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering, fence},
    };
    pub(crate) use tokio::sync::Notify;
}

#[cfg(all(test, tower_readiness_loom))]
mod imp {
    pub(crate) use loom::sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering, fence},
    };
    use std::{
        future::poll_fn,
        sync::Arc,
        task::{Poll, Waker},
    };

    /// Stands for `arc_swap::ArcSwap`.
    pub(crate) struct Swap<T>(loom::sync::RwLock<Arc<T>>);

    impl<T> Swap<T> {
        pub(crate) fn new(value: Arc<T>) -> Self {
            Self(loom::sync::RwLock::new(value))
        }

        pub(crate) fn load(&self) -> Arc<T> {
            Arc::clone(&self.0.read().unwrap())
        }

        pub(crate) fn load_full(&self) -> Arc<T> {
            self.load()
        }

        pub(crate) fn store(&self, value: Arc<T>) {
            *self.0.write().unwrap() = value;
        }
    }

    /// Stands for `tokio::sync::Notify`, as far as it is used here: a
    /// `notified` future hears every `notify_waiters` since its creation.
    #[derive(Default)]
    pub(crate) struct Notify(Mutex<Waiters>);

    #[derive(Default)]
    struct Waiters {
        calls: usize,
        wakers: Vec<Waker>,
    }

    impl Notify {
        pub(crate) fn notified(&self) -> impl Future<Output = ()> {
            let created_at = self.0.lock().unwrap().calls;
            poll_fn(move |cx| {
                let mut waiters = self.0.lock().unwrap();
                if waiters.calls != created_at {
                    return Poll::Ready(());
                }
                waiters.wakers.push(cx.waker().clone());
                Poll::Pending
            })
        }

        pub(crate) fn notify_waiters(&self) {
            let wakers = {
                let mut waiters = self.0.lock().unwrap();
                waiters.calls += 1;
                std::mem::take(&mut waiters.wakers)
            };
            wakers.into_iter().for_each(Waker::wake);
        }
    }
}

pub(crate) use imp::*;
