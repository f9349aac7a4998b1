//! Tells systemd how the process is.
//!
//! [`Readiness::notify_systemd`](crate::Readiness::notify_systemd) starts a task
//! that mirrors the snapshot to the service manager, and does nothing where
//! there is none:
//!
//! ```
//! use tower_readiness::{Readiness, Subsystem, notify::systemd::Systemd};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let readiness = Readiness::builder()
//!     .subsystem(Subsystem::new("storage"))
//!     .build()?;
//! if readiness.notify_systemd()? == Systemd::Absent {
//!     println!("started by hand");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! ```ini
//! [Service]
//! Type=notify
//! ExecStart=/usr/local/bin/app
//! WatchdogSec=20
//! Restart=on-failure
//! # More than the drain's delay and cap together, and the second after them.
//! TimeoutStopSec=30
//! ```
//!
//! `ExecReload=kill -HUP $MAINPID` is for a program that handles SIGHUP: the signal
//! ends any other, and nothing drains.
//!
//! # What is told
//!
//! | | when |
//! |---|---|
//! | `READY=1` | once, when the process has started: every required subsystem was up at the same moment. `systemctl start` and units ordered after this one wait for it |
//! | `STATUS=` | whenever it changes, for `systemctl status`, at most ten times a second |
//! | `RELOADING=1` | when a [reload](crate::Readiness::reloading) begins; `READY=1` when it is over |
//! | `STOPPING=1` | once, when the *process* drains, whoever told it to; a subsystem that retires or dies never means that |
//! | `WATCHDOG=1` | twice in `WatchdogSec=`, while liveness is green |
//! | `WATCHDOG=trigger` | when liveness turns red, [if asked for](SystemdOptions::trigger_watchdog) |
//! | `EXTEND_TIMEOUT_USEC=` | while starting and stopping, [if](SystemdOptions::extend_start) [asked for](SystemdOptions::extend_stop) |
//!
//! A failing process is not ready, and systemd has no word for that: it is told
//! in the status, and nothing is restarted. What restarts a process is a vital
//! subsystem that is dead, and a runtime that hangs: the task that sends the
//! pings runs on the runtime, so it hangs with it.
//!
//! The status is one line, as short as it can be:
//!
//! ```text
//! starting 2/4: storage (starting: replaying its log), authorize (never reported)
//! ready
//! degraded: cache (connection refused)
//! not ready: storage (connection refused), 12 s
//! draining, 17 in flight
//! ```
//!
//! # What can go wrong
//!
//! Nothing that happens to the socket hurts the process or blocks its runtime.
//! What could not be sent, because systemd does not keep up or its socket is
//! gone, is tried again, at intervals from 50 milliseconds to 2 seconds, as what
//! is true by then; a warning is logged the first time. An environment that
//! makes no sense is an [error](SystemdError) at once.
//!
//! # Restarts that lose nothing
//!
//! With a socket unit (`ListenStream=`) the listening socket outlives the
//! process: what connects while a new one comes up waits in the kernel, and a
//! [hold](crate::Action::hold) takes over what arrives before it is ready. No
//! load balancer has to notice anything, so half a second of
//! [delay](crate::drain::ShutdownBuilder::delay) is enough. It is there for
//! connections that were accepted and have not sent their request yet, which the
//! server closes when it is told to stop. The listener is to accept none from the
//! moment on that the process [drains](crate::Readiness::draining), and leave
//! them to the next one: the examples `systemd` and `deploy` do so.

mod environment;
mod error;
mod mirror;
mod options;
mod protocol;
mod sender;
mod status;
mod tell;

pub use self::{error::SystemdError, options::SystemdOptions, tell::Systemd};
