//! Connections that retire one after the other while the process drains.
//!
//! A client that keeps its connection learns of a drain only when the connection ends.
//! If all connections end in the same instant, all clients reconnect in the same
//! instant. So each connection gets a moment of its own, in a window from 30 % to 90 %
//! of the drain [delay](crate::drain::ShutdownBuilder::delay): load balancers notice
//! first, and the rest of the delay is for the last answers.
//!
//! A loop that accepts connections tracks each of them:
//!
//! ```
//! use hyper_util::{
//!     rt::{TokioExecutor, TokioIo},
//!     server::conn::auto,
//!     service::TowerToHyperService,
//! };
//! use tower_readiness::{Readiness, Subsystem};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let readiness = Readiness::builder().subsystem(Subsystem::new("listener")).build()?;
//! # readiness.advance(tower_readiness::Phase::Closing);
//! let app = axum::Router::<()>::new();
//! let connections = readiness.connections();
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! loop {
//!     let (stream, _) = tokio::select! {
//!         accepted = listener.accept() => accepted?,
//!         () = readiness.closing() => break,
//!     };
//!     let connection = connections.track();
//!     let service = connection.service(TowerToHyperService::new(app.clone()));
//!     tokio::spawn(async move {
//!         let http = auto::Builder::new(TokioExecutor::new());
//!         connection.drive(http.serve_connection_with_upgrades(TokioIo::new(stream), service)).await
//!     });
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What a connection does at its moment
//!
//! | connection | at its moment |
//! |---|---|
//! | HTTP/1 | the next answer says `connection: close`; after a second without an open request the connection is closed |
//! | HTTP/2 | sends GOAWAY; streams in flight end in their own time |
//! | with a stream that does not end by itself | the handler is told, by [`Retiring`] |
//! | accepted during the drain | has its moment a fifth of the delay later, or more |
//! | accepted after the window | closes after its first answer |
//! | still open at [`Closing`](crate::Phase::Closing) | is told at once |
//!
//! HTTP/1 has no message for "send no more requests": a client may send one in the
//! instant in which its idle connection is closed. An answer that says
//! `connection: close` makes that rare, because only connections that receive no
//! request between their moment and the end of a second are closed without it.
//!
//! # Streams
//!
//! ```
//! use axum::Extension;
//! use tower_readiness::connections::Retiring;
//!
//! async fn events(Extension(retiring): Extension<Retiring>) {
//!     tokio::select! {
//!         () = retiring.requested() => { /* say goodbye, and end the stream */ }
//!         () = std::future::pending() => { /* the next event */ }
//!     }
//! }
//! # let _: axum::routing::MethodRouter = axum::routing::get(events);
//! ```

mod connection;
mod error;
mod retiring;
mod service;
mod tracked;
mod window;

pub(crate) use self::retiring::is_known;
pub use self::{
    connection::{Connections, ConnectionsBuilder, Driven, TrackedConnection},
    error::ConnectionsError,
    retiring::Retiring,
    service::{ConnectionBody, ConnectionFuture, ConnectionService},
};
