//! The crate's lines in the log: which there are, that they reach the
//! subscriber and the span of their cause in the order of publication, and that
//! a log that is not read holds up nothing.

mod lines;
mod refusals;
#[path = "../support/mod.rs"]
mod support;
mod transitions;
#[cfg(unix)]
mod unread;
