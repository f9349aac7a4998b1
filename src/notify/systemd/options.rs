use super::messages::{ExtendStart, Rules};
use std::{ffi::OsString, time::Duration};

/// Options of
/// [`Readiness::notify_systemd_with`](crate::Readiness::notify_systemd_with).
#[must_use]
#[derive(Clone, Debug, Default)]
pub struct SystemdOptions {
    pub(super) socket: Option<OsString>,
    pub(super) watchdog: Option<Duration>,
    pub(super) stop_timeout: Option<Duration>,
    /// Without the interval of pings, which follows from the watchdog.
    pub(super) rules: Rules,
}

impl SystemdOptions {
    /// Sets the socket of the messages, in place of `NOTIFY_SOCKET`: an absolute
    /// path, or `@` and an abstract name.
    pub fn socket(mut self, socket: impl Into<OsString>) -> Self {
        self.socket = Some(socket.into());
        self
    }

    /// Sets the time without a ping after which systemd takes the process for
    /// dead, in place of `WATCHDOG_USEC` and `WATCHDOG_PID`: 1 millisecond to a
    /// day. The task sends a ping twice in this time.
    pub fn watchdog(mut self, watchdog: Duration) -> Self {
        self.watchdog = Some(watchdog);
        self
    }

    /// Tells the process the `TimeoutStopSec=` of its unit, which systemd does not pass on:
    /// 1 millisecond to a day.
    ///
    /// A warning is logged if the [delay](crate::drain::ShutdownBuilder::delay) with its
    /// [extension](crate::drain::ShutdownBuilder::extend_up_to) and the
    /// [cap](crate::drain::ShutdownBuilder::closing_cap) take as long or longer, because
    /// systemd would kill the process while it drains. There is none if the timeout is
    /// [extended](Self::extend_stop). To keep both values in one file, set a variable in
    /// the unit (`Environment=STOP_SECONDS=30`), and pass it to this method.
    pub fn stop_timeout(mut self, timeout: Duration) -> Self {
        self.stop_timeout = Some(timeout);
        self
    }

    /// Sends `WATCHDOG=trigger` as soon as liveness turns red. (systemd then acts
    /// at once as it does on a missed ping, whether or not the unit has a
    /// `WatchdogSec=`.)
    pub fn trigger_watchdog(mut self) -> Self {
        self.rules.trigger = true;
        self
    }

    /// Extends `TimeoutStartSec=` while the start makes
    /// [progress](crate::Reporter::progress): each progress report gives the
    /// process `each` from then on, until the start has taken `total` in all.
    /// Both are 1 millisecond to a day.
    ///
    /// Only explicit progress counts, and only of subsystems that the start waits
    /// for, so that systemd still ends a start that is stuck.
    pub fn extend_start(mut self, each: Duration, total: Duration) -> Self {
        self.rules.extend_start = Some(ExtendStart { each, total });
        self
    }

    /// Extends `TimeoutStopSec=` to the longest possible drain: the
    /// [delay](crate::drain::ShutdownBuilder::delay) with its
    /// [extension](crate::drain::ShutdownBuilder::extend_up_to), and the
    /// [cap](crate::drain::ShutdownBuilder::closing_cap).
    ///
    /// Each message extends by at most 15 seconds, so that systemd kills a
    /// process that hangs while it drains within 15 seconds, or at the end of
    /// `TimeoutStopSec=` if that is later. Without a
    /// [`Shutdown`](crate::drain::Shutdown) the length of the drain is unknown,
    /// and the timeout is not extended.
    pub fn extend_stop(mut self) -> Self {
        self.rules.extend_stop = true;
        self
    }
}
