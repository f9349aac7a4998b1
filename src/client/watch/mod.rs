//! The command `readiness watch`: follows the event stream of a process.

mod command;
#[cfg(any(fuzzing, all(test, unix, feature = "full")))]
pub(super) mod fuzz;
mod json;
mod lines;
mod screen;
mod status;
mod stream;
mod transition;
mod view;

pub use self::command::WatchCommand;
