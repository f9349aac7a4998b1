//! Active checks: functions that run at an interval and report the state of a
//! subsystem.
//!
//! Some subsystems notice no failure by themselves: a database that is used
//! only when a request needs it, a disk that fills. A check asks them at an
//! interval, off the request path, and reports the result; traffic and probes
//! answer from the last result and never wait for the next.
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
//! A check is one task, on the tokio runtime on which the registry is built; if
//! there is none yet, on the first runtime on which a report, a request, a read
//! of the snapshot or a probe takes place. The first run is at once, the second
//! after a random part of the interval, so that checks do not run in step, and
//! then one begins at each interval; runs of a check never overlap. Until the
//! subsystem has been up for the first time, the waits are shorter: 250 ms, twice
//! that after each failure up to the interval, and the half of each at random, so
//! that the start of the process does not wait for an interval. A
//! registry can [limit](crate::Builder::checks_at_once) how many run at once. A check
//! ends when its subsystem retires, or the registry is dropped.
//!
//! A check cannot move to another runtime while it runs, because sockets and
//! timers belong to the runtime that made them. When its runtime ends, the
//! subsystem is failing (`its runtime has ended`) until the next call on
//! another runtime runs the check there. The same call takes over a check whose
//! runtime does not poll it, because no thread drives that runtime, or because all of
//! its threads are blocked by something else: a second after the start of the check if
//! it was never polled, and otherwise once its ttl has passed without a result. (Before
//! its first result, that makes no subsystem stale.) A probe on an admin listener's
//! [own thread](crate::Readiness::serve_on_thread) takes over no check whose threads
//! are blocked: the check would be green while the application does not answer. If such
//! a probe comes before the first call on a runtime of the application, it starts the
//! checks on the thread of the listener, where a run that blocks delays probes. That
//! first call moves them.
//!
//! | event | result |
//! |---|---|
//! | `Ok`, [`Outcome::ready`] | ready, or [degraded](Outcome::degraded) for that outcome |
//! | `Err`, [`Outcome::failing`] | failing, once it came [often enough](Check::failures) in a row |
//! | the run takes longer than its [timeout](Check::timeout) | its future is dropped, and the run has failed |
//! | the run panics | `failing: check panicked: …`, as above; the next run begins at the next interval |
//! | the run blocks its thread, so that its timeout has no effect | [stale](crate::State::Stale), by the [ttl](Subsystem::ttl) that every check has |
//!
//! A [`CheckHandle`] lets the check run at once after an event, and counts the
//! outcomes of the application's own calls as results, so that a busy dependency
//! is not asked.
//!
//! A [`Reporter`](crate::Reporter) may claim the subsystem and report beside
//! the check. A report that changes the state or the reason discards the result
//! of a run that began before it. A report that repeats the last one discards
//! none: a reporter that repeats itself more often than a run takes would conceal
//! the failures that the check finds. The drop of the reporter is a failure until
//! the check has succeeded [often enough](Check::successes). The ttl counts
//! reports and heartbeats of both: a reporter that sends heartbeats conceals a
//! check that hangs.
//!
//! Checks use tokio's timers: on a runtime whose timers are not enabled, the
//! task panics.
//!
//! Dropping a future does not end its work on another thread: a check by
//! `spawn_blocking` that hangs leaves its thread behind, and the next run takes
//! another. [`Check::blocking`] takes one thread at most.
//!
//! The same state with another reason or other attributes is published at most
//! once a second, and logged as DEBUG, because an error that carries a port or
//! an id is new at each run.
//!
//! Every replica runs its checks every few seconds: keep them to a ping. A
//! failure that a reporter notices anyway needs no check. Ready-made checks of
//! a TCP port, an HTTP upstream, a database and a disk are in the
//! [guide](crate::guide::reporters_that_cannot_lie).

mod blocking;
mod handle;
mod outcome;
mod runner;
mod schedule;

pub use self::{
    blocking::BlockingRun,
    handle::{CheckHandle, CheckHandleError},
    outcome::Outcome,
    schedule::Check,
};
use crate::registry::Subsystem;
use std::sync::Arc;

impl Subsystem {
    /// Adds a check that reports for the subsystem: `ask` is called at the
    /// intervals of `check`. See the [module documentation](crate::check).
    ///
    /// Unless set before or after, the subsystem has a [ttl](Self::ttl) of two
    /// intervals (the longest, if the check [backs off](Check::back_off_to))
    /// and a timeout. A ttl of less than an interval and a timeout is an error
    /// where the registry is built, because it would expire between two results
    /// of a healthy check.
    ///
    /// `ask` is called for each run, and returns a future. All runs share
    /// `ask`, so clone the state that a run needs into the future (or an `Arc`
    /// of it). The future returns any type that converts into an [`Outcome`]: a
    /// `Result<(), E>`, a `Result<Outcome, E>` or an outcome itself. An error
    /// is shown as the reason.
    pub fn check<A, F>(self, check: Check, ask: A) -> Self
    where
        A: Fn() -> F + Send + Sync + 'static,
        F: Future<Output: Into<Outcome>> + Send + 'static,
    {
        let ask: runner::Ask = Arc::new(move || {
            let run = ask();
            Box::pin(async move { run.await.into() })
        });
        let (result_within, hangs_after) = (check.result_within(), check.hangs_after());
        let start = check.schedule().map(|schedule| crate::registry::Check {
            thresholds: schedule.thresholds,
            start: Arc::new(move |handle, control| {
                Box::pin(runner::run(handle, control, schedule, Arc::clone(&ask)))
            }),
        });
        self.with_check(result_within, hangs_after, start)
    }
}
