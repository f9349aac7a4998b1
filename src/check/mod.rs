//! Active checks: for what can only be asked.
//!
//! Some subsystems notice nothing by themselves: a database that is only met
//! when a request needs it, a disk that fills. A check asks them at an interval,
//! off the request path, and reports what it finds; traffic and probes answer
//! from the last result and never wait for the next.
//!
//! ```
//! use std::time::Duration;
//! use tokio::net::TcpStream;
//! use tower_readiness::{Readiness, Subsystem, check::Check};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! # let address = listener.local_addr()?;
//! let database = Subsystem::new("database")
//!     .check(Check::every(Duration::from_secs(5)), move || async move {
//!         TcpStream::connect(address).await.map(drop)
//!     });
//! let readiness = Readiness::builder().subsystem(database).build()?;
//! readiness.wait_ready().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # How it runs
//!
//! As one task, on the tokio runtime on which the registry is built; if there is
//! none yet, on the first one that a report, a request, a look at the snapshot or
//! a probe meets. The first run is at once, the second after a random part of the
//! interval, so that checks do not ask in step, and then one begins at each
//! interval; runs of a check never overlap. A check ends when its subsystem
//! retires, or the registry is dropped.
//!
//! A check cannot be moved to another runtime while it runs, for sockets and
//! timers belong to the one that they were made on. When its runtime ends, the
//! subsystem is failing (`its runtime has ended`) until the next call on another
//! runtime runs the check there. The same call takes over a check whose runtime
//! does not poll it: because no thread drives that runtime (after a second), or
//! because all of its threads are blocked by something else (once the subsystem
//! is stale). A probe on an admin listener's
//! [own thread](crate::Readiness::serve_on_thread) takes over none of the latter:
//! the check would be green while the application does not answer.
//!
//! | what happens | what it comes to |
//! |---|---|
//! | `Ok`, [`Outcome::ready`] | ready; [degraded](Outcome::degraded) if it says so |
//! | `Err`, [`Outcome::failing`] | failing, once it was found [often enough](Check::failures) in a row |
//! | it takes longer than its [timeout](Check::timeout) | its future is dropped, and that is a failure |
//! | it panics | `failing: check panicked: …`, as above; it is asked again at the next interval |
//! | it blocks its thread, so that it cannot be timed out | [stale](crate::State::Stale), by the [ttl](Subsystem::ttl) that every check has |
//!
//! A [`Reporter`](crate::Reporter) may claim the subsystem and report beside the
//! check what its owner notices in between. A result of a run that began before
//! such a report is discarded. When the reporter is dropped, that is a failure
//! until the check has succeeded [often enough](Check::successes). Both are
//! listened for together: whoever beats for it conceals a check that hangs.
//!
//! Its timers are tokio's: on a runtime on which they are not enabled, its task
//! panics.
//!
//! A future that is dropped does not end what it has begun on another thread: a
//! check by `spawn_blocking` that hangs leaves its thread behind, and the next
//! run takes another. [`Check::blocking`] calls on one thread at most.
//!
//! The same state with another reason or other attributes is published at most
//! once a second, and logged as DEBUG: an error that carries a port or an id is
//! new at each run.
//!
//! Checks ask whether something is there, and pay for it every few seconds in
//! every replica: keep them to a ping. What a reporter would notice anyway needs
//! no check. Ready-made ones for a TCP port, an HTTP upstream, a database and a
//! disk are in the [guide](crate::guide::reporters_that_cannot_lie).

mod blocking;
mod outcome;
mod runner;
mod schedule;

pub use self::{blocking::BlockingRun, outcome::Outcome, schedule::Check};
use crate::registry::Subsystem;
use std::sync::Arc;

impl Subsystem {
    /// Lets a check report for the subsystem: `ask` is asked at the intervals
    /// of `check`. See the [module documentation](crate::check).
    ///
    /// Unless told otherwise before or after, the subsystem has a
    /// [ttl](Self::ttl) of two intervals (the longest, if the check
    /// [backs off](Check::back_off_to)) and a timeout. One of less than an interval
    /// and a timeout is an error where the registry is built, for it would be over
    /// between two results of a check that is well.
    ///
    /// `ask` is called for each run, and makes a future. It is shared by all of
    /// them, so state that a run needs is cloned into it (an `Arc` of it). What
    /// the future returns is anything that is an [`Outcome`]: a `Result<(), E>`, a
    /// `Result<Outcome, E>` or an outcome itself, the error being shown as the
    /// reason.
    #[cfg_attr(docsrs, doc(cfg(feature = "check")))]
    pub fn check<A, F>(self, check: Check, ask: A) -> Self
    where
        A: Fn() -> F + Send + Sync + 'static,
        F: Future<Output: Into<Outcome>> + Send + 'static,
    {
        let ask: runner::Ask = Arc::new(move || {
            let answer = ask();
            Box::pin(async move { answer.await.into() })
        });
        let (speaks_within, hangs_after) = (check.speaks_within(), check.hangs_after());
        let start = check.schedule().map(|schedule| {
            let start: crate::registry::Check =
                Arc::new(move |voice| Box::pin(runner::run(voice, schedule, Arc::clone(&ask))));
            start
        });
        self.with_check(speaks_within, hangs_after, start)
    }
}
