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
//! | requested service | serving while |
//! |---|---|
//! | `""` (the whole server), `readiness` | the process is [ready](crate::Verdict::is_ready) |
//! | `liveness` | the process is [live](crate::Verdict::is_live) |
//! | `startup` | the process [has started](crate::Verdict::has_started) |
//! | the name of a scope or a subsystem | the scope or subsystem is ready |
//! | an [alias](GrpcHealthBuilder::alias) | the service for which it stands is serving |
//!
//! A client that checks health itself asks for the name of the gRPC service that it calls.
//! An alias connects that name with the scope on which the service depends:
//!
//! ```
//! # use tower_readiness::{Readiness, Subsystem};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let readiness = Readiness::builder()
//! #     .subsystem(Subsystem::new("storage"))
//! #     .scope("search", ["storage"])
//! #     .build()?;
//! use tower_readiness::notify::grpc::GrpcHealth;
//!
//! let health = GrpcHealth::builder(&readiness)
//!     .alias("shop.v1.Search", "search")
//!     .alias("shop.v1.Orders", "readiness")
//!     .build()?;
//! # let _ = health;
//! # Ok(())
//! # }
//! ```
//!
//! `""` and `readiness` are not serving until the process has started. Once the
//! process drains, only `liveness` and `startup` are serving.
//!
//! `List` returns all of these with their statuses, or `RESOURCE_EXHAUSTED` if
//! there are more than 1,000. For any other name, `Check` returns `NOT_FOUND`;
//! `Watch` sends `SERVICE_UNKNOWN` and stays open, because a subsystem of that
//! name may be added later. An invalid name is not stored. Beyond 16,384
//! concurrent watches, `Watch` fails with `RESOURCE_EXHAUSTED`. Watches end when
//! the process [closes](crate::Phase::Closing), so they do not hold up the server.
//!
//! A watch sends the newest status, and skips statuses that changed before HTTP/2
//! could send them. A client that does not read blocks only its own stream. It
//! later reads the statuses that filled the HTTP/2 window (65,535 bytes by
//! default, at 7 bytes a status), and then the newest.
//!
//! A [`ReadinessLayer`](crate::ReadinessLayer) never refuses this service, nor
//! counts it as in flight. The service gives the names of subsystems to every
//! client; serve it only where that is acceptable, as for
//! [`Detail::Names`](crate::probe::Detail::Names).

mod alias;
mod list;
mod service;
mod status;
mod watch;

pub use self::{
    alias::AliasError,
    service::{GrpcHealth, GrpcHealthBuilder},
};
