use super::Quorum;
use crate::state::{
    Data,
    text::{listed_names, shown_name},
};
use std::time::Duration;
use thiserror::Error;

/// Why a name cannot be given to a subsystem or a scope.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameError {
    /// The name is the empty string.
    #[error("the name is empty; give it at least one character")]
    Empty,
    /// The name is longer than 128 bytes.
    #[error("the name has {bytes} bytes; give it at most 128")]
    TooLong {
        /// The length of the name.
        bytes: usize,
    },
    /// The name holds a character other than `A-Z a-z 0-9 . _ - : [ ]`.
    #[error("the name contains {character:?}; use only `A-Z a-z 0-9 . _ - : [ ]`")]
    Character {
        /// The first such character.
        character: char,
    },
    /// The name is reserved by the crate: `readiness`, `liveness`, `startup`,
    /// `runtime` or `traffic`.
    #[error("the crate reserves this name; choose another")]
    Reserved,
}

/// An invalid setting of a [`Subsystem`](crate::Subsystem), or of another value or builder of
/// the crate.
#[derive(Clone, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum SettingError {
    /// A duration is too short or too long.
    #[error("the {what} is {given:?}; give it {least:?} to {most:?}")]
    OutOfBounds {
        /// The name of the setting.
        what: &'static str,
        /// The duration given.
        given: Duration,
        /// The shortest valid duration.
        least: Duration,
        /// The longest valid duration.
        most: Duration,
    },
    /// The timeout of a check is longer than its interval. Runs of a check never
    /// overlap, so each has to end before the next is due.
    #[error("a check has a timeout of {timeout:?} every {interval:?}; shorten the timeout")]
    LongTimeout {
        /// The timeout given.
        timeout: Duration,
        /// The interval of the check.
        interval: Duration,
    },
    /// The longest interval of a check that backs off is shorter than its
    /// interval.
    #[error("a check runs every {interval:?} and backs off to {longest:?}; back off to longer")]
    ShortBackOff {
        /// The longest interval while failing.
        longest: Duration,
        /// The interval of the check.
        interval: Duration,
    },
    /// The ttl is shorter than the time between two results of the check, so the
    /// subsystem would become stale although its check works. A check reports once
    /// in each of its intervals (the longest, if it backs off), at the latest after
    /// its timeout.
    #[error(
        "the ttl is {ttl:?}, and the check has a result every {slowest:?}; give a ttl that is not \
         shorter"
    )]
    ShortTtl {
        /// The ttl given.
        ttl: Duration,
        /// The interval and the timeout of the check.
        slowest: Duration,
    },
    /// A number is zero.
    #[error("the {what} is 0; give it at least 1")]
    Zero {
        /// The name of the setting.
        what: &'static str,
    },
    /// A fraction is not a number from 0 to 1.
    #[error("the {what} is {given}; give it 0 to 1")]
    Fraction {
        /// The name of the setting.
        what: &'static str,
        /// The number given.
        given: f64,
    },
    /// A group would fail before it is degraded.
    #[error(
        "failing_below is {failing}, and degraded_below is {degraded}; give failing_below a number \
         that is not larger"
    )]
    ThresholdOrder {
        /// The threshold below which the group is degraded.
        degraded: Quorum,
        /// The threshold below which it fails.
        failing: Quorum,
    },
    /// A group would need more members than it can have.
    #[error("{what} is {given} members, and a group has at most {most}; give it fewer")]
    TooManyMembers {
        /// The name of the setting.
        what: &'static str,
        /// The number given.
        given: usize,
        /// The largest number of members.
        most: usize,
    },
}

/// Why a subsystem or a scope could not be declared, at build or while running.
#[derive(Clone, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum DeclareError {
    /// The name is invalid.
    #[error("the name {name:?} is invalid")]
    Name {
        /// The name, cut to 128 bytes.
        name: String,
        /// Why the name is invalid.
        source: NameError,
    },
    /// A setting of the subsystem is invalid.
    #[error("subsystem {name:?} has an invalid setting")]
    Setting {
        /// The subsystem.
        name: String,
        /// Which setting is invalid, and why.
        source: SettingError,
    },
    /// A subsystem or a scope has this name already.
    #[error(
        "there is a subsystem or scope {name:?} already (they share one namespace); rename one"
    )]
    Duplicate {
        /// The name.
        name: String,
    },
}

