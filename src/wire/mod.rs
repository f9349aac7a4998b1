//! The wire format: what a process and its clients have to agree on.
//!
//! - [`paths`]: where probes answer by default, and where commands are sent.
//! - [`Probe`]: the probes, their names and their words for green and red.
//! - [`JsonAnswer`]: the JSON of a probe. Deserialise it to read an answer in Rust;
//!   the probes serialise the same types.
//!
//! # The JSON of a probe
//!
//! A probe answers with JSON if the request has `accept: application/json`. The
//! [schema](JSON_SCHEMA) is machine-readable, and says of each field its type, its
//! unit and the level of detail from which on answers have it. This is an
//! answer of `/statusz` with all details (on one line in reality):
//!
//! ```json
#![doc = include_str!("example.json")]
//! ```
//!
//! Times are whole milliseconds, in fields that end in `_ms` and in `time`. A field without a value
//! is left out, but for `reason`, `in_flight` and `failure_ratio`, which are `null`.
//!
//! **Stability.** Within a major version, no field is removed or changes its type, its
//! unit or its meaning, and no word does. Fields and words may be added, so a client
//! ignores those that it does not know. The order of the fields is not promised; that
//! of `subsystems` and `scopes` is the order of their declaration. Messages for people
//! (`reason`, `pause_reason`, `summary`, `unclear`) may change. The HTTP status and `ok` always
//! agree, and are enough to decide on.
//!
//! `/statusz/NAME` answers with the members of the group `NAME`: a [`JsonGroup`], which is
//! `group` in the schema.
//!
//! # The events
//!
//! An admin listener with the feature `events` streams the state at [`paths::EVENTS`],
//! as [server-sent events](https://html.spec.whatwg.org/multipage/server-sent-events.html).
//! The kinds are those of [`EventKind`]. `state` has the JSON of `/statusz`. The data
//! of a `change` is this (on one line), if the last event had version 12:
//!
//! ```json
#![doc = include_str!("change.json")]
//! ```
//!
//! and that of a `tick`:
//!
//! ```json
#![doc = include_str!("tick.json")]
//! ```

#[cfg(any(feature = "cli", feature = "page"))]
mod clock;
mod events;
mod group;
mod json;
pub mod paths;
mod probe;
#[cfg(any(feature = "cli", feature = "page"))]
mod row_order;
#[cfg_attr(not(feature = "gate"), allow(dead_code))]
pub(crate) mod text;

#[cfg(any(feature = "cli", feature = "page"))]
pub(crate) use self::{clock::time_of_day, row_order::RowOrder};
pub use self::{
    events::{EventKind, JsonTick},
    group::{JsonGroup, JsonMember, JsonMembers},
    json::{
        JsonAnswer, JsonDamped, JsonDrain, JsonDrift, JsonScope, JsonSubsystem, JsonTraffic,
        JsonTransition, JsonVerdicts,
    },
    probe::Probe,
};

/// The [JSON Schema](https://json-schema.org/draft/2020-12) of the JSON of a probe
/// (draft 2020-12). The file is `src/wire/answer.schema.json` in the package.
pub const JSON_SCHEMA: &str = include_str!("answer.schema.json");
