#[cfg(feature = "check")]
use super::{background::Running, check_control::CheckControl, handle::SubsystemHandle};
use super::{
    error::{DeclareError, SettingError},
    setting::bounded,
};
#[cfg(feature = "check")]
use crate::state::Thresholds;
use crate::state::{Declaration, Membership, Role, SubsystemMeters};
#[cfg(feature = "check")]
use std::panic::AssertUnwindSafe;
use std::{fmt, sync::Arc, time::Duration};

/// The declaration of a subsystem: a part of the process that reports its own
/// state.
///
/// A subsystem is required unless another role is chosen; the last call that sets
/// a role wins.
///
/// ```
/// use tower_readiness::Subsystem;
///
/// Subsystem::new("listener"); // the process cannot serve without it
/// Subsystem::new("database").shared(); // every replica depends on the same one
/// Subsystem::new("cache").optional(); // nice to have
/// Subsystem::new("last-backup").informative(); // shows, and never counts
/// Subsystem::new("event-loop").vital(); // if it dies, restart the process
/// ```
#[must_use = "a subsystem has to be declared or added"]
#[derive(Clone)]
pub struct Subsystem {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) vital: bool,
    ttl: Option<Duration>,
    hold_down: Option<Duration>,
    ready_within: Option<Duration>,
    pub(crate) check: Option<Check>,
    /// The longest time between two results of its check.
    reports_within: Option<Duration>,
    /// The ttl by which a check that hangs is found, if no other is set.
    hangs_after: Option<Duration>,
    /// Why there is no check although one was set.
    invalid_check: Option<SettingError>,
}

/// A check of a subsystem.
#[cfg(feature = "check")]
#[derive(Clone)]
pub(crate) struct Check {
    pub(crate) thresholds: Thresholds,
    /// Starts the task that reports.
    pub(crate) start: Arc<dyn Fn(SubsystemHandle, Arc<CheckControl>) -> Running + Send + Sync>,
}
#[cfg(not(feature = "check"))]
pub(crate) type Check = std::convert::Infallible;

