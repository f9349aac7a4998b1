//! Mirrors: what the snapshot means, told to whoever asks in another protocol.
//!
//! Each answers from the same snapshot as traffic and probes do, so no two of
//! them can disagree, and none of them can hold up a reporter: a mirror is woken
//! and reads the newest snapshot, however slow it is.

#[cfg(feature = "grpc")]
#[cfg_attr(docsrs, doc(cfg(feature = "grpc")))]
pub mod grpc;
#[cfg(all(unix, feature = "systemd"))]
#[cfg_attr(docsrs, doc(cfg(feature = "systemd")))]
pub mod systemd;
