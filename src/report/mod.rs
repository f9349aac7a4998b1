//! Where subsystems write.
//!
//! Writers take turns. Each builds the next [`Snapshot`](crate::Snapshot),
//! publishes it under a larger version, and only then wakes whoever waits.
//! Nobody who reads can hold up a report.

mod builder;
mod core;
mod error;
mod log;
mod name;
mod pause;
mod readiness;
mod reporter;
mod scope;
mod subscription;
mod subsystem;

#[cfg(all(test, tower_readiness_loom))]
mod loom;

pub(crate) use self::core::Core;
pub use self::{
    builder::Builder,
    error::{
        AddError, AttributeError, BuildError, ClaimError, Ended, NameError, UnknownScope, WaitError,
    },
    pause::PauseGuard,
    readiness::Readiness,
    reporter::Reporter,
    scope::Scope,
    subscription::Subscription,
    subsystem::Subsystem,
};
