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
//! | HTTP/1 | answers say `connection: close` from then on at the latest; without an open request for a second, and for twice the longest pause of its client, the connection is closed |
//! | HTTP/2 | sends GOAWAY; streams in flight end in their own time |
//! | with a stream that does not end by itself | the handler is told, by [`Retiring`] |
//! | accepted during the drain | has its moment a fifth of the delay later, or more |
//! | accepted after the window | closes after its first answer |
//! | still open at [`Closing`](crate::Phase::Closing) | is told at once; without a request, 100 ms after its accept |
//!
//! HTTP/1 has no message for "send no more requests": a client may send one in the
//! instant in which its idle connection is closed. `connection: close` on an answer
//! makes that rare. So answers say it in the first three quarters of the window, and from
//! its beginning on to a client whose next request may come only after the delay, judged by
//! its longest pause so far. The connection of a client that pauses for less than the delay
//! waits for its next request, if need be until the delay is over. Such a client loses
//! nothing unless it is silent from the announcement to the end of the delay, and sends in
//! the instant of the close: a delay of one and a half times the pauses of the clients is
//! enough. The connection of a client that pauses for longer is closed as one that is not
//! used. A client may send a lost request again if its method is idempotent (RFC 9112,
//! section 9.3.1), and most do.
//!
//! # Memory
//!
//! A tracked connection takes 840 bytes more than the same connection of hyper alone
//! (`cargo bench --bench budgets --features connections,events`).
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
mod request_extension;
mod retirement_window;
mod service;
mod tracked;

#[cfg(all(test, tower_readiness_loom))]
mod loom;

#[cfg(feature = "serve")]
pub(crate) use self::connection::IdleTime;
pub(crate) use self::request_extension::has_moment;
pub use self::{
    connection::{Connections, ConnectionsBuilder, Driven, TrackedConnection},
    error::ConnectionsError,
    request_extension::Retiring,
    service::{ConnectionBody, ConnectionFuture, ConnectionService},
};
