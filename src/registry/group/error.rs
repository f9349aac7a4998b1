use crate::registry::NameError;
use thiserror::Error;

/// No group has this name.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
#[error(
    "there is no group {name:?}; groups are declared before the registry is built, and there are: \
     {known}"
)]
pub struct UnknownGroup {
    /// The name asked for.
    pub name: String,
    /// The names of the first groups of the registry.
    pub known: String,
}

/// Why a member of a group could not be added or claimed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum MemberError {
    /// The name is invalid.
    #[error("the name {name:?} is invalid")]
    Name {
        /// The name, cut to 128 bytes.
        name: String,
        /// Why the name is invalid.
        source: NameError,
    },
    /// The group has a member of this name already.
    #[error("the group has a member {name:?} already; claim it with `reporter`, or retire it")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// The group has no member of this name.
    #[error("the group has no member {name:?}; add it first")]
    Unknown {
        /// The name asked for, cut to 128 bytes.
        name: String,
    },
    /// Another reporter of this member is alive.
    #[error("member {name:?} already has a reporter; share it in an `Arc`, or drop it first")]
    Held {
        /// The name asked for.
        name: String,
    },
    /// The group is full.
    #[error("the group has {most} members, and no room for {name:?}; retire another first")]
    Full {
        /// The name of the member that was not added.
        name: String,
        /// The largest number of members.
        most: usize,
    },
}
