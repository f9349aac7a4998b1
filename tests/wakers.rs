//! A report does not wait for its subscribers, whatever their wakers do.

mod support;

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, ThreadId},
    time::Duration,
};
use support::ready;
use tower_readiness::{Readiness, RegistryClosed, Snapshot, State};

/// A waker that records the threads that woke it, and can panic.
struct Woken {
    by: Mutex<Vec<ThreadId>>,
    panics: bool,
}

impl Woken {
    fn new(panics: bool) -> Arc<Self> {
        Arc::new(Self {
            by: Mutex::default(),
            panics,
        })
    }

    fn by(&self) -> Vec<ThreadId> {
        self.by.lock().unwrap().clone()
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.by.lock().unwrap().push(thread::current().id());
        assert!(!self.panics, "as part of the test");
    }
}

type Change = Pin<Box<dyn Future<Output = Result<Snapshot, RegistryClosed>> + Send>>;

/// Waits for the next snapshot, with this waker.
fn follow(readiness: &Readiness, waker: &Arc<Woken>) -> Change {
    let mut subscription = readiness.subscribe();
    let mut change: Change = Box::pin(async move {
        subscription.changed().await?;
        subscription.changed().await
    });
    let waker = Waker::from(Arc::clone(waker));
    assert!(
        change
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
    );
    change
}

#[track_caller]
fn becomes(what: impl Fn() -> bool) {
    let found = (0..30_000).any(|_| {
        thread::sleep(Duration::from_millis(1));
        what()
    });
    assert!(found, "nothing happened");
}

#[test]
fn a_report_wakes_some_hundred_itself_and_the_rest_are_woken_elsewhere() {
    let (readiness, storage) = ready();
    let here = thread::current().id();
    for (crowd, most) in [(100, 100), (5_000, 1_000)] {
        let woken = Woken::new(false);
        let waiting: Vec<_> = (0..crowd).map(|_| follow(&readiness, &woken)).collect();
        storage.failing(crowd.to_string());
        let by_reporter = |by: Vec<ThreadId>| by.into_iter().filter(|it| *it == here).count();
        let at_once = by_reporter(woken.by());
        assert!((100..=most).contains(&at_once), "{at_once} of {crowd}");
        becomes(|| woken.by().len() == crowd);
        assert_eq!(by_reporter(woken.by()), at_once);
        drop(waiting);
    }
}

#[test]
fn a_waker_that_panics_harms_neither_the_report_nor_the_others() {
    let (readiness, storage) = ready();
    for crowd in [1, 50, 2_000] {
        let (bad, good) = (Woken::new(true), Woken::new(false));
        let mut waiting = Vec::new();
        for _ in 0..crowd {
            waiting.push(follow(&readiness, &bad));
            waiting.push(follow(&readiness, &good));
        }
        let state = if crowd == 50 { "gone" } else { "slow" };
        storage.failing(state);
        let snapshot = readiness.snapshot();
        let view = snapshot.subsystem("storage").unwrap();
        assert_eq!((view.state(), view.reason()), (State::Failing, Some(state)));
        becomes(|| good.by().len() == crowd && bad.by().len() == crowd);
        drop(waiting);
    }
}

#[test]
fn a_waker_that_panics_does_not_end_a_registry_by_halves() {
    let (readiness, storage) = ready();
    let (bad, good) = (Woken::new(true), Woken::new(false));
    let [_bad, mut change] = [&bad, &good].map(|waker| {
        let mut subscription = readiness.subscribe();
        let mut change: Change = Box::pin(async move {
            loop {
                subscription.changed().await?;
            }
        });
        let waker = Waker::from(Arc::clone(waker));
        let mut cx = Context::from_waker(&waker);
        assert!(change.as_mut().poll(&mut cx).is_pending());
        change
    });
    storage.leave_ready();
    drop(readiness);
    let mut cx = Context::from_waker(Waker::noop());
    let ended = change.as_mut().poll(&mut cx);
    assert!(matches!(ended, Poll::Ready(Err(_))));
}

/// Futures that wait, change their waker and are dropped leave no waker behind.
#[test]
fn a_dropped_wait_is_not_woken() {
    let (readiness, storage) = ready();
    let (gone, stays) = (Woken::new(false), Woken::new(false));
    let first = follow(&readiness, &stays);
    let mut moved = follow(&readiness, &gone);
    let waker = Waker::from(Arc::clone(&stays));
    assert!(
        moved
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
    );
    for _ in 0..100 {
        drop(follow(&readiness, &gone));
    }
    assert_eq!(Arc::strong_count(&gone), 1);
    let last = follow(&readiness, &stays);
    storage.failing("gone");
    assert_eq!((gone.by().len(), stays.by().len()), (0, 3));
    drop((first, moved, last));
}

#[test]
fn wakes_are_not_lost_among_many_threads() {
    let (readiness, storage) = ready();
    let seen = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut subscription = readiness.subscribe();
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .build()
                    .unwrap();
                runtime.block_on(async {
                    loop {
                        let snapshot = subscription.changed().await.unwrap();
                        let view = snapshot.subsystem("storage").unwrap();
                        if view.reason() == Some("last") {
                            break;
                        }
                    }
                });
                seen.fetch_add(1, Ordering::Relaxed);
            });
        }
        for round in 0..1_000 {
            storage.failing(round.to_string());
        }
        storage.failing("last");
    });
    assert_eq!(seen.load(Ordering::Relaxed), 4);
}
