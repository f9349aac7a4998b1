//! How to run a service whose users do not notice its restarts.
//!
//! - [Graceful shutdown](graceful_shutdown): when each component learns that a
//!   process ends, and which number to set where.
//! - [Choosing what is required](choosing_what_is_required): which failures close
//!   the gate.
//! - [Reporters that cannot lie](reporters_that_cannot_lie): how reports stay true.
//! - [Reporting from a library](reporting_from_a_library): how a library reports
//!   without forcing a registry on its users.
//! - [Deploying](deploying): which probe goes where, from Kubernetes to systemd,
//!   with files that work.
//!
//! ```
//! use tower_readiness::{Readiness, Subsystem};
//!
//! // Required: a part of this process. Shared: a dependency of every replica.
//! // Optional: the process serves without it.
//! let readiness = Readiness::builder()
//!     .subsystem(Subsystem::new("listener"))
//!     .subsystem(Subsystem::new("database").shared())
//!     .subsystem(Subsystem::new("cache").optional())
//!     .build()?;
//! # Ok::<(), tower_readiness::BuildError>(())
//! ```

#[cfg(feature = "gate")]
pub mod choosing_what_is_required;
#[cfg(feature = "gate")]
pub mod deploying;
#[cfg(feature = "gate")]
pub mod graceful_shutdown;
#[cfg(feature = "gate")]
pub mod reporters_that_cannot_lie;
pub mod reporting_from_a_library;
