use super::{environment::Environment, error::SystemdError, mirror};
use crate::report::{Readiness, bounded};
use std::{ffi::OsString, time::Duration};

/// Whether there is a systemd to tell; see [`Readiness::notify_systemd`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Systemd {
    /// It is told from now on.
    Present,
    /// `NOTIFY_SOCKET` is unset or empty: nobody waits to be told.
    Absent,
}

/// What systemd is told beyond what is always told; for
/// [`Readiness::notify_systemd_with`].
#[must_use]
#[derive(Clone, Debug, Default)]
pub struct SystemdOptions {
    socket: Option<OsString>,
    watchdog: Option<Duration>,
    pub(super) trigger: bool,
    pub(super) extend_start: Option<ExtendStart>,
    pub(super) extend_stop: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct ExtendStart {
    pub(super) each: Duration,
    pub(super) total: Duration,
}

impl SystemdOptions {
    /// The socket to tell, instead of the one that `NOTIFY_SOCKET` names: an
    /// absolute path, or `@` and an abstract name.
    pub fn socket(self, socket: impl Into<OsString>) -> Self {
        Self {
            socket: Some(socket.into()),
            ..self
        }
    }

    /// The time after which systemd takes the process for dead if there was no
    /// ping, instead of what `WATCHDOG_USEC` and `WATCHDOG_PID` say: 1
    /// millisecond to a day. The pings are twice as frequent.
    pub fn watchdog(self, watchdog: Duration) -> Self {
        Self {
            watchdog: Some(watchdog),
            ..self
        }
    }

    /// Asks for a restart as soon as liveness turns red, instead of waiting
    /// until the pings are missed. (systemd then acts as it does on a missed
    /// ping, whether or not the unit has a `WatchdogSec=`.)
    pub fn trigger_watchdog(self) -> Self {
        Self {
            trigger: true,
            ..self
        }
    }

    /// Extends `TimeoutStartSec=` while the start makes
    /// [progress](crate::Reporter::progress): each report of it gives the
    /// process `each` from then on, until it has taken `total` in all. Both 1
    /// millisecond to a day.
    ///
    /// Only explicit progress counts, of a subsystem that the start waits for,
    /// so that one that is stuck is still found.
    pub fn extend_start(self, each: Duration, total: Duration) -> Self {
        Self {
            extend_start: Some(ExtendStart { each, total }),
            ..self
        }
    }

    /// Extends `TimeoutStopSec=` to what the drain takes at most: its
    /// [delay](crate::drain::ShutdownBuilder::delay), as far as that is
    /// [extended](crate::drain::ShutdownBuilder::extend_up_to), and its
    /// [cap](crate::drain::ShutdownBuilder::closing_cap).
    ///
    /// Asked for bit by bit, so that a process that hangs while it drains is
    /// killed within 15 seconds, or when `TimeoutStopSec=` is over if that is
    /// later. Without a [`Shutdown`](crate::drain::Shutdown) there is no telling
    /// how long it takes, and nothing is extended.
    pub fn extend_stop(self) -> Self {
        Self {
            extend_stop: true,
            ..self
        }
    }
}

impl Readiness {
    /// Tells systemd how the process is, from now on: see the
    /// [module documentation](crate::notify::systemd).
    ///
    /// Call it once, within the runtime whose hanging is to be noticed by the
    /// watchdog: the task that tells starts there. Called outside of one, it
    /// starts on the first runtime that reports or asks. It needs a runtime whose
    /// timers are enabled, does not keep the registry alive, and ends with it.
    ///
    /// # Errors
    ///
    /// When the environment makes no sense, or systemd is told already.
    pub fn notify_systemd(&self) -> Result<Systemd, SystemdError> {
        self.notify_systemd_with(SystemdOptions::default())
    }

    /// As [`notify_systemd`](Self::notify_systemd), and more.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tower_readiness::{Readiness, Subsystem, notify::systemd::SystemdOptions};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let readiness = Readiness::builder().subsystem(Subsystem::new("storage")).build()?;
    /// let options = SystemdOptions::default()
    ///     .extend_start(Duration::from_secs(30), Duration::from_secs(600))
    ///     .extend_stop();
    /// readiness.notify_systemd_with(options)?;
    ///
    /// let storage = readiness.reporter("storage")?;
    /// for part in ["log", "index"] {
    ///     storage.progress(format!("reading its {part}")); // 30 more seconds
    /// }
    /// storage.ready();
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// When the environment or an option makes no sense, or systemd is told
    /// already.
    pub fn notify_systemd_with(&self, options: SystemdOptions) -> Result<Systemd, SystemdError> {
        if let Some(ExtendStart { each, total }) = options.extend_start {
            bounded("extension of the start", each)?;
            bounded("longest start", total)?;
        }
        if let Some(watchdog) = options.watchdog {
            bounded("watchdog", watchdog)?;
        }
        let mut environment = Environment::of_process();
        if let Some(socket) = &options.socket {
            environment.socket = Some(socket.clone());
        }
        let Some(sender) = environment.sender()? else {
            return Ok(Systemd::Absent);
        };
        let watchdog = match options.watchdog {
            Some(watchdog) => Some(watchdog),
            None => environment.watchdog()?,
        };
        mirror::start(self.core(), sender, &options, watchdog)?;
        Ok(Systemd::Present)
    }
}
