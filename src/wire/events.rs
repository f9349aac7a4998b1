use super::{JsonDrain, JsonTraffic};
use crate::state::vocabulary;
use serde::{Deserialize, Serialize};

vocabulary! {
    /// A kind of event in the stream at [`paths::EVENTS`](super::paths::EVENTS).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum EventKind {
        /// The whole state: the [`JsonAnswer`](super::JsonAnswer) of the status probe.
        /// It replaces everything that the client knows.
        State = "state",
        /// What changed since the last event: a [`JsonAnswer`](super::JsonAnswer)
        /// with only the changed subsystems and scopes, the
        /// [removed](super::JsonAnswer::removed) subsystems, and the new transitions.
        /// Its other fields are whole.
        Change = "change",
        /// The time and the counts that change without a new version: a [`JsonTick`].
        Tick = "tick",
    }
}

/// The data of the event [`Tick`](EventKind::Tick).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JsonTick<'a> {
    /// The wall clock of the process: milliseconds since 1970 (UTC).
    pub time: u64,
    /// The [version](crate::Snapshot::version) of the newest snapshot.
    pub version: u64,
    /// The traffic of the process.
    pub traffic: JsonTraffic<'a>,
    /// The planned end of the process, if a shutdown plans it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain: Option<JsonDrain>,
}
