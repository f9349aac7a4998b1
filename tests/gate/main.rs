//! The layer: what it admits, holds, refuses, counts and answers.

mod admission;
mod direct;
mod drain;
mod drift;
mod history;
mod in_flight;
mod large_answers;
mod probes;
#[path = "../support/mod.rs"]
mod support;
mod waiting;
mod watch;
