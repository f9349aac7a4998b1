//! The event stream of an admin listener, as its clients see it: real sockets.
#![cfg(unix)]

mod client;
mod crowds;
#[path = "../server/prober.rs"]
mod prober;
mod resume;
mod stream;
#[path = "../support/mod.rs"]
mod support;
mod whom;

const ANYWHERE: &str = "127.0.0.1:0";
