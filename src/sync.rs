//! The primitives below the snapshot cell, which a cfg swaps for loom's.
//!
//! arc-swap, `std::sync::OnceLock` and tokio's `Notify`, `Semaphore` and timers do not support
//! loom. Under `--cfg tower_readiness_loom` the unit tests use doubles with the same
//! contract, so that loom checks the protocol built on them (publish, then wake;
//! subscribe, then read). The cfg has a name of its own because hyper-util does not
//! build under the customary `--cfg loom`.

#[cfg(not(all(test, tower_readiness_loom)))]
mod imp {
    pub(crate) use crate::mutex::Mutex;
    pub(crate) use arc_swap::ArcSwap as Swap;
    #[cfg(feature = "gate")]
    pub(crate) use std::sync::atomic::AtomicUsize;
    pub(crate) use std::sync::{
        Arc as CountedArc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering, fence},
    };
    #[cfg(feature = "tracing")]
    pub(crate) use std::sync::{Condvar, MutexGuard};
    pub(crate) use tokio::sync::Notify;
    #[cfg(feature = "gate")]
    pub(crate) use tokio::sync::{OwnedSemaphorePermit, Semaphore};
    #[cfg(feature = "connections")]
    pub(crate) use tokio::time::sleep_until;
}

#[cfg(all(test, tower_readiness_loom))]
mod imp {
    use futures_util::FutureExt as _;
    pub(crate) use loom::sync::{
        Condvar, MutexGuard,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence},
    };
    use std::{
        convert::Infallible,
        future::poll_fn,
        ops::Deref,
        sync::{Arc, LazyLock},
        task::{Poll, Waker},
    };
    use tokio::{
        runtime::{self, Runtime},
        time::{Duration, Instant, advance},
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

    /// Explores the model with at most this number of preemptions in each execution.
    pub(crate) fn explore(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(preemptions);
        builder.check(model);
    }

    /// A runtime whose timers never fire. A model enters it where a timer is made, and only
    /// there, so that no background task starts. loom runs all threads of a model on one
    /// thread of the system.
    pub(crate) static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
        let mut builder = runtime::Builder::new_current_thread();
        builder.enable_time().build().unwrap()
    });

    /// A runtime whose clock only [`pass`] moves.
    pub(crate) fn paused_runtime() -> Runtime {
        let mut builder = runtime::Builder::new_current_thread();
        builder.enable_time().start_paused(true).build().unwrap()
    }

    loom::lazy_static! {
        /// The timers that wait, in the order of their first polls.
        static ref TIMERS: Mutex<Vec<Arc<Notify>>> = Mutex::default();
    }

    /// A double of `tokio::time::sleep_until`: completes in [`pass`], and at its first poll if
    /// the deadline has passed. As with tokio, it does not read the clock in between.
    pub(crate) async fn sleep_until(deadline: Instant) {
        let timer = Arc::new(Notify::default());
        let fired = {
            let mut timers = TIMERS.lock();
            if deadline <= Instant::now() {
                return;
            }
            timers.push(Arc::clone(&timer));
            timer.notified()
        };
        fired.await;
    }

    /// Moves the clock by `time`, which the deadlines of all timers must precede, then fires one
    /// timer after the other, the newest first. What the first wakes may run before the next
    /// one fires.
    pub(crate) fn pass(time: Duration) {
        let timers = {
            let mut timers = TIMERS.lock();
            let _ = advance(time).now_or_never();
            std::mem::take(&mut *timers)
        };
        timers.iter().rev().for_each(|timer| timer.notify_waiters());
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

    /// A double of `std::sync::OnceLock`: `get` is an `Acquire` load, and a value is set by a
    /// `Release` store. One of several threads makes the value, while the others wait.
    #[derive(Debug)]
    pub(crate) struct OnceLock<T> {
        is_set: AtomicBool,
        value: std::sync::OnceLock<T>,
        writer: loom::sync::Mutex<()>,
    }

    impl<T> OnceLock<T> {
        pub(crate) fn new() -> Self {
            Self {
                is_set: AtomicBool::new(false),
                value: std::sync::OnceLock::new(),
                writer: loom::sync::Mutex::new(()),
            }
        }

        pub(crate) fn get(&self) -> Option<&T> {
            let is_set = self.is_set.load(Ordering::Acquire);
            is_set.then(|| self.value.get()).flatten()
        }

        pub(crate) fn set(&self, value: T) -> Result<(), T> {
            let _writer = self.writer.lock().unwrap();
            self.value.set(value)?;
            self.is_set.store(true, Ordering::Release);
            Ok(())
        }

        pub(crate) fn get_or_init(&self, init: impl FnOnce() -> T) -> &T {
            if self.get().is_none() {
                let _writer = self.writer.lock().unwrap();
                if self.value.get().is_none() {
                    let _ = self.value.set(init());
                    self.is_set.store(true, Ordering::Release);
                }
            }
            self.value.get().unwrap()
        }
    }

    /// A double of `tokio::sync::Notify`, as far as the crate uses it: a
    /// `notified` future completes after any `notify_waiters` since its
    /// creation, and one completes after a `notify_one`, which may precede it.
    #[derive(Default)]
    pub(crate) struct Notify(Mutex<Waiters>);

    #[derive(Default)]
    struct Waiters {
        calls: usize,
        has_permit: bool,
        wakers: Vec<Waker>,
    }

    impl Notify {
        pub(crate) fn notified(&self) -> impl Future<Output = ()> {
            let created_at = self.0.lock().calls;
            poll_fn(move |cx| {
                let mut waiters = self.0.lock();
                if waiters.calls != created_at || std::mem::take(&mut waiters.has_permit) {
                    return Poll::Ready(());
                }
                waiters.wakers.push(cx.waker().clone());
                Poll::Pending
            })
        }

        #[cfg(feature = "serve")]
        pub(crate) fn notify_one(&self) {
            let wakers = {
                let mut waiters = self.0.lock();
                waiters.has_permit = true;
                std::mem::take(&mut waiters.wakers)
            };
            wakers.into_iter().for_each(Waker::wake);
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

    /// A double of `tokio::sync::Semaphore`, as far as the crate uses it: a permit that is
    /// given back wakes the futures that wait for one. Unlike tokio's it does not serve them
    /// in their order.
    pub(crate) struct Semaphore(Mutex<Permits>);

    struct Permits {
        free: usize,
        wakers: Vec<Waker>,
    }

    pub(crate) struct OwnedSemaphorePermit(Arc<Semaphore>);

    crate::debug::fields!(OwnedSemaphorePermit);

    impl Semaphore {
        pub(crate) const MAX_PERMITS: usize = tokio::sync::Semaphore::MAX_PERMITS;

        pub(crate) fn new(free: usize) -> Self {
            let wakers = Vec::new();
            Self(Mutex::new(Permits { free, wakers }))
        }

        pub(crate) async fn acquire_owned(
            self: Arc<Self>,
        ) -> Result<OwnedSemaphorePermit, Infallible> {
            poll_fn(|cx| {
                let mut permits = self.0.lock();
                if permits.free == 0 {
                    permits.wakers.push(cx.waker().clone());
                    return Poll::Pending;
                }
                permits.free -= 1;
                Poll::Ready(())
            })
            .await;
            Ok(OwnedSemaphorePermit(self))
        }
    }

    impl Drop for OwnedSemaphorePermit {
        fn drop(&mut self) {
            let wakers = {
                let mut permits = self.0.0.lock();
                permits.free += 1;
                std::mem::take(&mut permits.wakers)
            };
            wakers.into_iter().for_each(Waker::wake);
        }
    }

    /// A double of `std::sync::Arc` whose count loom sees: a clone is a `Relaxed` increment,
    /// a drop a `Release` decrement, and `strong_count` a `Relaxed` load.
    pub(crate) struct CountedArc<T>(Arc<Counted<T>>);

    struct Counted<T> {
        value: T,
        count: AtomicUsize,
    }

    impl<T> CountedArc<T> {
        pub(crate) fn new(value: T) -> Self {
            let count = AtomicUsize::new(1);
            Self(Arc::new(Counted { value, count }))
        }

        pub(crate) fn strong_count(this: &Self) -> usize {
            this.0.count.load(Ordering::Relaxed)
        }

        pub(crate) fn get_mut(this: &mut Self) -> Option<&mut T> {
            Arc::get_mut(&mut this.0).map(|counted| &mut counted.value)
        }
    }

    impl<T> Clone for CountedArc<T> {
        fn clone(&self) -> Self {
            self.0.count.fetch_add(1, Ordering::Relaxed);
            Self(Arc::clone(&self.0))
        }
    }

    impl<T> Drop for CountedArc<T> {
        fn drop(&mut self) {
            self.0.count.fetch_sub(1, Ordering::Release);
        }
    }

    impl<T> Deref for CountedArc<T> {
        type Target = T;

        fn deref(&self) -> &T {
            &self.0.value
        }
    }
}

pub(crate) use imp::*;
