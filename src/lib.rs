//! Readiness for Tower services: **subsystems report what they know; one
//! immutable snapshot says what it means; traffic and probes act on that same
//! snapshot.**
//!
//! A process that is alive is not yet able to serve. Wrap a service in a
//! [`ReadinessLayer`] and hand each subsystem a [`Reporter`]: from then on
//! traffic is refused with 503, and `/readyz` is red, exactly while a subsystem
//! that the process cannot serve without is not up.
//!
//! ```no_run
//! use axum::{Router, routing::get};
//! use std::time::Duration;
//! use tower_readiness::{Readiness, ReadinessLayer, Subsystem};
//! # async fn sync_policy() -> Result<(), std::io::Error> { Ok(()) }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let readiness = Readiness::builder()
//!     .subsystem(Subsystem::new("policy"))
//!     .subsystem(Subsystem::new("listener"))
//!     .subsystem(Subsystem::new("database").shared())
//!     .subsystem(Subsystem::new("index").optional())
//!     .scope("search", ["index"])
//!     .build()?;
//!
//! let policy = readiness.reporter("policy")?;
//! tokio::spawn(async move {
//!     loop {
//!         match sync_policy().await {
//!             Ok(()) => policy.ready(),
//!             Err(error) => policy.failing(error.to_string()),
//!         }
//!         # tokio::task::yield_now().await;
//!     }
//! });
//! # readiness.reporter("database")?.leave_ready();
//!
//! let search = ReadinessLayer::gate(readiness.scope("search")?);
//! let app = Router::new()
//!     .route("/", get(async || "hello"))
//!     .route("/search", get(async || "found").layer(search))
//!     .layer(ReadinessLayer::new(&readiness).count_in_flight()); // last: it wraps all above
//!
//! let listener = tokio::net::TcpListener::bind("[::]:3000").await?;
//! readiness.reporter("listener")?.leave_ready(); // green only once the port is bound
//!
//! # #[cfg(feature = "signal")]
//! let shutdown = readiness.drain_on_signal(Duration::from_secs(5))?;
//! # #[cfg(not(feature = "signal"))]
//! # let shutdown = readiness.shutdown().build()?;
//! let server = axum::serve(listener, app).with_graceful_shutdown(shutdown);
//! readiness.run(server).await??;
//! # Ok(())
//! # }
//! ```
//!
//! # The model
//!
//! A **subsystem** is a part of the process that reports for itself. Its *role*
//! says what the process makes of it when it is not up:
//!
//! - [required](Subsystem::new): the process cannot serve without it;
//! - [shared](Subsystem::shared): a dependency of every replica; waited for
//!   once, then its failure only degrades, so its outage cannot pull the whole
//!   fleet;
//! - [optional](Subsystem::optional): shows and degrades;
//! - [vital](Subsystem::vital): required, and if it dies a restart is the cure.
//!   Nothing else makes liveness red.
//!
//! A **[`Snapshot`]** holds what all of them said, under a version that only
//! grows. Its **[`Verdict`]** is the one answer to all questions (the truth
//! table is [there](Verdict)). A **scope** is a subset of subsystems with a
//! verdict of its own, for routes that need what the rest can do without.
//!
//! A **reporter that goes away leaves no green behind**: dropping it, as a
//! panic does, reports that the subsystem fails.
//!
//! **Draining serves first and refuses later**: from the signal on readiness is
//! red for good while traffic is still served, because load balancers learn of
//! it late. See [`drain`].
//!
//! # Where to look
//!
//! - [`Readiness`], [`Subsystem`], [`Reporter`]: declare and report
//! - [`gate`]: what happens to traffic
//! - [`probe`]: what probes answer
//! - [`drain`]: how the process ends
//! - [`watch`]: what the crate reports of the process by itself
//! - `notify`: mirrors for gRPC and systemd (features `grpc` and `systemd`)
//! - `server`: probes on a port of their own (feature `server`)
//! - `client`: health checks without curl (feature `client`)
//! - [`Snapshot`], [`Subscription`]: read and follow
//! - [`guide`]: how to choose what is required, how reports stay true, how to
//!   deploy, and how to end without losing a request
//!
//! # Features
//!
//! - `check`: asks subsystems at an interval (module `check`).
//! - `cli`: the command `readiness`, which asks and commands a process.
//! - `client`: asks a process how it is, blocking and by the standard library
//!   alone, so that an application can be its own health check command.
//! - `grpc`: gRPC's health service, for tonic (needs Rust 1.88, as tonic does).
//! - `server`: the admin listener, which answers the probes on an address of
//!   its own, by hyper.
//! - `signal` (default): drains on SIGTERM and SIGINT.
//! - `systemd`: tells systemd how the process is, by sd-notify (on Unix;
//!   elsewhere it adds nothing).
//! - `tower-http`: lets classifiers of tower-http tell which requests failed,
//!   for a layer that [observes outcomes](ReadinessLayer::observe_outcomes_with),
//!   and keeps its `TraceLayer` from taking refusals for failures. It is for
//!   tower-http 0.7. With another version in the application, as 0.6, the
//!   compiler only says E0277: that the classifier lacks `ClassifyOutcome`, or
//!   tower-http's `ClassifyResponse`, of which there are two then (`cargo tree -d`
//!   shows it). All else works with any version of tower-http.
//! - `tracing` (default): logs transitions, with the target `tower_readiness`.
//!   Recovery, phases and the readiness of the process at `info`, degraded and
//!   failing at `warn`, dead at `error`, starting and refused requests at
//!   `debug`; where an admin listener listens at `info`. Readiness that is lost
//!   outside of a drain is a `warn` that names the subsystems that are the cause.
//!   Refused requests are told by episode: one `warn` at the first (`info` while
//!   the process starts or drains), one line at `info` after 10 seconds, a minute
//!   and then every 5 minutes, and one when none was refused for 10 seconds. A
//!   start that takes long tells after 10 and 30 seconds and then each minute what
//!   it waits for. Of one subsystem at most 10 lines a minute are logged above
//!   `debug`, and one that counts the rest.
//!   A thread `readiness-log` hands the lines to the subscriber, so that a log
//!   that nobody reads blocks nothing else; a report waits at most 10 ms for its
//!   own. (Where no subscriber is set and tracing hands events to the `log`
//!   crate, the thread that causes a line writes it.)
//!   A child process that was made by `fork` has no such thread and logs nothing.
//! - `full`: everything there is.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::unwrap_used))]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(any(feature = "client", feature = "server"))]
mod address;
#[cfg(feature = "check")]
#[cfg_attr(docsrs, doc(cfg(feature = "check")))]
pub mod check;
#[cfg(feature = "client")]
#[cfg_attr(docsrs, doc(cfg(feature = "client")))]
pub mod client;
pub mod drain;
pub mod gate;
pub mod guide;
#[cfg(feature = "tracing")]
mod logging;
#[cfg(any(feature = "grpc", all(unix, feature = "systemd")))]
pub mod notify;
pub mod probe;
mod race;
mod registry;
#[cfg(feature = "server")]
#[cfg_attr(docsrs, doc(cfg(feature = "server")))]
pub mod server;
mod state;
mod sync;
mod threads;
mod traffic;
mod unread;
pub mod watch;

pub use self::{
    gate::{Action, ReadinessLayer},
    registry::{
        AddError, AttributeError, BuildError, Builder, ClaimError, NameError, PauseGuard,
        Readiness, RegistryClosed, ReloadGuard, Reporter, Scope, SettingError, Subscription,
        Subsystem, UnknownScope, WaitError,
    },
    state::{
        Claim, Condition, Damped, DampingProgress, Phase, Reason, Reasons, Role, Snapshot, State,
        SubsystemView, Verdict,
    },
};

/// Tests the code in the README.
#[cfg(all(
    doctest,
    feature = "check",
    feature = "client",
    feature = "server",
    feature = "signal"
))]
#[doc = include_str!("../README.md")]
struct Readme;
