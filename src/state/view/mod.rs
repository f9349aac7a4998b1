mod attributes;
#[cfg(any(test, feature = "check"))]
mod checked;
mod damping;
mod effect;
mod members;
mod meters;
mod next_state;
#[cfg(feature = "test-util")]
mod simulated;

pub(crate) use self::attributes::TooMany;
#[cfg(any(test, feature = "check"))]
pub(crate) use self::checked::Thresholds;
pub use self::damping::{Damped, DampingProgress};
pub use self::members::MemberCounts;
pub(crate) use self::meters::SubsystemMeters;

use super::vocabulary::{Claim, Role, State};
use std::{
    any::Any,
    collections::BTreeMap,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

/// The settings of a subsystem that never change. Its address identifies the subsystem.
#[derive(Debug)]
pub(crate) struct Declaration {
    pub(crate) name: Arc<str>,
    /// Declared before the registry was built, so that it is never pending.
    pub(crate) at_build: bool,
    /// Declared as required before the registry was built: the start latch waits for it
    /// while it is required.
    pub(crate) awaited: bool,
    /// The longest time allowed between two reports or heartbeats.
    pub(crate) ttl: Option<Duration>,
    /// For how long it has to be down before that counts.
    pub(crate) hold_down: Option<Duration>,
    /// How long it may stay pending if it is added while running.
    pub(crate) ready_within: Option<Duration>,
    /// Present if a check reports for it, beside a reporter if there is one. Only the
    /// registry knows the type of the value, which the check shares with its handles: it
    /// needs tokio. A panic leaves no part of it half changed.
    pub(crate) check: Option<AssertUnwindSafe<Arc<dyn Any + Send + Sync>>>,
    pub(crate) meters: SubsystemMeters,
}

impl Declaration {
    /// Whether time alone can change its subsystem.
    pub(crate) fn is_timed(&self) -> bool {
        self.ttl.or(self.hold_down).or(self.ready_within).is_some()
    }

    pub(crate) fn is_checked(&self) -> bool {
        self.check.is_some()
    }
}

/// How a subsystem counts, which a reconfiguration may change.
#[derive(Debug)]
pub(crate) struct Membership {
    pub(crate) declaration: Arc<Declaration>,
    pub(crate) role: Role,
    /// Its death makes liveness red. Implies [`Role::Required`].
    pub(crate) vital: bool,
    /// The named scopes that it is a member of, as indices into the snapshot's.
    pub(crate) scopes: Box<[usize]>,
}

/// A moment on both clocks: the wall clock for people, the monotonic one for
/// ages. `state` reads no clock; its callers pass the time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) wall: SystemTime,
    pub(crate) monotonic: Instant,
}

/// One subsystem, its state and its reason, as part of a
/// [`Snapshot`](crate::Snapshot).
#[derive(Clone, Debug)]
pub struct SubsystemView {
    membership: Arc<Membership>,
    state: State,
    reason: Option<Arc<str>>,
    /// The last report while another state counts: the report is damped, or the
    /// subsystem has become stale since.
    masked_report: Option<LastReport>,
    damped: Option<DampingProgress>,
    attributes: Option<Arc<BTreeMap<String, String>>>,
    /// The counts of the members of a group.
    members: Option<Arc<MemberCounts>>,
    claim: Claim,
    /// A report came after the last change of the claim, and after the check was lost.
    reported_since_claim: bool,
    /// A report came after which the ttl applies.
    ttl_armed: bool,
    /// The number of reports that did not come from a check.
    pushes: u64,
    been_up: bool,
    pending: bool,
    /// When it counts like other subsystems although it has not been up.
    pending_until: Option<Instant>,
    since: Moment,
    transitions: u64,
    #[cfg(feature = "test-util")]
    simulations: Vec<simulated::Simulation>,
    /// The version of the first snapshot that has this view.
    pub(in crate::state) changed_in: u64,
}

#[derive(Clone, Debug)]
struct LastReport {
    state: State,
    reason: Option<Arc<str>>,
}

impl SubsystemView {
    /// Returns the subsystem's name.
    pub fn name(&self) -> &str {
        &self.declaration().name
    }

    /// Returns how the subsystem affects the process when it is not up.
    pub fn role(&self) -> Role {
        self.membership.role
    }

    /// Returns whether its death makes liveness red.
    pub fn is_vital(&self) -> bool {
        self.membership.vital
    }

    /// Returns the state that counts: the one reported last, unless that report is
    /// [damped](Self::damped) or the subsystem has become [stale](State::Stale)
    /// since.
    pub fn state(&self) -> State {
        #[cfg(feature = "test-util")]
        if let Some(simulation) = self.simulation() {
            return simulation.state;
        }
        self.state
    }

    /// Returns whether a test [simulates](crate::Readiness::simulate) this state.
    #[cfg(feature = "test-util")]
    pub fn is_simulated(&self) -> bool {
        self.simulation().is_some()
    }

    /// Without the feature `test-util`, no state is simulated.
    #[cfg(not(feature = "test-util"))]
    pub(crate) fn is_simulated(&self) -> bool {
        false
    }

    /// Returns the reason reported with this state, if there is one: at most 1 KiB,
    /// possibly with line breaks.
    pub fn reason(&self) -> Option<&str> {
        self.shared_reason().map(|reason| &**reason)
    }

    /// Returns which reporter or check owns the subsystem's reports.
    pub fn claim(&self) -> Claim {
        self.claim
    }

    /// Returns the report that does not count yet, if there is one.
    pub fn damped(&self) -> Option<Damped<'_>> {
        let (report, progress) = (self.masked_report.as_ref()?, self.damped?);
        Some(Damped {
            state: report.state,
            reason: report.reason.as_deref(),
            progress,
        })
    }

    /// Returns whether it was [added while running](crate::Readiness::add), has not
    /// been up yet, and its [time to come up](crate::Subsystem::ready_within)
    /// is not over. A pending subsystem only degrades the process.
    pub fn is_pending(&self) -> bool {
        self.pending
    }

    /// Returns whether it has been ready or degraded at least once.
    pub fn has_been_up(&self) -> bool {
        self.been_up
    }

    /// Returns when it entered this state, by the wall clock.
    pub fn since(&self) -> SystemTime {
        self.since.wall
    }

    /// When it entered this state, by both clocks.
    pub(crate) fn entered(&self) -> Moment {
        self.since
    }

    /// The reason, to be shared.
    pub(crate) fn shared_reason(&self) -> Option<&Arc<str>> {
        #[cfg(feature = "test-util")]
        if let Some(simulation) = self.simulation() {
            return Some(&simulation.reason);
        }
        self.reason.as_ref()
    }

    /// The version of the first snapshot that has this view.
    pub(crate) fn changed_in(&self) -> u64 {
        self.changed_in
    }

    /// Returns how long it has been in this state at `now`, by the monotonic clock.
    /// Zero if `now` is earlier.
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since.monotonic)
    }

    /// Returns the longest time between two reports before it counts as stale.
    #[cfg(feature = "gate")]
    pub(crate) fn ttl(&self) -> Option<Duration> {
        self.declaration().ttl
    }

    /// Returns how often its state has changed since it was declared.
    pub fn transitions(&self) -> u64 {
        self.transitions
    }
}

#[cfg(test)]
mod tests;
