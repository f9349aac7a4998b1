//! Readiness for Tower services: **subsystems report their state; one immutable
//! snapshot holds the state and the verdict; traffic and probes act on that same
//! snapshot.**
//!
//! A process that is alive may not be able to serve yet. Wrap a service in a
//! [`ReadinessLayer`] and hand each subsystem a [`Reporter`]. The layer then
//! refuses traffic with 503, and `/readyz` is red, while a required subsystem is
//! down.
//!
#![cfg_attr(feature = "gate", doc = "```no_run")]
#![cfg_attr(not(feature = "gate"), doc = "```ignore")]
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
//! decides how its failure changes the verdict:
//!
//! - [required](Subsystem::new): the process cannot serve without it;
//! - [shared](Subsystem::shared): a dependency of every replica. The process waits
//!   for it once; later its failure only degrades, so its outage cannot take the
//!   whole fleet out of rotation;
//! - [optional](Subsystem::optional): its failure shows and degrades;
//! - [informative](Subsystem::informative): its failure shows and changes no verdict;
//! - [vital](Subsystem::vital): required, and a restart is the cure when it is
//!   dead. No other subsystem makes liveness red.
//!
//! A **[`Snapshot`]** holds the last report of each subsystem, under a version that
//! only grows. Its **[`Verdict`]** is the answer to every probe and the gate (with
//! the [truth table](Verdict)). A **scope** is a subset of subsystems with a
//! verdict of its own, for routes that need a subsystem which the process can do
//! without.
//!
//! A **dropped reporter leaves no green state behind**: dropping it, as a panic
//! does, reports that the subsystem fails.
//!
//! **Draining serves first and refuses later**: from the signal on readiness stays
//! red while traffic is still served, because load balancers notice late. See
//! [`drain`].
//!
//! # Where to look
//!
//! - [`Readiness`], [`Subsystem`], [`Reporter`]: declare and report
//! - [`gate`]: the actions on traffic
//! - [`probe`]: the answers to probes
//! - [`drain`]: the end of the process
//! - [`watch`]: subsystems that the crate itself reports
//! - `notify`: mirrors of the snapshot for gRPC, systemd and the time after the death
//!   of the process (features `grpc`, `systemd` and `termination`)
//! - `observe`: metrics (feature `metrics`) and events (feature `events`)
//! - `server`: probes on a port of their own (feature `server`)
//! - `client`: health checks without curl (feature `client`)
//! - [`wire`]: paths and the JSON of probes, for clients of a process
//! - [`Snapshot`], [`Subscription`]: read and follow
//! - [`guide`]: how to choose required subsystems, keep reports true, report from a
//!   library, deploy, and end without a lost request
//!
//! # Features
//!
//! Without a feature, the crate is the registry alone: reporters, snapshots,
//! subscriptions, scopes, the phases of the process and its shutdown. It then brings
//! 12 crates, itself included, so a library can depend on it in order to report
//! (`default-features = false`).
//!
//! - `check`: checks subsystems at an interval (module `check`).
//! - `cli`: the command `readiness`, which checks a process, follows it on the terminal and
//!   sends it commands.
//! - `client`: a health check that blocks and needs no runtime, so
//!   that an application can be its own health check command.
//! - `commands`: executes pause, resume and drain, which operators send to an admin
//!   listener on a unix socket, where `AdminListener::with_commands` enables it
//!   (on Unix; elsewhere it adds nothing).
//! - `connections`: retires connections one after the other while the process drains
//!   (for servers on hyper).
//! - `events`: `/statusz/events` on an admin listener, which streams the state and its
//!   changes as server-sent events.
//! - `gate` (default): the [layer](ReadinessLayer), which admits and refuses traffic,
//!   and the [probes](probe). `grpc`, `server` and `tower-http` imply it.
//! - `grpc`: gRPC's health service, for tonic (needs Rust 1.88, as tonic does).
//! - `metrics`: `Readiness::families`, the one list of metrics,
//!   and `/metrics` for Prometheus on an admin listener (by prometheus-client).
//! - `page`: a live page for browsers on an admin listener. Implies `events`.
//! - `serve`: [`drain::serve`], a server of HTTP whose connections retire so.
//! - `server`: the admin listener, which answers the probes on an address of its
//!   own (by hyper).
//! - `signal` (default): drains on SIGTERM and SIGINT.
//! - `systemd`: notifies systemd of the state of the process, by sd-notify (on
//!   Unix; elsewhere it adds nothing).
//! - `test-util`: [simulated states, waits and a check of the layer's place](testing), for
//!   tests of applications.
//! - `termination`: a file that explains the process after its death, for
//!   Kubernetes' `lastState.terminated.message` (on Unix; elsewhere it adds nothing).
//! - `tower-http`: lets classifiers of tower-http decide which requests failed, for
//!   a layer that [observes outcomes](ReadinessLayer::observe_outcomes_with), and
//!   keeps its `TraceLayer` from logging refusals as failures. The feature is for
//!   tower-http 0.7. An application with another version, such as 0.6, gets error
//!   E0277: the classifier lacks `ClassifyOutcome`, or `ClassifyResponse` of
//!   tower-http, which then exists twice (`cargo tree -d` shows it). The rest
//!   of the crate works with any version of tower-http.
//! - `tracing` (default): logs transitions, with the target `tower_readiness`. The guide
//!   (page `log`) lists the events.
//!   - Levels: recovery, phases, the readiness of the process and the address of an
//!     admin listener at `info`; degraded and failing at `warn`; dead at `error`;
//!     starting and each refused request at `debug`. Readiness lost outside of a
//!     drain is a `warn` that names the subsystems that cause it.
//!   - Refused requests are logged by episode: one `warn` at the first (`info` while
//!     the process starts or drains), one line at `info` after 10 seconds, a minute
//!     and then every 5 minutes, and one after 10 seconds without a refusal.
//!   - A long start logs after 10 and 30 seconds and then each minute the subsystems
//!     that it waits for. Each subsystem logs at most 10 changes a minute above
//!     `debug`, with a line for each scope that they affect, and one line that counts
//!     the rest.
//!   - A thread `readiness-log` passes the lines to the subscriber, so a blocked
//!     subscriber blocks nothing else; a report waits at most 10 ms for its line.
//!     (Without a subscriber, where tracing passes events to the `log` crate, the
//!     thread that causes a line writes it.) A child process made by `fork` has no
//!     such thread and does not log.
//! - `full`: all of them.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::unwrap_used))]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(any(feature = "serve", feature = "server"))]
#[cfg_attr(not(feature = "serve"), allow(unreachable_pub))]
mod accept;
#[cfg(any(feature = "client", feature = "server"))]
mod address;
#[cfg(feature = "check")]
pub mod check;
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "connections")]
pub mod connections;
mod debug;
pub mod drain;
#[cfg(all(test, unix, feature = "full"))]
mod error_tests;
#[cfg(any(fuzzing, all(test, unix, feature = "full")))]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(feature = "gate")]
pub mod gate;
pub mod guide;
mod log;
#[cfg(feature = "tracing")]
mod logging;
#[cfg_attr(not(feature = "gate"), allow(dead_code))]
mod meters;
mod mutex;
#[cfg(any(
    feature = "grpc",
    all(unix, any(feature = "systemd", feature = "termination"))
))]
pub mod notify;
#[cfg(any(feature = "events", feature = "metrics", feature = "page"))]
#[cfg_attr(
    not(any(feature = "events", feature = "metrics")),
    allow(unreachable_pub)
)]
pub mod observe;
mod panics;
#[cfg(feature = "gate")]
pub mod probe;
mod registry;
#[cfg(feature = "gate")]
mod response;
#[cfg(feature = "server")]
pub mod server;
// The layer and the probes use more of these two than the registry does alone.
#[cfg_attr(
    not(feature = "gate"),
    allow(dead_code, unreachable_pub, unused_imports)
)]
mod state;
mod sync;
#[cfg(feature = "test-util")]
pub mod testing;
mod threads;
#[cfg(feature = "gate")]
mod timers;
#[cfg_attr(
    not(feature = "gate"),
    allow(dead_code, unreachable_pub, unused_imports)
)]
mod traffic;
#[cfg(feature = "gate")]
mod unread;
pub mod watch;
#[cfg(any(feature = "client", feature = "gate"))]
pub mod wire;

#[cfg(feature = "gate")]
pub use self::gate::{Action, ReadinessLayer};
pub use self::{
    registry::{
        AttributeError, BuildError, Builder, ClaimError, DeclareError, Group, GroupHandle,
        MemberError, MemberReporter, NameError, PauseGuard, Quorum, Readiness, Reconfiguration,
        ReconfigureError, RegistryClosed, ReloadGuard, Report, Reporter, Scope, SettingError,
        Subscription, Subsystem, UnknownGroup, UnknownScope, UnknownSubsystem, WaitError,
    },
    state::{
        Claim, Condition, Damped, DampingProgress, MemberCounts, Phase, Reason, Reasons, Role,
        Snapshot, State, SubsystemView, Transition, TransitionKind, Verdict,
    },
};

/// Compiles and runs the code in the README as doc tests.
#[cfg(all(doctest, feature = "gate", feature = "signal"))]
#[doc = include_str!("../README.md")]
struct Readme;
