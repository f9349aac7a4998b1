//! How to test that an application reports what it should, without a `sleep`: five tests to
//! copy.
//!
//! In a test with a paused clock, time passes only where the test waits: tokio then moves
//! the clock to the next moment for which a task sleeps. Ttls, checks, holds and drains
//! follow that clock, so a minute takes no time, and the test does not depend on how fast
//! the machine is. (What follows the real clock is listed at
//! [`testing`](crate::testing#time).)
//!
//! ```toml
//! [dev-dependencies]
//! tokio = { version = "1", features = ["macros", "rt", "test-util"] }
//! tower = { version = "0.5", features = ["util"] }
//! tower-readiness = { version = "0.1", features = ["check", "test-util"] }
//! ```
//!
//! [`wait_for`](crate::Readiness::wait_for) and
//! [`wait_state`](crate::Readiness::wait_state) end with an error that explains the state of
//! the process, [`simulate`](crate::Readiness::simulate) causes an outage without the part
//! that fails.
//!
//! `assert_wired` of [`testing`](crate::testing) tests where the layer is: an application
//! that is built as in production, with all its layers, gets the requests of balancers,
//! kubelets and clients, and one error lists what is wrong.
//!
//! ```ignore
#![doc = include_str!("../../tests/testing_your_readiness.rs")]
//! ```
