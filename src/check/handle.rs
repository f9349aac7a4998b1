use super::{Outcome, runner::report};
use crate::{
    registry::{CheckControl, Readiness, SubsystemHandle, UnknownSubsystem},
    state::SubsystemView,
};
use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
};
use thiserror::Error;

/// Why there is no handle of a check.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum CheckHandleError {
    /// No subsystem has this name, or it has retired.
    #[error(transparent)]
    Unknown(#[from] UnknownSubsystem),
    /// The subsystem has no check.
    #[error("subsystem {name:?} has no check; add one with `Subsystem::check`")]
    Unchecked {
        /// The name of the subsystem.
        name: String,
    },
}

impl Readiness {
    /// Returns a handle of the check of the subsystem `name`.
    ///
    /// # Errors
    ///
    /// When there is no such subsystem, or it has no check.
    pub fn check_handle(&self, name: &str) -> Result<CheckHandle, CheckHandleError> {
        let found = self.check_of(name)?;
        let (handle, control) = found.ok_or_else(|| CheckHandleError::Unchecked {
            name: name.to_owned(),
        })?;
        Ok(CheckHandle { handle, control })
    }
}

/// Tells a check what the application knows; see [`Readiness::check_handle`].
///
/// A handle does not keep the registry open, and has no effect once the subsystem has
/// retired.
///
/// ```
/// # use std::time::Duration;
/// # use tower_readiness::{Readiness, Subsystem, check::Check};
/// # async fn ping() -> Result<(), std::io::Error> { Ok(()) }
/// # async fn query() -> Result<u32, std::io::Error> { Ok(3) }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let database = Subsystem::new("database").check(Check::every(Duration::from_secs(5)), ping);
/// let readiness = Readiness::builder().subsystem(database).build()?;
///
/// // Beside each call, so that a busy database is not asked.
/// let database = readiness.check_handle("database")?;
/// let rows = query().await;
/// database.report_outcome(rows.as_ref().map(drop));
///
/// // After an event, such as a message that the address has changed.
/// database.ask_now();
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct CheckHandle {
    handle: SubsystemHandle,
    control: Arc<CheckControl>,
}

impl CheckHandle {
    /// Runs the check as soon as possible: at once, or after the run that goes on, and 100
    /// ms after the start of the last run at the earliest. Several calls before that run
    /// count as one.
    ///
    /// Returns at once, and needs no runtime.
    pub fn ask_now(&self) {
        self.control.ask();
        self.handle.start_background();
    }

    /// Counts the outcome of a call of the application as a result of the check, damped by
    /// the same [thresholds](super::Check::failures). If the outcome is up, and the
    /// subsystem still is when the next run is due, the check skips that run, so that a
    /// dependency in use is not asked.
    ///
    /// An outcome that repeats the last one publishes nothing, so a call beside each
    /// request is cheap. Report only failures of the dependency, and not those that the
    /// request itself causes.
    pub fn report_outcome(&self, outcome: impl Into<Outcome>) {
        let outcome = outcome.into();
        self.handle.start_background();
        let Some(pushes) = self.handle.read(SubsystemView::pushes) else {
            return;
        };
        self.control
            .was_up
            .store(outcome.state.is_up(), Ordering::Relaxed);
        report(&self.handle, &self.control, &outcome, |view| {
            view.pushes() == pushes
        });
    }
}

impl fmt::Debug for CheckHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.handle.read(|view| view.name().to_owned());
        f.debug_tuple("CheckHandle").field(&name).finish()
    }
}
