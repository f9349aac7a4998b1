//! Subsystems that the crate itself reports: the tokio runtime and the traffic.
//!
//! Every task of a process can be healthy while none of them runs, because a
//! call blocks the threads of the runtime. [`watch_runtime`] measures how long
//! tasks wait for their turn: long waits degrade the process, and a wait
//! without end makes liveness red.
//!
//! ```
//! use std::time::Duration;
//! use tower_readiness::{Readiness, Subsystem, watch::RuntimeWatch};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let readiness = Readiness::builder()
//!     .subsystem(Subsystem::new("storage"))
//!     .build()?;
//! readiness.watch_runtime(RuntimeWatch::default().stalled_after(Duration::from_secs(20)))?;
//! assert!(readiness.snapshot().subsystem("runtime").is_some());
//! # Ok(())
//! # }
//! ```
//!
//! A runtime that hangs answers none of its probes, which a supervisor takes
//! for a failure after its timeout. A probe on a [thread of its
//! own](crate::Readiness::serve_on_thread) answers and names the cause.
//!
//! Every subsystem can also be ready while requests fail. [`watch_traffic`]
//! compares the reported states with the outcomes of requests ([readiness
//! drift](crate::gate#readiness-drift)).
//!
//! [`watch_runtime`]: crate::Readiness::watch_runtime
//! [`watch_traffic`]: crate::Readiness::watch_traffic

mod delays;
#[cfg(feature = "gate")]
mod drift_judge;
mod error;
mod runtime;
#[cfg(feature = "gate")]
mod traffic;

#[cfg(feature = "gate")]
pub use self::drift_judge::TrafficWatch;
pub use self::{error::WatchError, runtime::RuntimeWatch};
