//! The command `readiness watch`: follows the event stream of a process.

mod command;
mod json;
mod lines;
mod screen;
mod status;
mod stream;
mod transition;
mod view;

pub use self::command::WatchCommand;
