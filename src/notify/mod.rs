//! Mirrors: the state of the process in other protocols.
//!
//! Each mirror reads the same snapshots as the layer and the probes, so they
//! cannot disagree. A slow mirror never delays a reporter: it skips to the newest
//! snapshot when it is woken.

#[cfg(feature = "grpc")]
pub mod grpc;
#[cfg(all(unix, feature = "systemd"))]
pub mod systemd;
#[cfg(all(unix, feature = "termination"))]
pub mod termination;
