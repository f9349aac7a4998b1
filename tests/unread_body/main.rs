//! The body of a request that a layer answers itself: with the clock stepped by hand,
//! and over real connections.
#![allow(unreachable_pub, reason = "the modules share `sent`")]

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod clockless;
mod drain;
mod linger;
mod sent;
mod sockets;
