//! The registry, to which subsystems report.
//!
//! Writers take a lock in turn. Each builds the next
//! [`Snapshot`](crate::Snapshot), publishes it under a larger version, and only
//! then wakes the waiting tasks. A reader cannot delay a report.

mod background;
mod builder;
#[cfg(feature = "check")]
mod check_control;
mod core;
mod drain_clock;
mod error;
mod group;
mod handle;
mod history;
#[cfg(feature = "tracing")]
mod log;
#[cfg(not(feature = "tracing"))]
#[path = "log/off.rs"]
mod log;
mod maintenance_pause;
mod meters;
mod name;
mod overdue;
mod readiness;
mod reconfigure;
mod reload;
mod report;
mod reporter;
mod scope;
mod setting;
mod shrink;
mod subscription;
mod subsystem;
mod tasks;
mod timer;
mod timer_thread;
mod wakers;

#[cfg(all(test, tower_readiness_loom))]
mod loom;

#[cfg(any(feature = "check", feature = "cli", feature = "test-util"))]
pub(crate) use self::core::now;
#[cfg(any(feature = "client", feature = "grpc"))]
pub(crate) use self::name::check as check_name;
#[cfg(any(feature = "check", feature = "gate"))]
pub(crate) use self::setting::fraction;
pub(crate) use self::{
    background::{Start, TaskId},
    core::Registry,
    drain_clock::{DEFAULT_DELAY, Times},
    handle::SubsystemHandle,
    setting::{bounded, bounded_from},
    timer::Witness,
    timer_thread::start as start_timer_thread,
};
pub use self::{
    builder::Builder,
    error::{
        AttributeError, BuildError, ClaimError, DeclareError, NameError, ReconfigureError,
        RegistryClosed, SettingError, UnknownScope, UnknownSubsystem, WaitError,
    },
    group::{Group, GroupHandle, MemberError, MemberReporter, Quorum, UnknownGroup},
    maintenance_pause::PauseGuard,
    readiness::Readiness,
    reconfigure::Reconfiguration,
    reload::ReloadGuard,
    report::Report,
    reporter::Reporter,
    scope::Scope,
    subscription::Subscription,
    subsystem::Subsystem,
};
#[cfg(feature = "check")]
pub(crate) use self::{
    check_control::CheckControl, handle::shortened, name::check_key as attribute_key,
    subsystem::Check,
};
#[cfg(feature = "gate")]
pub(crate) use self::{
    drain_clock::DrainStatus,
    group::{MemberView, PageRequest},
    meters::Meters,
    setting::{not_zero, waited, within},
};
