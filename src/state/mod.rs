//! The states of subsystems, and the verdicts that follow from them.
//!
//! A subsystem has a [`State`] and a [`Role`]; the process is in a [`Phase`]; a
//! scope of subsystems is in a [`Condition`]. An immutable [`Snapshot`] holds
//! all of these, with the [`Verdict`] that follows. The code here is pure: it
//! reads no clock and needs neither a runtime nor HTTP.

mod builder;
mod cell;
mod counts;
mod explanation;
mod history;
mod selection;
mod snapshot;
pub(crate) mod text;
mod transition;
mod verdict;
mod view;
mod views;
mod vocabulary;

pub use self::{
    snapshot::Snapshot,
    transition::{Transition, TransitionKind},
    verdict::{Reasons, Verdict},
    view::{Damped, DampingProgress, MemberCounts, SubsystemView},
    vocabulary::{Claim, Condition, Phase, Reason, Role, State},
};

#[cfg(all(unix, feature = "termination"))]
pub(crate) use self::explanation::Lasted;
#[cfg(all(unix, feature = "systemd"))]
pub(crate) use self::explanation::Short;
#[cfg(feature = "check")]
pub(crate) use self::view::Thresholds;
pub(crate) use self::{
    builder::{Published, SnapshotBuilder, Touched},
    cell::{AdmitFlag, SnapshotCell},
    explanation::{Age, Explanation},
    history::History,
    selection::{Selection, Target},
    snapshot::{Data, ScopeId},
    verdict::Aspect,
    view::{Declaration, Membership, Moment, SubsystemMeters, TooMany},
    views::Slot,
    vocabulary::{PerReason, vocabulary},
};
