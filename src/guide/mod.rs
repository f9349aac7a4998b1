//! How to run a service so that nobody notices its restarts.
//!
//! - [Graceful shutdown](graceful_shutdown): who learns when that a process
//!   ends, and which number to set where.
//! - [Choosing what is required](choosing_what_is_required): what the gate
//!   should close for, and what it should not.
//! - [Reporters that cannot lie](reporters_that_cannot_lie): how what is
//!   reported stays true.
//! - [Deploying](deploying): which probe goes where, from Kubernetes to systemd,
//!   with files that work.
//!
//! ```
//! use tower_readiness::{Readiness, Subsystem};
//!
//! // What is this process's own is required, what all replicas share is
//! // shared, what it can do without is optional.
//! let readiness = Readiness::builder()
//!     .subsystem(Subsystem::new("listener"))
//!     .subsystem(Subsystem::new("database").shared())
//!     .subsystem(Subsystem::new("cache").optional())
//!     .build()?;
//! # Ok::<(), tower_readiness::BuildError>(())
//! ```

pub mod choosing_what_is_required;
pub mod deploying;
pub mod graceful_shutdown;
pub mod reporters_that_cannot_lie;
