use super::{Check, Outcome, runner::panicked};
use std::{
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    thread,
};
use tokio::sync::{Semaphore, oneshot};

impl Check {
    /// Makes a check of a call that may block its thread: of a disk, of a name
    /// that is looked up, of a library without `async`.
    ///
    /// Each run calls `ask` on a thread of its own, `readiness-check`, and at most
    /// one such call goes on at any time. A call cannot be ended: one that takes
    /// longer than the [timeout](Self::timeout) has failed, and the runs after it
    /// wait for its end, and fail as well, before one of them calls again. So a
    /// call that hangs takes one thread and no more, where
    /// [`spawn_blocking`](tokio::task::spawn_blocking) would take another one at
    /// each run, and would keep the runtime from ending.
    ///
    /// A panic of `ask` is a failure, and so is it when the system has no thread
    /// to give. A clock of tokio's that a test has paused does not wait for the
    /// thread.
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

/// Calls once the last call has ended.
async fn call<A>(calls: Arc<Semaphore>, ask: Arc<A>) -> Outcome
where
    A: Fn() -> Outcome + Send + Sync + 'static,
{
    let Ok(permit) = calls.acquire_owned().await else {
        return Outcome::failing("the check has ended");
    };
    let (tell, told) = oneshot::channel();
    // The application's code runs on it, so what that traces reaches its subscriber.
    let thread = thread::Builder::new().name("readiness-check".to_owned());
    let thread = thread.spawn(move || {
        let called = catch_unwind(AssertUnwindSafe(|| ask()));
        let outcome = called.unwrap_or_else(|panic| panicked(&*panic));
        // What `ask` owns may block in its drop as well.
        drop(ask);
        drop(permit);
        // A run that has timed out does not listen any more.
        let _ = tell.send(outcome);
    });
    match thread {
        Ok(_) => told
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

impl fmt::Debug for BlockingRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockingRun").finish_non_exhaustive()
    }
}
