//! What the crate reports of the process by itself.
//!
//! Every task of a process can be well while none of them gets to run: somebody
//! blocks the threads of the runtime. [`watch_runtime`] measures how long tasks
//! wait for their turn, which degrades, and tells when none of them gets one at
//! all, which makes liveness red.
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
//! A probe that is served by the runtime that hangs is not answered, which a
//! supervisor takes for a failure after its timeout. Served on a thread of its
//! own, it says what is the matter.
//!
//! And every subsystem can be ready while requests fail. [`watch_traffic`]
//! compares what is declared with what becomes of requests
//! ([readiness drift](crate::gate#readiness-drift)).
//!
//! [`watch_runtime`]: crate::Readiness::watch_runtime
//! [`watch_traffic`]: crate::Readiness::watch_traffic

mod delays;
mod error;
mod runtime;
mod traffic;

pub use self::{error::WatchError, runtime::RuntimeWatch};
pub use crate::traffic::{TrafficWatch, TrafficWatchError};
