use super::timer_thread::{self, Woken};
use crate::sync::{AtomicU64, Mutex, Ordering};
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

/// How many wakers a report wakes itself. With more, the report would take long;
/// with fewer, a test with a paused clock would see the other tasks woken only
/// after the clock has advanced.
const WOKEN_BY_A_REPORT: usize = 256;

/// Holds the wakers of the futures that wait for the next snapshot.
///
/// Unlike tokio's `Notify`, it takes a bounded time, and it wakes the other tasks
/// when a waker panics.
#[derive(Default)]
pub(super) struct Wakers {
    /// How often `wake` was called.
    rounds: AtomicU64,
    waiting: Mutex<Polls>,
}

#[derive(Default)]
struct Polls {
    wakers: Vec<Option<Waker>>,
    free: Vec<usize>,
}

impl Wakers {
    /// Completes at the next [`wake`](Self::wake) after this call.
    pub(super) fn changed(&self) -> Changed<'_> {
        Changed {
            wakers: self,
            round: self.rounds.load(Ordering::Acquire),
            registered: None,
        }
    }

    /// Wakes all waiting tasks: the first here, the rest on the timer thread.
    pub(super) fn wake(&self) {
        let wakers = {
            let mut waiting = self.waiting.lock();
            self.rounds.fetch_add(1, Ordering::AcqRel);
            std::mem::take(&mut *waiting).wakers
        };
        let mut woken = Woken(wakers.into_iter().flatten());
        woken.wake(WOKEN_BY_A_REPORT);
        if woken.0.size_hint().1 != Some(0) {
            if let Err(woken) = timer_thread::wake(woken) {
                woken.wake_all();
            }
        }
    }
}

/// Waits for the next snapshot; see [`Wakers::changed`].
pub(super) struct Changed<'a> {
    wakers: &'a Wakers,
    round: u64,
    /// The index of its waker, valid in this round only, and the waker.
    registered: Option<(usize, Waker)>,
}

impl Future for Changed<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let Some((_, waker)) = &self.registered {
            // A task that waits for other things too, such as a connection, polls this
            // for each of them, and must not take the lock that all tasks share.
            if waker.will_wake(cx.waker())
                && self.wakers.rounds.load(Ordering::Acquire) == self.round
            {
                return Poll::Pending;
            }
        }
        // Wakers are code of the application: this clones and drops them outside of
        // the lock.
        let waker = cx.waker().clone();
        let kept = waker.clone();
        let _before = {
            let mut waiting = self.wakers.waiting.lock();
            if self.wakers.rounds.load(Ordering::Relaxed) != self.round {
                return Poll::Ready(());
            }
            let index = match self.registered {
                Some((index, _)) => index,
                None => waiting.free.pop().unwrap_or(waiting.wakers.len()),
            };
            if index == waiting.wakers.len() {
                waiting.wakers.push(None);
            }
            let before = waiting.wakers[index].replace(waker);
            (before, self.registered.replace((index, kept)))
        };
        Poll::Pending
    }
}

impl Drop for Changed<'_> {
    fn drop(&mut self) {
        let Some((index, _)) = self.registered else {
            return;
        };
        let _before = {
            let mut waiting = self.wakers.waiting.lock();
            if self.wakers.rounds.load(Ordering::Relaxed) != self.round {
                return;
            }
            waiting.free.push(index);
            let waker = waiting.wakers[index].take();
            if waiting.free.len() == waiting.wakers.len() {
                // Otherwise the memory of many waiting tasks would stay allocated.
                *waiting = Polls::default();
            }
            waker
        };
    }
}
