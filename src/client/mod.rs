//! A blocking client for health check commands, without a runtime.
//!
//! An image without a shell (`FROM scratch`, distroless) has no `curl` for its
//! health check. With this module the application itself is the health check:
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
//! The client asks the admin listener (feature `server`), which names subsystems
//! and reasons, or the port of the application, which gives the verdict alone:
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
//! # The question
//!
//! By default the client checks that the process has started and is alive, as in
//! the [truth table](crate::Verdict): a container's health is one bit, and a
//! supervisor restarts an unhealthy container. A supervisor that checked
//! readiness would kill a process that drains, and all replicas during an outage
//! of a database. A load balancer checks [readiness](HealthCheck::ready).
//!
//! # The answer
//!
//! The client accepts only an answer from a probe of this crate, whose status and
//! text agree. An answer from another program is an error, even with status 200,
//! because many servers answer every path with 200. A redirect, which the client
//! does not follow, and a truncated answer are errors too. The
//! [timeout](HealthCheck::timeout) covers the whole check (both exchanges, if
//! there are two), and the client reads at most 1 MiB. It speaks HTTP/1.0, so an
//! answer in chunks, as a proxy may send it, is an error.
//!
//! # Commands
//!
//! On Unix, `Commands` sends commands to pause, to resume and to drain, over a
//! unix socket that only its owner can open.
//!
//! # The command
//!
//! The binary `readiness` (feature `cli`; `cargo install tower-readiness
//! --features cli`) offers this module as a command:
//!
//! | | |
//! |---|---|
//! | `readiness check [ADDR]` | checks that the process has started and is alive, or another question: `--ready`, `--live`, `--startup`, `--scope NAME`; further options are `--exclude NAME`, `--timeout SECONDS`, `--verbose`, `--json` |
//! | `readiness watch [ADDR]` | follows the process on the terminal: subsystems that are down first, reasons, ages, the countdown of a drain; where standard output is no terminal, one line for each change, or events with `--json` |
//! | `readiness pause [REASON]`, `resume` | turns readiness red, and ends that |
//! | `readiness drain [--wait]` | drains, as SIGTERM does; `--wait` waits until the process is closed or gone |
//!
//! `ADDR` or `--addr` defaults to `READINESS_ADDR`, else to `127.0.0.1:28080`.
//! The command exits with 0 for yes, 1 for no or an error, and 64 for wrong
//! usage, and prints at most 4,096 bytes. `examples/deploy/docker/Dockerfile` in the
//! repository says how to build a static binary of at most 1.5 MiB for empty images.

mod causes;
#[cfg(unix)]
mod commands;
mod connection;
mod deadline;
mod error;
#[cfg(any(fuzzing, all(test, unix, feature = "full")))]
pub(crate) mod fuzz;
mod health_check;
mod http;
mod parse;
mod print;
mod report;
#[cfg(unix)]
mod unix;
#[cfg(feature = "cli")]
mod watch;

#[cfg(feature = "cli")]
pub use self::watch::WatchCommand;
#[cfg(unix)]
pub use self::{commands::Commands, error::CommandError};
pub use self::{
    error::{CheckError, ExchangeError},
    health_check::HealthCheck,
    print::print,
    report::Report,
};
pub use crate::address::{Address, AddressError};
