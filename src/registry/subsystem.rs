use super::{background::Running, error::SettingError, handle::SubsystemHandle};
use crate::state::{Declaration, Role};
use std::{fmt, sync::Arc, time::Duration};

/// A part of the process that reports for itself, as declared.
///
/// Required unless another role is chosen; the role chosen last holds.
///
/// ```
/// use tower_readiness::Subsystem;
///
/// Subsystem::new("listener"); // the process cannot serve without it
/// Subsystem::new("database").shared(); // every replica depends on the same one
/// Subsystem::new("cache").optional(); // nice to have
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
    /// What its check takes at most from one result to the next.
    reports_within: Option<Duration>,
    /// The silence that shows that its check hangs.
    hangs_after: Option<Duration>,
    /// Said once it is put to use, like a bad name.
    error: Option<SettingError>,
}

/// Begins the task that reports for a subsystem.
pub(crate) type Check = Arc<dyn Fn(SubsystemHandle) -> Running + Send + Sync>;

/// tokio's timers tell no less than a millisecond apart, and what takes longer
/// than a day is nobody's business any more.
const BOUNDS: [Duration; 2] = [Duration::from_millis(1), Duration::from_secs(24 * 60 * 60)];

pub(crate) fn bounded(what: &'static str, given: Duration) -> Result<Duration, SettingError> {
    bounded_from(BOUNDS[0], what, given)
}

/// The same, for what has to be longer.
pub(crate) fn bounded_from(
    least: Duration,
    what: &'static str,
    given: Duration,
) -> Result<Duration, SettingError> {
    let most = BOUNDS[1];
    if (least..=most).contains(&given) {
        Ok(given)
    } else {
        Err(SettingError::OutOfBounds {
            what,
            given,
            least,
            most,
        })
    }
}

impl Subsystem {
    /// A [required](Role::Required) subsystem.
    ///
    /// The name is 1 to 128 of `A-Z a-z 0-9 . _ - : [ ]`, so that an address with
    /// a port is one; it is checked where the subsystem is put to use.
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
            error: None,
        }
    }

    /// Gives it the role [`Role::Shared`].
    pub fn shared(self) -> Self {
        Self {
            role: Role::Shared,
            vital: false,
            ..self
        }
    }

    /// Gives it the role [`Role::Optional`].
    pub fn optional(self) -> Self {
        Self {
            role: Role::Optional,
            vital: false,
            ..self
        }
    }

    /// Makes it required, and more: while it is [dead](crate::State::Dead) or
    /// [stale](crate::State::Stale) liveness is red, so a supervisor restarts
    /// the process. Nothing else makes liveness red.
    ///
    /// For what a restart mends and nothing else does. Never for something
    /// outside the process.
    pub fn vital(self) -> Self {
        Self {
            role: Role::Required,
            vital: true,
            ..self
        }
    }

    /// Lets silence count: if its reporter neither reports nor
    /// [beats](crate::Reporter::heartbeat) for `ttl`, the subsystem is
    /// [stale](crate::State::Stale), which counts as failing, and as dead where
    /// it is [vital](Self::vital). The next sign of life ends it.
    ///
    /// From 1 millisecond to a day. The time runs from the first report on.
    /// Choose a small multiple of the interval at which the subsystem speaks. (One
    /// that has a check speaks within its interval and its timeout, and may not
    /// have less than that.) A heartbeat is looked for four times in that time and
    /// counts from when it was seen, so that silence is found after `ttl` to
    /// 1.25 × `ttl`.
    ///
    /// If the task that looks was itself held up by the real clock (the process
    /// was stopped), that time does not count, and each subsystem gets one more
    /// `ttl`, once in a silence. A clock of tokio's that a test has paused and
    /// moved ahead is no such stop. While the process drains silence says
    /// nothing, for tasks end in any order then.
    ///
    /// It is published by a task that starts on the tokio runtime on which the
    /// registry is built, or else the first that is met, and again on the next
    /// should that runtime end; a probe that notices first does so by itself.
    /// Where no runtime is, or its threads are blocked, a thread of the crate's
    /// own publishes it a quarter of a second later. (It goes by the real clock,
    /// so it leaves a registry alone that has met a paused one. A child process
    /// that was forked is without it.)
    ///
    /// # Panics
    ///
    /// That task does, on a runtime whose timers are not enabled.
    pub fn ttl(self, ttl: Duration) -> Self {
        let (ttl, this) = self.take(bounded("ttl", ttl));
        Self { ttl, ..this }
    }

    /// Damps reports: once up, the subsystem counts as down only when it has
    /// been down for this long without a break. Until then the report is
    /// [shown](crate::SubsystemView::damped) and nothing more.
    ///
    /// From 1 millisecond to a day. For what flaps: a link that reconnects by
    /// itself, a leader election. Never held down are the first time that it is
    /// up, [`dead`](crate::Reporter::dead), a dropped reporter, silence, and
    /// the draining of the process. (A number of reports instead of a time
    /// could stay green for ever, for nobody has to report twice.) Results of
    /// checks have thresholds of their own.
    pub fn hold_down(self, time: Duration) -> Self {
        let (hold_down, this) = self.take(bounded("hold-down", time));
        Self { hold_down, ..this }
    }

    /// How long it may be [pending](crate::SubsystemView::is_pending) when it
    /// is [added while running](crate::Readiness::add). If it is not up until
    /// then it counts like the rest. By default it may be pending for ever.
    ///
    /// From 1 millisecond to a day. One that is declared before is never
    /// pending, for the start waits for it.
    pub fn ready_within(self, time: Duration) -> Self {
        let (ready_within, this) = self.take(bounded("time to become ready", time));
        Self {
            ready_within,
            ..this
        }
    }

    fn take<T>(mut self, setting: Result<T, SettingError>) -> (Option<T>, Self) {
        match setting {
            Ok(setting) => (Some(setting), self),
            Err(error) => {
                self.error.get_or_insert(error);
                (None, self)
            }
        }
    }

    #[cfg(feature = "check")]
    pub(crate) fn with_check(
        self,
        reports_within: Duration,
        hangs_after: Duration,
        check: Result<Check, SettingError>,
    ) -> Self {
        let (check, this) = self.take(check);
        Self {
            check,
            reports_within: Some(reports_within),
            hangs_after: Some(hangs_after),
            ..this
        }
    }

    /// A check that blocks its thread cannot be timed out, but found silent.
    fn ttl_or_default(&self) -> Option<Duration> {
        self.ttl.or(self.hangs_after)
    }

    pub(crate) fn validate(&self) -> Result<(), SettingError> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        match (self.ttl, self.reports_within) {
            (Some(ttl), Some(slowest)) if ttl < slowest => {
                Err(SettingError::ShortTtl { ttl, slowest })
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn declare(&self, at_build: bool, scopes: Vec<usize>) -> Declaration {
        Declaration {
            name: self.name.as_str().into(),
            role: self.role,
            vital: self.vital,
            at_build,
            scopes: scopes.into(),
            ttl: self.ttl_or_default(),
            hold_down: self.hold_down,
            ready_within: self.ready_within,
            checked: self.check.is_some(),
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
