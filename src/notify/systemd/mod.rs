//! Notifies systemd of the state of the process.
//!
//! [`Readiness::notify_systemd`](crate::Readiness::notify_systemd) starts a task
//! that mirrors the snapshot to the service manager. Outside of a systemd service
//! it does nothing:
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
//! systemd does not pass `TimeoutStopSec=` on. A process that is told of it by
//! [`SystemdOptions::stop_timeout`] logs a warning if its drain may take longer.
//!
//! `ExecReload=kill -HUP $MAINPID` is for a program that handles SIGHUP: the signal
//! kills any other program without a drain.
//!
//! # Messages
//!
//! | | when |
//! |---|---|
//! | `READY=1` | once, when the process has started: every required subsystem was up at the same moment. `systemctl start` and units ordered after this one wait for it |
//! | `STATUS=` | when the status line changes, for `systemctl status`, at most ten times a second |
//! | `RELOADING=1` | when a [reload](crate::Readiness::reloading) begins; `READY=1` when it is over |
//! | `STOPPING=1` | once, when the *process* begins to drain; never because a subsystem retires or dies |
//! | `WATCHDOG=1` | twice in `WatchdogSec=`, while liveness is green |
//! | `WATCHDOG=trigger` | when liveness turns red, [if enabled](SystemdOptions::trigger_watchdog) |
//! | `EXTEND_TIMEOUT_USEC=` | while starting and stopping, [if](SystemdOptions::extend_start) [enabled](SystemdOptions::extend_stop) |
//!
//! systemd has no state for a process that has started and is not ready: the
//! status line shows it, and systemd does not restart the process. A missing ping
//! makes systemd restart the process: when a vital subsystem is dead, and when
//! the runtime hangs, because the task that sends the pings runs on it.
//!
//! The status is one short line:
//!
//! ```text
//! starting 2/4: storage (starting: replaying its log), authorize (never reported)
//! ready
//! degraded: cache (connection refused)
//! not ready: storage (connection refused), 12s
//! draining, 17 in flight
//! ```
//!
//! # Failures
//!
//! A failure of the socket never ends the process or blocks its runtime. If a
//! message cannot be sent, because systemd does not keep up or its socket is
//! gone, the task retries at intervals from 50 milliseconds to 2 seconds, each
//! time with the current state; it logs a warning for the first failure only. An
//! invalid environment is an [error](SystemdError) of the call.
//!
//! # Restarts that lose nothing
//!
//! With a socket unit (`ListenStream=`) the listening socket outlives the
//! process: connections wait in the kernel while a new process starts, and a
//! [hold](crate::Action::hold) keeps requests that arrive before it is ready. No
//! load balancer has to notice the restart, so half a second of
//! [delay](crate::drain::ShutdownBuilder::delay) is enough. In this time,
//! accepted connections can still send their request, before the server closes
//! them. When the process [drains](crate::Readiness::draining), stop accepting
//! and leave new connections to the next process: the examples `systemd` and
//! `deploy` do so.

mod environment;
mod error;
mod messages;
mod mirror;
mod notify;
mod options;
mod sender;
mod status;

#[cfg(any(fuzzing, all(test, unix, feature = "full")))]
pub(crate) use self::status::status_text;
pub use self::{error::SystemdError, notify::Systemd, options::SystemdOptions};
