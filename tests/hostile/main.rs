//! Hostile peers over real sockets, on the port of an application with `drain::serve` and on
//! an admin listener. The server is a process of its own, so that its memory and its file
//! descriptors are its own. In each attack a prober is answered at least 59 of 60 times, and
//! the peak of the resident memory stays below a bound.
//!
//! `cargo test --all-features --test hostile -- --nocapture` prints the figures.
#![cfg(target_os = "linux")]

mod attack;
mod descriptors;
mod frames;
mod http1;
mod http2;
mod prober;
mod process;
