use std::time::Duration;
use thiserror::Error;

/// Why a name cannot be given to a subsystem or a scope.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameError {
    /// The name is the empty string.
    #[error("a name needs at least one character")]
    Empty,
    /// The name is longer than 128 bytes.
    #[error("a name holds at most 128 bytes, this one has {bytes}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// The name holds a character other than `A-Z a-z 0-9 . _ - : [ ]`.
    #[error("a name holds only `A-Z a-z 0-9 . _ - : [ ]`, not {character:?}")]
    Character {
        /// The first such character.
        character: char,
    },
    /// The name is one that the crate itself answers for: `readiness`,
    /// `liveness`, `startup`, `runtime` or `traffic`.
    #[error("this name is reserved")]
    Reserved,
}

/// What is wrong with what a [`Subsystem`](crate::Subsystem) was told.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettingError {
    /// A duration is out of its bounds.
    #[error("the {what} is between {least:?} and {most:?}, not {given:?}")]
    OutOfBounds {
        /// Which one.
        what: &'static str,
        /// The duration given.
        given: Duration,
        /// The shortest it can be.
        least: Duration,
        /// The longest it can be.
        most: Duration,
    },
    /// Runs of a check never overlap, so one has to end before the next is due.
    #[error("a check with a timeout of {timeout:?} cannot run every {interval:?}")]
    LongTimeout {
        /// The timeout given.
        timeout: Duration,
        /// The interval of the check.
        interval: Duration,
    },
    /// A check that backs off asks less often, not more.
    #[error("a check that runs every {interval:?} cannot back off to {longest:?}")]
    ShortBackOff {
        /// The longest interval while failing.
        longest: Duration,
        /// The interval of the check.
        interval: Duration,
    },
    /// A check that is well would be found silent between two results: it speaks
    /// once in each of its intervals (the longest, if it backs off), at the
    /// latest after its timeout.
    #[error("a check that may take {slowest:?} to speak again cannot have a ttl of {ttl:?}")]
    ShortTtl {
        /// The ttl given.
        ttl: Duration,
        /// The interval and the timeout of the check.
        slowest: Duration,
    },
    /// A result has to be seen at least once to count.
    #[error("it takes at least one {what} of a check to turn over, not zero")]
    ZeroThreshold {
        /// What of: failure or success.
        what: &'static str,
    },
    /// The jitter of a check is a part of its interval.
    #[error("the jitter of a check is between 0 and 1 of its interval")]
    Jitter,
}

/// Why a [`Builder`](crate::Builder) could not build.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// A subsystem or scope has a name that cannot be used.
    #[error("bad name {name:?}")]
    Name {
        /// The name, cut to 128 bytes.
        name: String,
        /// What is wrong with it.
        source: NameError,
    },
    /// A subsystem was told something that cannot be.
    #[error("subsystem {name:?} cannot be declared so")]
    Setting {
        /// The subsystem.
        name: String,
        /// What is wrong.
        source: SettingError,
    },
    /// Two subsystems, two scopes, or a subsystem and a scope have the same
    /// name.
    #[error("{name:?} is declared twice (subsystems and scopes share one namespace)")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// A scope names a subsystem that is not declared.
    #[error("scope {scope:?} names {member:?}, which is not a declared subsystem")]
    UnknownMember {
        /// The scope.
        scope: String,
        /// The member that is not declared.
        member: String,
    },
    /// A scope has no members.
    #[error("scope {scope:?} has no members")]
    EmptyScope {
        /// The scope.
        scope: String,
    },
    /// No subsystem is required, so the process would be ready at once.
    #[error("no required subsystem is declared; say `allow_empty()` if that is meant")]
    NothingRequired,
}

/// Why a reporter could not be claimed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClaimError {
    /// There is no subsystem of this name (any more).
    #[error("there is no subsystem {name:?}; there are: {known}")]
    Unknown {
        /// The name asked for.
        name: String,
        /// The names of the first subsystems that there are.
        known: String,
    },
    /// Another reporter of this subsystem is alive.
    #[error("subsystem {name:?} already has a reporter; share it in an `Arc`, or drop it first")]
    Held {
        /// The name asked for.
        name: String,
    },
    /// Its reporter [left it ready](crate::Reporter::leave_ready) for good.
    #[error("subsystem {name:?} was left ready for good")]
    LeftReady {
        /// The name asked for.
        name: String,
    },
}

/// Why a subsystem could not be added while running.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddError {
    /// Its name cannot be used.
    #[error("bad name {name:?}")]
    Name {
        /// The name, cut to 128 bytes.
        name: String,
        /// What is wrong with it.
        source: NameError,
    },
    /// It was told something that cannot be.
    #[error("subsystem {name:?} cannot be added so")]
    Setting {
        /// The subsystem.
        name: String,
        /// What is wrong.
        source: SettingError,
    },
    /// There is a subsystem or a scope of this name.
    #[error("there already is a subsystem or scope {name:?}")]
    Duplicate {
        /// The name.
        name: String,
    },
}

/// There is no scope of this name.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
#[error(
    "there is no scope {name:?}; scopes are declared before the registry is built, and there are: \
     {known}"
)]
pub struct UnknownScope {
    /// The name asked for.
    pub name: String,
    /// The names of the first scopes that there are.
    pub known: String,
}

/// Why waiting for readiness ended without it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitError {
    /// The process drains, so it will not become ready again.
    #[error("the process is draining")]
    Draining,
}

/// Why an attribute was not taken.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttributeError {
    /// The key cannot be used.
    #[error("bad attribute key")]
    Key(#[from] NameError),
    /// The subsystem has 32 attributes already.
    #[error("a subsystem holds at most 32 attributes")]
    TooMany,
}

/// Every [`Readiness`](crate::Readiness) of this registry is gone, and so is
/// every reporter and layer: nothing will change any more.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("the readiness registry is gone")]
#[non_exhaustive]
pub struct RegistryClosed {}
