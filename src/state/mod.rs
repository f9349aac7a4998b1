//! What is known, and what it means.
//!
//! Subsystems are in a [`State`] and have a [`Role`]; the process is in a
//! [`Phase`]; a scope of subsystems is in a [`Condition`]. An immutable
//! [`Snapshot`] holds all of it, with the [`Verdict`] that follows. This part
//! is pure: it knows no clock, no runtime and no HTTP.

mod cell;
mod draft;
#[cfg(any(test, feature = "tracing", all(unix, feature = "systemd")))]
mod explanation;
mod snapshot;
mod tally;
pub(crate) mod text;
mod verdict;
mod view;
mod views;
mod vocabulary;

pub use self::{
    snapshot::Snapshot,
    verdict::{Reasons, Verdict},
    view::{Damped, Progress, SubsystemView},
    vocabulary::{Claim, Condition, Phase, Reason, Role, State},
};

#[cfg(all(unix, feature = "systemd"))]
pub(crate) use self::explanation::Short;
#[cfg(any(feature = "tracing", all(unix, feature = "systemd")))]
pub(crate) use self::explanation::{Age, Causes, Question};
#[cfg(feature = "check")]
pub(crate) use self::view::Thresholds;
pub(crate) use self::{
    cell::{Cell, OpenWord},
    draft::{Draft, Sealed},
    snapshot::{Data, ScopeId},
    tally::Tally,
    view::{Declaration, Moment, TooMany},
    views::Slot,
    vocabulary::{PerReason, vocabulary},
};
