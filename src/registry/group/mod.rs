//! Groups of like subsystems, of which the snapshot holds one entry each.
//!
//! The members of a group are in a table of its own, under a lock of its own. A quorum
//! turns their counts into the state of the group, which is published like the report
//! of any subsystem.

mod declaration;
mod error;
mod group_state;
mod handle;
mod members;
mod pace;
#[cfg(feature = "gate")]
mod page;
mod publication;
mod reporter;
mod share_or_number;
mod silence;
mod slots;
mod summary;
mod table;

#[cfg(all(test, tower_readiness_loom))]
mod loom;

pub(super) use self::members::Groups;
#[cfg(feature = "gate")]
pub(crate) use self::page::{MemberView, PageRequest};
pub use self::{
    declaration::Group,
    error::{MemberError, UnknownGroup},
    handle::GroupHandle,
    reporter::MemberReporter,
    share_or_number::Quorum,
};
