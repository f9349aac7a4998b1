//! The end of the process: drain first, refuse later.
//!
//! A load balancer learns late that a process will stop. So the process says
//! it as soon as it knows, and goes on to serve for as long as they need; only
//! then does the server stop to accept. One future does all of it, and goes
//! where every server takes its shutdown signal:
//!
//! ```
//! use axum::{Router, routing::get};
//! use std::time::Duration;
//! use tower_readiness::{Readiness, ReadinessLayer, Subsystem};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let readiness = Readiness::builder()
//!     .subsystem(Subsystem::new("listener"))
//!     .build()?;
//! let app = Router::new()
//!     .route("/", get(async || "hello"))
//!     .layer(ReadinessLayer::new(&readiness).count_in_flight());
//!
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! readiness.reporter("listener")?.leave_ready();
//! # #[cfg(feature = "signal")]
//! let shutdown = readiness.drain_on_signal(Duration::from_secs(5))?;
//! # #[cfg(not(feature = "signal"))]
//! # let shutdown = readiness.shutdown().build()?;
//! # readiness.advance(tower_readiness::Phase::Closing);
//! let server = axum::serve(listener, app).with_graceful_shutdown(shutdown);
//! readiness.run(server).await??;
//! # Ok(())
//! # }
//! ```
//!
//! # What happens when
//!
//! | phase | begins | traffic | readiness | liveness |
//! |---|---|---|---|---|
//! | [`Draining`](crate::Phase::Draining) | at SIGTERM, SIGINT, a trigger of yours or [`Readiness::drain`](crate::Readiness::drain) | served; HTTP/1 clients are asked to reconnect | red for good | green |
//! | [`Closing`](crate::Phase::Closing) | when the [delay](ShutdownBuilder::delay) is over; the [`Shutdown`] completes | what arrives on open connections is served | red | green |
//! | [`Closed`](crate::Phase::Closed) | when the server that is [run](crate::Readiness::run) has ended and left nothing behind, nothing was [in flight](crate::Readiness::in_flight) for a second, or the [cap](ShutdownBuilder::closing_cap) is over | refused | red | green |
//!
//! Whatever began the drain, the delay counts from then: a SIGTERM that follows
//! a [`drain`](crate::Readiness::drain) joins it. A repeated SIGTERM changes
//! nothing. A second ctrl-c ends the delay, and one more kills the process, as
//! ctrl-c does everywhere.
//!
//! A process that is told to stop before it has started never opens its gate.
//!
//! A closed process ends: [`run`](crate::Readiness::run) returns when the server
//! has ended, and otherwise, if nothing is in flight, after a short
//! [grace](ShutdownBuilder::idle_grace), whatever connections are still open.
//!
//! # How to see that it works
//!
//! [`Readiness::late_arrivals`](crate::Readiness::late_arrivals) counts
//! requests that still came when the delay was nearly over: if it is not zero,
//! the delay is too short, or somebody ignores readiness. A warning is logged
//! if they came until the end. The JSON of `/statusz` shows them, together with
//! what is in flight and what was [refused](crate::Readiness::refused), and why.
//!
//! Which number to set where, and how to do it with hyper and tonic, is told in
//! the [guide](crate::guide::graceful_shutdown).

mod builder;
mod ears;
mod error;
mod output;
mod plan;
mod run;
mod shutdown;
#[cfg(feature = "signal")]
mod signals;
mod wait;

#[cfg(feature = "signal")]
#[cfg_attr(docsrs, doc(cfg(feature = "signal")))]
pub use self::signals::Signals;
pub use self::{
    builder::ShutdownBuilder,
    error::{ShutdownError, ShutdownTimeout},
    output::ServerOutput,
    shutdown::Shutdown,
};
pub use crate::traffic::InFlightGuard;
