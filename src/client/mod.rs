//! Asks a process how it is: blocking, over the standard library alone, for
//! health check commands.
//!
//! An image without a shell (`FROM scratch`, distroless) has no `curl` to check
//! its health with. The application has it in itself:
//!
//! ```no_run
//! use std::process::ExitCode;
//! use tower_readiness::client::{Address, HealthCheck};
//!
//! fn main() -> ExitCode {
//!     if std::env::args().nth(1).as_deref() == Some("healthcheck") {
//!         return HealthCheck::new(Address::default()).print();
//!     }
//!     // … serve …
//!     # ExitCode::SUCCESS
//! }
//! ```
//!
//! ```dockerfile
//! HEALTHCHECK --start-period=60s CMD ["/myapp", "healthcheck"]
//! ```
//!
//! (The binary `readiness` of this crate, feature `cli`, is that as a command
//! of its own.) It asks the admin listener (feature `server`), which tells who
//! and why, or the port of the application, which gives the verdict alone:
//!
//! ```
//! use tower_readiness::{Readiness, Subsystem, client::HealthCheck};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # #[cfg(feature = "server")]
//! # {
//! let readiness = Readiness::builder()
//!     .subsystem(Subsystem::new("storage"))
//!     .build()?;
//! let admin = readiness.serve_on_thread("127.0.0.1:0")?;
//!
//! let check = HealthCheck::new(admin.local_addr().clone());
//! let report = check.run()?;
//! assert!(!report.is_ok());
//! assert_eq!(report.line(), "not started: storage starting");
//!
//! readiness.reporter("storage")?.leave_ready();
//! assert_eq!(check.run()?.line(), "started, live");
//! assert_eq!(check.ready().run()?.line(), "ready");
//! # }
//! # Ok(())
//! # }
//! ```
//!
//! # What is asked
//!
//! By default whether the process has started and is alive, as in the
//! [truth table](crate::Verdict): a container has one bit, and what acts upon
//! it restarts. Readiness would have it kill a process that drains, or all
//! replicas for the outage of a database. Whoever decides about traffic asks
//! for [readiness](HealthCheck::ready).
//!
//! # What an answer is
//!
//! One of a probe of this crate, whose status and words say the same. An answer
//! of something else on that port is an error, whatever its status, for many
//! servers answer every path with 200; so are a redirect, which is not
//! followed, and one that stops half way. The [timeout](HealthCheck::timeout) is for
//! the whole exchange (for both, if there are two), and at most 1 MiB is read.
//!
//! # Commands
//!
//! On Unix, `Commands` tells a process to pause, to resume and to drain, over a
//! unix socket that only its owner can open.
//!
//! # The command
//!
//! The binary `readiness` (feature `cli`; `cargo install tower-readiness
//! --features cli`) is this as a command:
//!
//! | | |
//! |---|---|
//! | `readiness check [ADDR]` | started and alive? `--ready`, `--live`, `--startup`, `--scope NAME` ask otherwise; `--exclude NAME`, `--timeout SECONDS`, `--verbose`, `--json` |
//! | `readiness pause [REASON]`, `resume` | readiness red, and no longer |
//! | `readiness drain [--wait]` | as SIGTERM; `--wait` until the process is closed or gone |
//!
//! `ADDR` is `127.0.0.1:28080` unless told by it, `--addr` or
//! `READINESS_ADDR`. It exits with 0 for yes, 1 for no or no answer, and 64 if
//! it is used wrongly, and prints at most 4,096 bytes. The repository's
//! `examples/deploy/command/build` makes a static binary of 1 MiB for empty images.

#[cfg(unix)]
mod commands;
mod deadline;
mod error;
mod health_check;
mod http;
mod parse;
mod print;
mod report;
#[cfg(unix)]
mod unix;
mod wire;

#[cfg(unix)]
pub use self::{commands::Commands, error::CommandError};
pub use self::{
    error::{CheckError, ExchangeError},
    health_check::HealthCheck,
    print::print,
    report::Report,
};
pub use crate::address::{Address, AddressError};