/// Why a [`Builder`](crate::Builder) could not build.
#[derive(Clone, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum BuildError {
    /// A subsystem or a scope is declared wrongly.
    #[error(transparent)]
    Declaration(#[from] DeclareError),
    /// A scope names a subsystem that is not declared.
    #[error("scope {scope:?} names {member:?}, which is no subsystem; declare it, or leave it out")]
    UnknownMember {
        /// The scope.
        scope: String,
        /// The member that is not declared.
        member: String,
    },
    /// A scope has no members.
    #[error("scope {scope:?} has no members; name at least one subsystem")]
    EmptyScope {
        /// The scope.
        scope: String,
    },
    /// No subsystem is required, so the process would be ready at once.
    #[error("no required subsystem is declared; call `allow_empty()` if that is intended")]
    NothingRequired,
    /// No check could run, since [`Builder::checks_at_once`](crate::Builder::checks_at_once)
    /// is zero.
    #[cfg(feature = "check")]
    #[error("checks_at_once is 0, so that no check runs; give it at least 1")]
    NoChecksAtOnce,
    /// The history would keep too many transitions.
    #[error("the history keeps at most {most} transitions, not {transitions}; set fewer")]
    LongHistory {
        /// The number that was set.
        transitions: usize,
        /// The largest valid number.
        most: usize,
    },
}

/// No subsystem has the name asked for, or it has retired.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
#[error("there is no subsystem {name:?}; there are: {known}")]
pub struct UnknownSubsystem {
    /// The name asked for, cut to 128 bytes.
    pub name: String,
    /// The names of the first subsystems of the registry.
    pub known: String,
}

impl UnknownSubsystem {
    pub(super) fn new<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Self {
        Self {
            name: shown_name(name),
            known: listed_names(known),
        }
    }
}

/// Why a reporter could not be claimed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClaimError {
    /// No subsystem has this name, or it has retired.
    #[error(transparent)]
    Unknown(#[from] UnknownSubsystem),
    /// Another reporter of this subsystem is alive.
    #[error("subsystem {name:?} already has a reporter; share it in an `Arc`, or drop it first")]
    Held {
        /// The name asked for.
        name: String,
    },
    /// A reporter has [left the subsystem ready](crate::Reporter::leave_ready) for
    /// good.
    #[error("subsystem {name:?} was left ready for good; keep its reporter if it reports again")]
    LeftReady {
        /// The name asked for.
        name: String,
    },
    /// The name is that of a group, for which its members report.
    #[error("{name:?} is a group; claim its members with `Readiness::group`")]
    Group {
        /// The name asked for.
        name: String,
    },
}

/// Why a registry was not [reconfigured](crate::Readiness::reconfigure). Nothing has changed
/// then.
#[derive(Clone, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum ReconfigureError {
    /// An added subsystem is declared wrongly, or a name belongs to a subsystem of the crate
    /// itself.
    #[error(transparent)]
    Declaration(#[from] DeclareError),
    /// No subsystem has the name of one to change, or it has been removed.
    #[error(transparent)]
    UnknownSubsystem(#[from] UnknownSubsystem),
    /// No scope has the name of one to change.
    #[error(transparent)]
    UnknownScope(#[from] UnknownScope),
    /// A subsystem is a member of the scope already.
    #[error("{member:?} is a member of scope {scope:?} already; leave it out")]
    AlreadyMember {
        /// The scope.
        scope: String,
        /// The subsystem.
        member: String,
    },
    /// A subsystem to remove from a scope is no member of it.
    #[error("{member:?} is no member of scope {scope:?}; leave it out")]
    NotMember {
        /// The scope.
        scope: String,
        /// The subsystem.
        member: String,
    },
    /// A group cannot be removed.
    #[error("{name:?} is a group, which cannot be removed; give it the role informative instead")]
    Group {
        /// The group.
        name: String,
    },
    /// A scope would lose its last member, and so be ready whatever happens.
    #[error("scope {scope:?} would have no members; add one, or keep one")]
    EmptyScope {
        /// The scope.
        scope: String,
    },
    /// The last required subsystem would be removed or get another role.
    #[error(
        "no subsystem would be required; keep one, or call `allow_empty()` if that is intended"
    )]
    NothingRequired,
}

/// No scope has this name.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
#[error(
    "there is no scope {name:?}; scopes are declared before the registry is built, and there are: \
     {known}"
)]
pub struct UnknownScope {
    /// The name asked for.
    pub name: String,
    /// The names of the first scopes of the registry.
    pub known: String,
}

impl UnknownScope {
    pub(super) fn new(name: &str, data: &Data) -> Self {
        Self {
            name: shown_name(name),
            known: listed_names(data.scopes.iter().map(|scope| &*scope.name)),
        }
    }
}

/// Why a wait for readiness has failed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitError {
    /// The process drains, so it will not become ready again.
    #[error("the process is draining, so it will not become ready again")]
    Draining,
}

/// Why an attribute was not set.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttributeError {
    /// The key is invalid.
    #[error("the attribute key {key:?} is invalid")]
    Key {
        /// The key, cut to 128 bytes.
        key: String,
        /// Why the key is invalid.
        source: NameError,
    },
    /// The subsystem has 32 attributes already.
    #[error("attribute {key:?} is one too many for its subsystem; remove one of the other 32")]
    TooMany {
        /// The key.
        key: String,
    },
}

/// Every [`Readiness`](crate::Readiness), reporter and layer of this registry has
/// been dropped, so its snapshot will not change any more.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("the readiness registry is closed")]
#[non_exhaustive]
pub struct RegistryClosed {}
