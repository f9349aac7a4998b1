//! The wire format: what a process and its clients have to agree on.
//!
//! - [`paths`]: where probes answer by default, and where commands are sent.
//! - [`Probe`]: the probes, their names and their words for green and red.
//! - [`JsonAnswer`]: the JSON of a probe. Deserialise it to read an answer in Rust;
//!   the probes serialise the same types.

mod json;
pub mod paths;
mod probe;
#[cfg_attr(not(feature = "gate"), allow(dead_code))]
pub(crate) mod text;

pub use self::{
    json::{JsonAnswer, JsonDamped, JsonDrift, JsonScope, JsonSubsystem, JsonTraffic},
    probe::Probe,
};
