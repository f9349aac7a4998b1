//! Tools for the tests of applications: simulated states, and waits that explain why they
//! end in vain.
//!
//! ```
//! use std::time::Duration;
//! use tower_readiness::{Readiness, State, Subsystem};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let readiness = Readiness::builder()
//!     .subsystem(Subsystem::new("storage"))
//!     .build()?;
//! let storage = readiness.reporter("storage")?;
//! storage.ready();
//!
//! let outage = readiness.simulate("storage", State::Failing, "a test")?;
//! storage.ready(); // The simulated state counts all the same.
//! let error = readiness
//!     .wait_state("storage", State::Ready, Duration::from_secs(5))
//!     .await
//!     .unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     "storage is not ready within 5s, but failing (simulated: a test); \
//!      the process is started and failing: storage failing (simulated: a test)"
//! );
//!
//! drop(outage);
//! readiness.wait_state("storage", State::Ready, Duration::from_secs(5)).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Time
//!
//! Whatever the crate waits for on a runtime follows the clock of that runtime. In a test
//! with `#[tokio::test(start_paused = true)]`, `tokio::time::advance` lets a ttl pass, makes
//! a check due and ends a drain; and a test that only waits (for a state, or in
//! `tokio::time::sleep`) moves the clock from each of these moments to the next by itself.
//!
//! Wait rather than advance: an `advance` jumps over the moments in between, and a task
//! that has to do something at each of them does it once, afterwards. The timer of a ttl
//! [reads heartbeats](crate::Subsystem::ttl) at such moments, so that a heartbeat before an
//! `advance` counts from its end on.
//!
//! Threads outside of the runtime follow the real clock: those of the crate (the termination
//! message, an admin listener [on a thread](crate::Readiness#method.serve_on_thread)), and a
//! `std::thread` of the test. Its reports have real times, unless the thread has
//! [entered](tokio::runtime::Handle::enter) the runtime.
//!
//! An `advance` never counts as a [stopped process](crate::Subsystem::ttl), which the real
//! clock alone shows.
//!
//! # Production
//!
//! A simulation is a call in the process. No command and no endpoint begins one. The
//! feature `test-util` belongs into `[dev-dependencies]`:
//!
//! ```toml
//! [dev-dependencies]
//! tower-readiness = { version = "0.1", features = ["test-util"] }
//! ```

mod error;
mod simulate;
mod wait;
#[cfg(feature = "gate")]
mod wired;

#[cfg(feature = "gate")]
pub use self::wired::{Fault, FaultKind, WiringCheck, WiringError, assert_wired, check_wired};
pub use self::{
    error::{SimulateError, WaitForError},
    simulate::SimulationGuard,
};
