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
//!     "storage is not ready within 5s: started, failing: storage failing (simulated: a test)"
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
//! a check due and ends a drain; and a test that only waits moves the clock to the next of
//! these moments by itself. The exceptions follow the real clock: threads of the crate
//! (the termination message, an admin listener
//! [on a thread](crate::Readiness#method.serve_on_thread)), and the ages that
//! `std::time::Instant` gives.
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

pub use self::{
    error::{SimulateError, WaitForError},
    simulate::SimulationGuard,
};
