//! Readiness for Tower services.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::unwrap_used))]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod gate;
pub mod probe;
mod report;
mod state;
mod sync;

pub use self::{
    gate::{Action, ReadinessLayer},
    report::{
        AddError, AttributeError, BuildError, Builder, ClaimError, Ended, NameError, PauseGuard,
        Readiness, Reporter, Scope, Subscription, Subsystem, UnknownScope, WaitError,
    },
    state::{
        Claim, Condition, Phase, Reason, Reasons, Role, Snapshot, State, SubsystemView, Verdict,
    },
};
