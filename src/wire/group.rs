use serde::{Deserialize, Serialize};
use std::{borrow::Cow, collections::BTreeMap};

/// The counts of the members of a [group](crate::Group).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JsonMembers<'a> {
    /// How many members the group has.
    pub total: usize,
    /// How many of them count towards its quorum: those that are ready or degraded.
    pub ready: usize,
    /// How many are in each [state](crate::State); a state without a member is left out.
    pub states: BTreeMap<Cow<'a, str>, usize>,
}

/// The answer of the status probe below its path, at the name of a
/// [group](crate::Group). It exists from level `Names` on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JsonGroup<'a> {
    /// The name of the group.
    pub group: Cow<'a, str>,
    /// The [version](crate::Snapshot::version) of the snapshot with this state and these
    /// counts.
    pub version: u64,
    /// The [state](crate::State) of the group that counts.
    pub state: Cow<'a, str>,
    /// The counts of its members.
    pub counts: JsonMembers<'a>,
    /// A page of its members.
    pub members: Vec<JsonMember<'a>>,
    /// The value of `?from` for the next page. Absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<usize>,
}

/// A member in a [`JsonGroup`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JsonMember<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// Its [state](crate::State).
    pub state: Cow<'a, str>,
    /// The reason of the state, if one was reported. Level `Full`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'a, str>>,
    /// How long it has been in its state, by the monotonic clock, in milliseconds.
    /// Level `Full`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub for_ms: Option<u64>,
}
