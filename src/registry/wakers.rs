use super::timer_thread;
use crate::sync::{AtomicU64, Mutex, MutexGuard, Ordering};
use std::{
    future::Future,
    iter::Flatten,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::PoisonError,
    task::{Context, Poll, Waker},
    vec,
};

/// How many wakers a report wakes itself. More would make it wait for them;
/// fewer, and a test with a paused clock would see the others woken only after
/// the clock has moved on.
const AT_ONCE: usize = 256;

/// The wakers of the futures that wait for the next snapshot.
///
/// Unlike tokio's `Notify`, it wakes in bounded time, and a waker that panics
/// keeps no other from being woken.
#[derive(Default)]
pub(super) struct Wakers {
    /// How often it has woken.
    rounds: AtomicU64,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    wakers: Vec<Option<Waker>>,
    free: Vec<usize>,
}

impl Wakers {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Completes at the next [`wake`](Self::wake) after this call.
    pub(super) fn changed(&self) -> Changed<'_> {
        Changed {
            wakers: self,
            round: self.rounds.load(Ordering::Acquire),
            place: None,
        }
    }

    /// Wakes all that wait: some here, the rest from the timer thread.
    pub(super) fn wake(&self) {
        let wakers = {
            let mut waiting = self.waiting();
            self.rounds.fetch_add(1, Ordering::AcqRel);
            std::mem::take(&mut *waiting).wakers
        };
        let mut woken = Woken(wakers.into_iter().flatten());
        woken.wake(AT_ONCE);
        if woken.0.size_hint().1 != Some(0) {
            if let Err(woken) = timer_thread::wake(woken) {
                woken.wake_all();
            }
        }
    }
}

/// Wakers that are to be woken.
pub(super) struct Woken(Flatten<vec::IntoIter<Option<Waker>>>);

impl Woken {
    fn wake(&mut self, most: usize) {
        for waker in self.0.by_ref().take(most) {
            // The panic hook has reported it, and it is the waker's own.
            let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
        }
    }

    pub(super) fn wake_all(mut self) {
        self.wake(usize::MAX);
    }
}

/// Waits for the next snapshot; see [`Wakers::changed`].
pub(super) struct Changed<'a> {
    wakers: &'a Wakers,
    round: u64,
    /// Where its waker stands, as long as it is this round.
    place: Option<usize>,
}

impl Future for Changed<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // Wakers are a user's: they are cloned and dropped outside of the lock.
        let waker = cx.waker().clone();
        let _before = {
            let mut waiting = self.wakers.waiting();
            if self.wakers.rounds.load(Ordering::Relaxed) != self.round {
                return Poll::Ready(());
            }
            let place = match self.place {
                Some(place) => place,
                None => waiting.free.pop().unwrap_or(waiting.wakers.len()),
            };
            self.place = Some(place);
            if place == waiting.wakers.len() {
                waiting.wakers.push(None);
            }
            waiting.wakers[place].replace(waker)
        };
        Poll::Pending
    }
}

impl Drop for Changed<'_> {
    fn drop(&mut self) {
        let Some(place) = self.place else { return };
        let _before = {
            let mut waiting = self.wakers.waiting();
            if self.wakers.rounds.load(Ordering::Relaxed) != self.round {
                return;
            }
            waiting.free.push(place);
            let waker = waiting.wakers[place].take();
            if waiting.free.len() == waiting.wakers.len() {
                // Or the room of a crowd would stay.
                *waiting = Waiting::default();
            }
            waker
        };
    }
}
