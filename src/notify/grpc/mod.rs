//! gRPC health checking: the `grpc.health.v1.Health` service, answered from the
//! snapshot.
//!
//! ```
//! use tonic::transport::Server;
//! use tower_readiness::{Readiness, ReadinessLayer, Subsystem};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let readiness = Readiness::builder()
//!     .subsystem(Subsystem::new("storage"))
//!     .subsystem(Subsystem::new("index").optional())
//!     .scope("search", ["index"])
//!     .build()?;
//! let router = Server::builder()
//!     .layer(ReadinessLayer::new(&readiness))
//!     .add_service(readiness.grpc_health());
//! # let _ = router;
//! # Ok(())
//! # }
//! ```
//!
//! | service asked for | serving while |
//! |---|---|
//! | `""` (the whole server), `readiness` | the process is [ready](crate::Verdict::is_ready) |
//! | `liveness` | it is [live](crate::Verdict::is_live) |
//! | `startup` | it [has started](crate::Verdict::has_started) |
//! | the name of a scope or a subsystem | that is ready |
//!
//! `""` and `readiness` are not serving until the process has started. From the
//! moment it drains nothing is, but for `liveness` and `startup`.
//!
//! `List` names all of these with their statuses; more than 1,000 are
//! `RESOURCE_EXHAUSTED`. `Check` of any other name is `NOT_FOUND`. `Watch` of any
//! other name says `SERVICE_UNKNOWN` and goes on, for a subsystem may be added
//! later; a name that none can have is not kept. Of more than 16,384 watches at a
//! time, the rest is `RESOURCE_EXHAUSTED`. Watches end when the process
//! [closes](crate::Phase::Closing), so that they do not hold up the server.
//!
//! A watch tells the newest status, and skips those that were over before
//! HTTP/2 could take them. A client that does not read holds up nothing. It finds
//! the statuses that HTTP/2 took until its window was full, and then the newest:
//! what is within the window (65,535 bytes unless the client says otherwise) is on
//! its way and cannot be taken back, and a status has 7 bytes.
//!
//! A [`ReadinessLayer`](crate::ReadinessLayer) never refuses this service, nor
//! counts it as in flight. It tells the names of subsystems to whoever knows
//! them; serve it where that does not matter, as
//! [`Detail::Names`](crate::probe::Detail::Names).

mod list;
mod service;
mod status;
mod watch;

pub use self::service::GrpcHealth;
