//! The end of the process: drain first, refuse later.
//!
//! A load balancer notices late that a process will stop. So the process turns
//! readiness red first, and goes on serving until the load balancers have
//! noticed; only then does the server stop accepting. One future does all of
//! this, and is passed to the server as its shutdown signal:
//!
#![cfg_attr(feature = "gate", doc = "```")]
#![cfg_attr(not(feature = "gate"), doc = "```ignore")]
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
//! With `drain::serve` (feature `serve`) in place of `axum::serve`, the clients that keep
//! their connections leave one after the other during the delay, not all at its end.
//!
//! # What happens when
//!
//! | phase | begins | traffic | readiness | liveness |
//! |---|---|---|---|---|
//! | [`Draining`](crate::Phase::Draining) | at SIGTERM, SIGINT, a [trigger](ShutdownBuilder::on) or [`Readiness::drain`](crate::Readiness::drain) | served; HTTP/1 clients are asked to reconnect | red for good | green |
//! | [`Closing`](crate::Phase::Closing) | when the [delay](ShutdownBuilder::delay) is over; the [`Shutdown`] completes | requests on open connections are served | red | green |
//! | [`Closed`](crate::Phase::Closed) | when the server that is [run](crate::Readiness::run) has ended and all work [in flight](crate::Readiness::in_flight) is finished, after a second with nothing in flight, or at the [cap](ShutdownBuilder::closing_cap) | refused | red | green |
//!
//! The delay counts from the beginning of the drain, even if a SIGTERM follows a
//! [`drain`](crate::Readiness::drain). A repeated SIGTERM changes nothing. A
//! second ctrl-c ends the delay, and a third kills the process, as ctrl-c does by
//! default.
//!
//! A process that drains before it has started never admits a request.
//!
//! [`run`](crate::Readiness::run) returns when the server has ended. If nothing
//! is in flight, it returns after a short [grace](ShutdownBuilder::idle_grace)
//! even with connections open.
//!
//! # How to see that it works
//!
//! [`Readiness::late_arrivals`](crate::Readiness::late_arrivals) counts the
//! requests that arrived when the delay was nearly over. If it is not zero, the
//! delay is too short, or a load balancer ignores readiness; a warning is logged
//! if they arrived until the end. The JSON of `/statusz` shows this number, the
//! number in flight, and the [refused](crate::Readiness::refused) requests by
//! reason.
//!
//! The [guide](crate::guide::graceful_shutdown) lists which duration to set
//! where, and shows the same for hyper and tonic.

mod builder;
mod close;
mod error;
mod output;
mod run;
#[cfg(feature = "serve")]
mod serve;
mod shutdown;
mod signals;
mod wait;

#[cfg(feature = "serve")]
pub use self::serve::{Listener, Serve, serve};
#[cfg(feature = "signal")]
pub use self::signals::Signals;
pub use self::{
    builder::ShutdownBuilder,
    error::{ShutdownError, ShutdownTimeout},
    output::ServerOutput,
    shutdown::Shutdown,
};
pub use crate::traffic::InFlightGuard;
