use super::{Check, Outcome, runner::panicked};
use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    thread,
};
use tokio::sync::{Semaphore, oneshot};

impl Check {
    /// Makes a check of a call that may block its thread: a disk access, the
    /// lookup of a name, a library without `async`.
    ///
    /// Each run calls `ask` on a thread of its own, `readiness-check`, and at
    /// most one such call goes on at any time. A call cannot be cancelled:
    /// after the [timeout](Self::timeout), the run has failed, and later runs
    /// wait for the end of the call, and fail as well, before one of them calls
    /// `ask` again. So a call that hangs takes one thread, where
    /// [`spawn_blocking`](tokio::task::spawn_blocking) would take another one
    /// at each run, and would keep the runtime from ending.
    ///
    /// A panic of `ask` is a failure, and so is a thread that the system cannot
    /// start. A paused clock of tokio (in tests) does not wait for the thread.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_readiness::{Subsystem, check::Check};
    ///
    /// let store = Subsystem::new("store").check(
    ///     Check::every(Duration::from_secs(30)),
    ///     Check::blocking(|| std::fs::metadata("/var/lib/store").map(drop)),
    /// );
    /// # let _ = store;
    /// ```
    pub fn blocking<A, O>(ask: A) -> impl Fn() -> BlockingRun + Send + Sync + 'static
    where
        A: Fn() -> O + Send + Sync + 'static,
        O: Into<Outcome>,
    {
        let ask = Arc::new(move || ask().into());
        let calls = Arc::new(Semaphore::new(1));
        move || BlockingRun(Box::pin(call(Arc::clone(&calls), Arc::clone(&ask))))
    }
}

/// Waits until the last call has ended, then calls `ask` on a new thread.
async fn call<A>(calls: Arc<Semaphore>, ask: Arc<A>) -> Outcome
where
    A: Fn() -> Outcome + Send + Sync + 'static,
{
    let Ok(permit) = calls.acquire_owned().await else {
        return Outcome::failing("the check has ended");
    };
    let (sender, receiver) = oneshot::channel();
    // Without `threads::spawn`, which would hide the application's events from
    // its subscriber.
    let thread = thread::Builder::new().name("readiness-check".to_owned());
    let thread = thread.spawn(move || {
        let called = catch_unwind(AssertUnwindSafe(|| ask()));
        let outcome = called.unwrap_or_else(panicked);
        // The drop of `ask` may block as well.
        drop(ask);
        drop(permit);
        // This fails if the run has timed out.
        let _ = sender.send(outcome);
    });
    match thread {
        Ok(_) => receiver
            .await
            .unwrap_or_else(|_| Outcome::failing("the thread of the check has ended")),
        Err(error) => Outcome::failing(format!("cannot start a thread: {error}")),
    }
}

/// One run of a [blocking check](Check::blocking).
#[must_use = "futures do nothing unless polled"]
pub struct BlockingRun(Pin<Box<dyn Future<Output = Outcome> + Send>>);

impl Future for BlockingRun {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        self.0.as_mut().poll(cx)
    }
}

crate::debug::fields!(BlockingRun);
