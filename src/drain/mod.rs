//! The end of the process.

mod builder;
mod ears;
mod error;
mod race;
mod run;
mod shutdown;
#[cfg(feature = "signal")]
mod signals;
mod wait;

#[cfg(feature = "signal")]
#[cfg_attr(docsrs, doc(cfg(feature = "signal")))]
pub use self::signals::Signals;
pub use self::{
    builder::ShutdownBuilder,
    error::{CutOff, ShutdownError},
    shutdown::Shutdown,
};
pub use crate::traffic::InFlight;
