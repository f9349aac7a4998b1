use super::{
    environment::Environment, error::SystemdError, messages::ExtendStart, mirror,
    options::SystemdOptions,
};
use crate::registry::{Readiness, bounded};

/// Whether systemd started this process; see [`Readiness::notify_systemd`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Systemd {
    /// `NOTIFY_SOCKET` is set: a task notifies systemd from now on.
    Present,
    /// `NOTIFY_SOCKET` is unset or empty: systemd expects no messages.
    Absent,
}

impl Readiness {
    /// Starts a task that notifies systemd of the state of the process; see the
    /// [module documentation](crate::notify::systemd).
    ///
    /// Call it once, within the runtime that the watchdog shall supervise: the
    /// task starts there. Called outside of a runtime, the task starts on the one
    /// that built the registry, or on the first that reports or probes. The runtime
    /// must have its timers enabled. If a probe of an admin listener on [its own
    /// thread](crate::server#in-the-runtime-or-on-a-thread) comes first, that thread runs
    /// the task until the first call on a runtime of the application.
    ///
    /// The task does not keep the registry alive, and ends with it. Then the pings
    /// end too, and systemd's watchdog kills the process: keep a handle until the
    /// process exits.
    ///
    /// # Errors
    ///
    /// When the environment is invalid, or this registry notifies systemd already.
    pub fn notify_systemd(&self) -> Result<Systemd, SystemdError> {
        self.notify_systemd_with(SystemdOptions::default())
    }

    /// As [`notify_systemd`](Self::notify_systemd), with options.
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
    /// When the environment or an option is invalid, or this registry notifies
    /// systemd already.
    pub fn notify_systemd_with(&self, options: SystemdOptions) -> Result<Systemd, SystemdError> {
        if let Some(ExtendStart { each, total }) = options.rules.extend_start {
            bounded("extension of the start", each)?;
            bounded("longest start", total)?;
        }
        if let Some(watchdog) = options.watchdog {
            bounded("watchdog", watchdog)?;
        }
        if let Some(timeout) = options.stop_timeout {
            bounded("stop timeout", timeout)?;
        }
        let mut environment = Environment::read();
        environment.socket = options.socket.or(environment.socket);
        let Some(sender) = environment.sender()? else {
            return Ok(Systemd::Absent);
        };
        let watchdog = match options.watchdog {
            Some(watchdog) => Some(watchdog),
            None => environment.watchdog()?,
        };
        let stop_timeout = options.stop_timeout.filter(|_| !options.rules.extend_stop);
        mirror::start(self.registry(), sender, options.rules, watchdog)?;
        if let Some(timeout) = stop_timeout {
            self.registry().drain_clock().set_stop_timeout(timeout);
        }
        Ok(Systemd::Present)
    }
}
