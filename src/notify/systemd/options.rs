use std::{ffi::OsString, time::Duration};

/// What systemd is told beyond what is always told; for
/// [`Readiness::notify_systemd_with`](crate::Readiness::notify_systemd_with).
#[must_use]
#[derive(Clone, Debug, Default)]
pub struct SystemdOptions {
    pub(super) socket: Option<OsString>,
    pub(super) watchdog: Option<Duration>,
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
