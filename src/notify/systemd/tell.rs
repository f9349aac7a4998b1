use super::{
    environment::Environment,
    error::SystemdError,
    mirror,
    options::{ExtendStart, SystemdOptions},
};
use crate::registry::{Readiness, bounded};

/// Whether there is a systemd to tell; see [`Readiness::notify_systemd`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Systemd {
    /// It is told from now on.
    Present,
    /// `NOTIFY_SOCKET` is unset or empty: nobody waits to be told.
    Absent,
}

impl Readiness {
    /// Tells systemd how the process is, from now on: see the
    /// [module documentation](crate::notify::systemd).
    ///
    /// Call it once, within the runtime whose hanging is to be noticed by the
    /// watchdog: the task that tells starts there. Called outside of one, it
    /// starts where the registry was built, or on the first runtime that reports
    /// or asks. It needs a runtime whose timers are enabled.
    ///
    /// It does not keep the registry alive, and ends with it. Then the watchdog
    /// is not pinged any more and has the process killed, so keep a handle for as
    /// long as the process shall live.
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
        mirror::start(self.registry(), sender, &options, watchdog)?;
        Ok(Systemd::Present)
    }
}
