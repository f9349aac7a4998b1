//! What requests leave behind as they pass: counters, for operators and for
//! whoever ends the process. Nothing here decides anything.

mod in_flight;
mod lame_duck;
mod refused;

pub use self::in_flight::InFlight;
pub(crate) use self::{in_flight::Flights, lame_duck::LameDuck, refused::Refused};

/// The counters of one registry.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) flights: Flights,
    /// Held, or waiting for room: what is not in flight yet, but may be soon.
    pub(crate) waiting: Flights,
    pub(crate) lame_duck: LameDuck,
    pub(crate) refused: Refused,
}
