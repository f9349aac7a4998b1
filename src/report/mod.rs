//! Where subsystems write.
//!
//! Writers take turns. Each builds the next [`Snapshot`](crate::Snapshot),
//! publishes it under a larger version, and only then wakes whoever waits.
//! Nobody who reads can hold up a report.

mod builder;
mod core;
mod employ;
mod error;
mod jobs;
mod keeper;
mod log;
mod name;
mod pause;
mod readiness;
mod reload;
mod reporter;
mod scope;
mod shrink;
mod subscription;
mod subsystem;
mod timekeeping;
mod timer_thread;
mod voice;
mod wakers;

#[cfg(all(test, tower_readiness_loom))]
mod loom;

#[cfg(any(feature = "client", feature = "grpc"))]
pub(crate) use self::name::check as check_name;
pub use self::{
    builder::Builder,
    error::{
        AddError, AttributeError, BuildError, ClaimError, Ended, NameError, SettingError,
        UnknownScope, WaitError,
    },
    pause::PauseGuard,
    readiness::Readiness,
    reload::ReloadGuard,
    reporter::Reporter,
    scope::Scope,
    subscription::Subscription,
    subsystem::Subsystem,
};
pub(crate) use self::{
    core::Core,
    jobs::{JobId, Start},
    keeper::Witness,
    subsystem::{bounded, bounded_from},
    timer_thread::start as start_timer_thread,
    voice::Voice,
};
#[cfg(feature = "check")]
pub(crate) use self::{
    core::now, name::check_key as attribute_key, subsystem::Check, voice::shortened,
};
