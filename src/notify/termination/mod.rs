//! Writes an explanation of the state of the process to a file, which outlives it.
//!
//! A process that is killed (SIGKILL by the out-of-memory killer, or by the kubelet
//! after a failed liveness probe and the grace period) cannot explain itself. So
//! [`Readiness::termination_message`](crate::Readiness::termination_message) writes
//! the explanation before: after each change, to a file that outlives the process.
//! Kubernetes reads `/dev/termination-log` when a container has ended, and shows it
//! as `lastState.terminated.message`, also in `kubectl describe pod`:
//!
//! ```text
//! ready 3 h 12 min; liveness red since 12:04:31 UTC: worker dead (poisoned lock); 812 in flight; version 57
//! ```
//!
//! ```
//! # use tower_readiness::{Readiness, Subsystem};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let readiness = Readiness::builder()
//!     .subsystem(Subsystem::new("storage"))
//!     .build()?;
//! readiness.termination_message("/dev/termination-log");
//! # Ok(())
//! # }
//! ```
//!
//! # The line
//!
//! | part | |
//! |---|---|
//! | `ready 3 h 12 min` | how long the process was ready before; `never ready` if it was not |
//! | `ready since …` | it is ready |
//! | `starting since …`, `readiness red since …`, `liveness red since …` | it is not, because of the subsystems that follow, with their states and reasons |
//! | `paused since …` | only a pause makes it red |
//! | `draining since …`, `closing since …`, `closed since …` | the phase; a condition or a liveness that is red follows |
//! | `812 in flight` | unless it is ready: the requests in flight when the line was written, if a layer [counts](crate::Readiness::in_flight) them |
//! | `version 57` | the version that the line describes; log lines have the same in their field `version` |
//!
//! Probes and logs name the same subsystems, in the same order. Times and durations
//! count from the call of `termination_message`.
//!
//! # Failures
//!
//! A thread of its own writes, and writes only the newest state. A file system that
//! blocks (NFS) delays neither a report nor a runtime, and at most one write waits
//! for it. If a write fails, the log has one warning, and another only after a write
//! has succeeded. The next change tries again.
//!
//! The file is rewritten in place, because the kubelet mounts this one file into the
//! container: a renamed file would not reach the kubelet. The new text is written
//! before the rest of the old one is cut off, so a process that dies in between
//! leaves an explanation on the first line.
//!
//! The file must exist, so that a wrong path creates no file. It must be a regular
//! file, because a pipe or a device may block or discard the text. It must not be a
//! symbolic link: in a folder where other users can write, a link would let them choose
//! which file the process overwrites.

mod file;
mod message;
mod writer;