impl Subsystem {
    /// Declares a [required](Role::Required) subsystem.
    ///
    /// The name is 1 to 128 of `A-Z a-z 0-9 . _ - : [ ]`, so an address with a port
    /// is a valid name. [`Builder::build`](crate::Builder::build) and
    /// [`Readiness::add`](crate::Readiness::add) check it.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            role: Role::Required,
            vital: false,
            ttl: None,
            hold_down: None,
            ready_within: None,
            check: None,
            reports_within: None,
            hangs_after: None,
            invalid_check: None,
        }
    }

    /// Sets the role [`Role::Shared`].
    pub fn shared(mut self) -> Self {
        (self.role, self.vital) = (Role::Shared, false);
        self
    }

    /// Sets the role [`Role::Optional`].
    pub fn optional(mut self) -> Self {
        (self.role, self.vital) = (Role::Optional, false);
        self
    }

    /// Sets the role [`Role::Informative`]: for a state that operators want to see and that
    /// says nothing about whether the process can serve.
    pub fn informative(mut self) -> Self {
        (self.role, self.vital) = (Role::Informative, false);
        self
    }

    /// Makes the subsystem required and vital: while it is
    /// [dead](crate::State::Dead) or [stale](crate::State::Stale), liveness is red
    /// and a supervisor restarts the process. Only vital subsystems make liveness
    /// red.
    ///
    /// Use it for a part of the process that only a restart repairs, never for a
    /// dependency outside the process.
    pub fn vital(mut self) -> Self {
        (self.role, self.vital) = (Role::Required, true);
        self
    }

    /// Makes the subsystem [stale](crate::State::Stale) if its reporter neither
    /// reports nor sends a [heartbeat](crate::Reporter::heartbeat) for `ttl`. Stale
    /// counts as failing, and as dead if the subsystem is [vital](Self::vital). The
    /// next heartbeat or report ends it.
    ///
    /// From 1 millisecond to a day. The time runs from the first report on. Choose
    /// a small multiple of the interval at which the subsystem reports. (A
    /// subsystem with a check needs at least the check's interval plus its
    /// timeout.) The timer reads the heartbeat counter four times in a ttl, and a
    /// heartbeat counts from that reading, so the subsystem becomes stale after
    /// `ttl` to 1.25 × `ttl`.
    ///
    /// If the timer itself was late by the real clock (the process was stopped),
    /// that time does not count, and each subsystem gets one more `ttl`, once until
    /// its next heartbeat. A test that pauses tokio's clock and advances it does not
    /// make the timer late. While the process drains, no subsystem becomes stale,
    /// since tasks then end in any order.
    ///
    /// A task publishes the change. It starts on the tokio runtime on which the
    /// registry is built, or else on the first runtime on which the registry is
    /// used, and again on the next if that runtime ends. A probe that comes first
    /// publishes the change itself. Without a runtime, or while its threads are
    /// blocked, a thread of the crate publishes the change a quarter of a second
    /// later. (This thread uses the real clock, so it skips a registry that has met
    /// a paused one. A forked child process does not have the thread.)
    ///
    /// # Panics
    ///
    /// The task panics on a runtime whose timers are not enabled.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Damps reports: a subsystem that was up counts as down only after it has been
    /// down for this long without a break. Until then the report is only
    /// [shown](crate::SubsystemView::damped).
    ///
    /// From 1 millisecond to a day. Use it for a part that flaps, such as a link
    /// that reconnects by itself, or a leader election. The first time up,
    /// [`dead`](crate::Reporter::dead), a dropped reporter, a passed
    /// [ttl](Self::ttl) and the draining of the process take effect at once. (A
    /// number of reports instead of a time could stay ready for ever, since a
    /// reporter need not repeat its report.) Results of checks have their own
    /// thresholds.
    pub fn hold_down(mut self, time: Duration) -> Self {
        self.hold_down = Some(time);
        self
    }

    /// Limits how long a subsystem that is [added while the process
    /// runs](crate::Readiness::add) is
    /// [pending](crate::SubsystemView::is_pending). Afterwards it counts like any
    /// other, up or not. There is no limit by default. While the process drains, it remains
    /// pending.
    ///
    /// From 1 millisecond to a day. A subsystem of the
    /// [builder](crate::Builder::subsystem) is never pending, since the start waits
    /// for it.
    pub fn ready_within(mut self, time: Duration) -> Self {
        self.ready_within = Some(time);
        self
    }

    #[cfg(feature = "check")]
    pub(crate) fn with_check(
        mut self,
        reports_within: Duration,
        hangs_after: Duration,
        check: Result<Check, SettingError>,
    ) -> Self {
        self.reports_within = Some(reports_within);
        self.hangs_after = Some(hangs_after);
        self.check = check.as_ref().ok().cloned();
        self.invalid_check = check.err();
        self
    }

    /// The ttl, which a subsystem with a check always has: a check that blocks its
    /// thread cannot be timed out, but its missing heartbeat is found.
    fn ttl_or_default(&self) -> Option<Duration> {
        self.ttl.or(self.hangs_after)
    }

    pub(crate) fn validate(&self) -> Result<(), DeclareError> {
        let checked = self.check_settings();
        checked.map_err(|source| self.invalid(source))
    }

    pub(super) fn invalid(&self, source: SettingError) -> DeclareError {
        let name = self.name.clone();
        DeclareError::Setting { name, source }
    }

    fn check_settings(&self) -> Result<(), SettingError> {
        for (what, given) in [
            ("ttl", self.ttl),
            ("hold-down", self.hold_down),
            ("time to become ready", self.ready_within),
        ] {
            given.map(|given| bounded(what, given)).transpose()?;
        }
        if let Some(error) = &self.invalid_check {
            return Err(error.clone());
        }
        match (self.ttl, self.reports_within) {
            (Some(ttl), Some(slowest)) if ttl < slowest => {
                Err(SettingError::ShortTtl { ttl, slowest })
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn declare(&self, at_build: bool, scopes: Vec<usize>) -> Membership {
        let declaration = Declaration {
            name: self.name.as_str().into(),
            at_build,
            awaited: at_build && self.role == Role::Required,
            ttl: self.ttl_or_default(),
            hold_down: self.hold_down,
            ready_within: self.ready_within,
            #[cfg(feature = "check")]
            check: self
                .check
                .as_ref()
                .map(|check| AssertUnwindSafe(Arc::new(CheckControl::new(check.thresholds)) as _)),
            #[cfg(not(feature = "check"))]
            check: None,
            meters: SubsystemMeters::default(),
        };
        Membership {
            declaration: Arc::new(declaration),
            role: self.role,
            vital: self.vital,
            scopes: scopes.into(),
        }
    }
}

impl fmt::Debug for Subsystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subsystem")
            .field("name", &self.name)
            .field("role", &self.role)
            .field("vital", &self.vital)
            .field("ttl", &self.ttl_or_default())
            .field("hold_down", &self.hold_down)
            .field("ready_within", &self.ready_within)
            .field("checked", &self.check.is_some())
            .finish()
    }
}
