//! How a library reports its state, and leaves it to the application whether anything
//! listens.
//!
//! A connection pool, a cache or a client of another service knows best whether it
//! works. It can report that itself, if it takes a [`Reporter`](crate::Reporter):
//!
//! - **The application decides** whether the part is required, shared or optional, and
//!   how it is called: it declares the [`Subsystem`](crate::Subsystem), and passes the
//!   reporter. The library needs no name, no role and no registry.
//! - **The library holds a `Reporter`, and no `Option`.** An application without a
//!   registry passes [`Reporter::detached`](crate::Reporter::detached), whose reports
//!   go nowhere.
//! - **The library stays small.** Without features this crate is the registry alone:
//!   no http, no serde, at most 12 crates. The library depends on
//!
//!   ```toml
//!   tower-readiness = { version = "0.1", default-features = false }
//!   ```
//!
//!   and the application adds the features that it uses.
//!
//! ```
//! use std::{io, net::SocketAddr};
//! use tower_readiness::{Readiness, Reporter, Subsystem};
//!
//! /// A client of the library, which keeps one connection.
//! pub struct Client {
//!     address: SocketAddr,
//!     reporter: Reporter,
//! }
//!
//! impl Client {
//!     /// A client whose state shows nowhere.
//!     pub fn new(address: SocketAddr) -> Self {
//!         Self::with_reporter(address, Reporter::detached())
//!     }
//!
//!     /// A client that reports to the registry of the application.
//!     pub fn with_reporter(address: SocketAddr, reporter: Reporter) -> Self {
//!         reporter.starting("not connected yet");
//!         Self { address, reporter }
//!     }
//!
//!     /// Connects, or reports why it cannot.
//!     pub async fn connect(&self) -> io::Result<()> {
//!         match tokio::net::TcpStream::connect(self.address).await {
//!             Ok(_stream) => {
//!                 self.reporter.ready();
//!                 Ok(())
//!             }
//!             Err(error) => {
//!                 self.reporter.failing(format!("{}: {error}", self.address));
//!                 Err(error)
//!             }
//!         }
//!     }
//!
//!     /// Ends the client. It is no longer part of the readiness of the process.
//!     pub fn close(self) {
//!         self.reporter.retire();
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! # let address = listener.local_addr()?;
//! // An application with a registry:
//! let readiness = Readiness::builder()
//!     .subsystem(Subsystem::new("search").shared())
//!     .allow_empty()
//!     .build()?;
//! let client = Client::with_reporter(address, readiness.reporter("search")?);
//! assert!(!readiness.verdict().is_ready());
//! client.connect().await?;
//! assert!(readiness.verdict().is_ready());
//! client.close();
//!
//! // An application without one:
//! Client::new(address).connect().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What to report
//!
//! - Report [`ready`](crate::Reporter::ready) after each success that proves the point,
//!   and [`failing`](crate::Reporter::failing) after each failure. A repeated report
//!   takes no lock, so the library needs no state of its own to avoid it. (To build a
//!   reason allocates; build it where an error is built anyway.)
//! - Report [`degraded`](crate::Reporter::degraded) for a fallback: a replica that
//!   lags, a cache that serves old entries.
//! - Leave [`dead`](crate::Reporter::dead) to a part that only a new process repairs.
//!   The application may have declared it [vital](crate::Subsystem::vital), and then
//!   the process is restarted.
//! - Call [`heartbeat`](crate::Reporter::heartbeat) where the library works at
//!   intervals. It costs an increment, and has an effect if the application has set a
//!   [ttl](crate::Subsystem::ttl).
//!
//! # The end
//!
//! A value of the library that is dropped drops its reporter, and that is a report:
//! `failing: reporter dropped`. It is right for a task that panicked. A value that the
//! application closes on purpose should [retire](crate::Reporter::retire) its reporter,
//! as `close` does above.
//!
//! # Checks
//!
//! A library that notices no failure by itself reports nothing useful. It can offer an
//! `async fn ping(&self) -> Result<(), E>` instead, and the application
//! [checks](crate::guide::reporters_that_cannot_lie) it at an interval.
