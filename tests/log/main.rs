//! The crate's lines in the log: which lines there are, that they reach the subscriber
//! and the span of their cause in the order of publication, and that an unread log
//! delays no report.

mod drained;
mod lines;
mod refusals;
#[path = "../support/mod.rs"]
mod support;
mod table;
mod transitions;
#[cfg(unix)]
mod unread;
