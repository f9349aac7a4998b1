mod attributes;
#[cfg(any(test, feature = "check"))]
mod checked;
mod damping;
mod effect;
mod transitions;

pub(crate) use self::attributes::TooMany;
#[cfg(any(test, feature = "check"))]
pub(crate) use self::checked::Thresholds;
pub use self::damping::{Damped, DampingProgress};

use super::vocabulary::{Claim, Role, State};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

/// What stays the same as long as a subsystem exists.
#[derive(Debug)]
pub(crate) struct Declaration {
    pub(crate) name: Arc<str>,
    pub(crate) role: Role,
    /// Its death makes liveness red. Implies [`Role::Required`].
    pub(crate) vital: bool,
    /// Declared before the registry was built, so the start latch waits for
    /// it where it is required.
    pub(crate) at_build: bool,
    /// The named scopes it is a member of, as indices into the snapshot's.
    pub(crate) scopes: Box<[usize]>,
    /// For how long it may be silent.
    pub(crate) ttl: Option<Duration>,
    /// For how long it has to be down before it counts as such.
    pub(crate) hold_down: Option<Duration>,
    /// How long one added while running may stay pending.
    pub(crate) ready_within: Option<Duration>,
    /// A check reports for it, beside whoever claims it.
    pub(crate) checked: bool,
}

impl Declaration {
    /// Whether time alone can change its subsystem.
    pub(crate) fn is_timed(&self) -> bool {
        self.ttl.or(self.hold_down).or(self.ready_within).is_some()
    }
}

/// A moment on both clocks: the wall clock for people, the monotonic one for
/// ages. `state` has no clock of its own; whoever reports brings the time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) wall: SystemTime,
    pub(crate) monotonic: Instant,
}

/// What one subsystem said, as part of a [`Snapshot`](crate::Snapshot).
#[derive(Clone, Debug)]
pub struct SubsystemView {
    declaration: Arc<Declaration>,
    state: State,
    reason: Option<Arc<str>>,
    /// What was said last, while something else counts: it is damped, or the
    /// subsystem has fallen silent since.
    masked_report: Option<LastReport>,
    damped: Option<DampingProgress>,
    attributes: Option<Arc<BTreeMap<String, String>>>,
    claim: Claim,
    /// Whoever speaks for it now has done so.
    holder_reported: bool,
    /// Somebody has spoken who may not fall silent.
    ttl_armed: bool,
    /// How often somebody other than its check has spoken.
    pushes: u64,
    been_up: bool,
    pending: bool,
    /// When it counts like the rest although it has not been up.
    pending_until: Option<Instant>,
    since: Moment,
    transitions: u64,
}

#[derive(Clone, Debug)]
struct LastReport {
    state: State,
    reason: Option<Arc<str>>,
}

impl SubsystemView {
    /// The subsystem's name.
    pub fn name(&self) -> &str {
        &self.declaration.name
    }

    /// What the process makes of it when it is not up.
    pub fn role(&self) -> Role {
        self.declaration.role
    }

    /// Whether its death makes liveness red.
    pub fn is_vital(&self) -> bool {
        self.declaration.vital
    }

    /// The state that counts: what it last said of itself, unless that is
    /// [damped](Self::damped), or it has been [silent](State::Stale) since.
    pub fn state(&self) -> State {
        self.state
    }

    /// Why it is in this state, as reported: at most 1 KiB, possibly with
    /// line breaks. `None` for a state that was given no reason.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// Who speaks for it.
    pub fn claim(&self) -> Claim {
        self.claim
    }

    /// A report that does not count yet, if there is one.
    pub fn damped(&self) -> Option<Damped<'_>> {
        let (report, progress) = (self.masked_report.as_ref()?, self.damped?);
        Some(Damped::new(
            report.state,
            report.reason.as_deref(),
            progress,
        ))
    }

    /// Whether it was [added while running](crate::Readiness::add) and has
    /// neither been up yet nor had the
    /// [time](crate::Subsystem::ready_within) for it. Until then it only
    /// degrades.
    pub fn is_pending(&self) -> bool {
        self.pending
    }

    /// Whether it has been ready or degraded at least once.
    pub fn has_been_up(&self) -> bool {
        self.been_up
    }

    /// Since when it has been in this state, by the wall clock.
    pub fn since(&self) -> SystemTime {
        self.since.wall
    }

    /// For how long it has been in this state at `now`, by the monotonic
    /// clock. Zero if `now` is earlier.
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since.monotonic)
    }

    /// How often its state has changed since it was declared.
    pub fn transitions(&self) -> u64 {
        self.transitions
    }
}

#[cfg(test)]
mod tests;
