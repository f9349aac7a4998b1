//! Who learns when that a process ends, and which number to set where.
//!
//! # Why a server that shuts down gracefully still loses requests
//!
//! What servers call graceful shutdown begins by closing the listening socket.
//! A load balancer does not know that yet. Until its next probes have failed,
//! it goes on to send requests to a port where nobody listens, and every one
//! of them is an error that a user sees. The process has to do it the other
//! way round: turn its readiness red, serve until the last load balancer has
//! noticed, and only then close.
//!
//! Connections that are kept alive are the other half. Nothing is refused on
//! them, so nobody moves away; when the process closes them at last, a request
//! may be on its way, and neither side can tell whether it was handled. So the
//! response to every HTTP/1 request that arrives during the drain carries
//! `connection: close`, and by the end of the delay the busy connections are
//! elsewhere.
//!
//! HTTP/2 has no such header. Its GOAWAY says which streams will still be answered
//! (RFC 9113, section 6.8), but servers send it only when they are told to stop,
//! at the end of the delay. A load balancer that asks for readiness has moved away
//! by then. A client that keeps a connection of its own gets no sign during the
//! whole delay; all of them reconnect at its end, and a request that one of them
//! sends in that moment needs a client that tries again what GOAWAY says was not
//! handled.
//!
//! # The timeline of a pod's end
//!
//! With the defaults of Kubernetes (a grace period of 30 s) and of
//! [`drain_on_signal`](crate::Readiness::drain_on_signal):
//!
//! | seconds | Kubernetes | the process | load balancers |
//! |---|---|---|---|
//! | 0 | marks the pod as terminating; removes its endpoint and sends SIGTERM, in no particular order | `Draining`: readiness red, all is served, `connection: close` | know nothing yet |
//! | 0 to 2 | the removal reaches kube-proxy and ingress controllers | serves | stop sending, one after the other |
//! | 5 | | `Closing`: stops to accept, sends GOAWAY, finishes what is in flight | |
//! | 4 to 6 | | | one that probes by itself, with HAProxy's defaults, notices now: too late for this delay |
//! | when nothing was in flight for 1 s | | `Closed`: ends, at the latest 2 s later ([`idle_grace`]) | |
//! | up to 25 | | `Closed`: gives up on what is left ([`closing_cap`]) | |
//! | 30 | SIGKILL | | |
//!
//! [`closing_cap`]: crate::drain::ShutdownBuilder::closing_cap
//!
//! # Which number to set where
//!
//! **The delay** has to be longer than the slowest of those who must notice
//! takes in the worst case.
//!
//! | who must notice | takes | delay |
//! |---|---|---|
//! | a Kubernetes service in a healthy cluster | 1 to 2 s | 5 s |
//! | HAProxy, `check` with its defaults: `inter 2s`, `fall 3` | 4 to 6 s | 7 s |
//! | HAProxy with `inter 300ms fall 3` | 0.6 to 0.9 s | 2 s |
//! | AWS ALB with its defaults: 30 s, 2 failures, 5 s timeout | 30 to 65 s | deregister the target first, or probe more often |
//! | nobody: a preStop hook that slept already | 0 | 0 |
//! | nobody: a socket of systemd's, which the next process accepts from | 0 | 500 ms |
//!
//! A load balancer that probes needs *interval × (failures − 1)*, and up to one
//! interval more until the first probe fails; and its timeout on top if a probe
//! is not answered at all, as by a process that is too busy.
//!
//! **Delay + cap** has to fit, with a second or two to spare, into what is left
//! until SIGKILL. The longest request you want to finish has to fit into the
//! cap.
//!
//! | who stops it | time until SIGKILL | set by |
//! |---|---|---|
//! | Docker | 10 s | `docker stop -t`, Compose `stop_grace_period` |
//! | Kubernetes | 30 s, preStop hook included | `terminationGracePeriodSeconds` |
//! | systemd | 90 s | `TimeoutStopSec` |
//!
//! The defaults here (5 s and 20 s) fit Kubernetes and systemd. In Docker, give
//! the container more time or choose smaller ones.
//!
//! **A preStop hook that sleeps** does the same as the delay, for a process
//! that knows no better: it need not be there any more. If it has to stay, the
//! process learns of the end only when the sleep is over; then a delay of zero
//! is right, and the responses that ask to reconnect are lost.
//!
//! # axum
//!
//! ```
//! # use axum::{Router, routing::get};
//! # use std::time::Duration;
//! # use tower_readiness::{Readiness, ReadinessLayer, Subsystem};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let readiness = Readiness::builder().subsystem(Subsystem::new("listener")).build()?;
//! # readiness.reporter("listener")?.leave_ready();
//! let app = Router::new()
//!     .route("/", get(async || "hello"))
//!     .layer(ReadinessLayer::new(&readiness).count_in_flight());
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//!
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
//! # hyper
//!
//! hyper-util's `GracefulShutdown` watches the connections; the shutdown is one
//! more thing that the accept loop waits for. An error of `accept` must not end
//! the loop: it says that a client hung up, or that the process has no file
//! descriptor left, and then the next connection that ends gives one back.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use hyper::body::Incoming;
//! use hyper_util::{
//!     rt::{TokioExecutor, TokioIo},
//!     server::{conn::auto, graceful::GracefulShutdown},
//!     service::TowerToHyperService,
//! };
//! use std::{convert::Infallible, pin::pin, time::Duration};
//! use tower::{Layer, service_fn};
//! # use tower_readiness::{Readiness, ReadinessLayer, Subsystem};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let readiness = Readiness::builder().subsystem(Subsystem::new("listener")).build()?;
//! # readiness.reporter("listener")?.leave_ready();
//! # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//!
//! let service = ReadinessLayer::new(&readiness)
//!     .count_in_flight()
//!     .layer(service_fn(async |_: Request<Incoming>| {
//!         Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("hello")))
//!     }));
//!
//! # #[cfg(feature = "signal")]
//! let shutdown = readiness.drain_on_signal(Duration::from_secs(5))?;
//! # #[cfg(not(feature = "signal"))]
//! # let shutdown = readiness.shutdown().build()?;
//! # readiness.advance(tower_readiness::Phase::Closing);
//! readiness.run(async {
//!     let server = auto::Builder::new(TokioExecutor::new());
//!     let graceful = GracefulShutdown::new();
//!     let mut shutdown = pin!(shutdown);
//!     loop {
//!         let accepted = tokio::select! {
//!             accepted = listener.accept() => accepted,
//!             () = &mut shutdown => break,
//!         };
//!         let Ok((stream, _)) = accepted else {
//!             tokio::time::sleep(Duration::from_millis(100)).await;
//!             continue;
//!         };
//!         let service = TowerToHyperService::new(service.clone());
//!         let connection = server.serve_connection(TokioIo::new(stream), service);
//!         let connection = graceful.watch(connection.into_owned());
//!         tokio::spawn(async move {
//!             let _ = connection.await; // a client that hangs up is no news
//!         });
//!     }
//!     drop(listener);
//!     graceful.shutdown().await;
//! }).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # tonic
//!
//! tonic goes on after an error of `accept`, but at once, and uses up a processor
//! while there is no file descriptor left; so its stream of connections waits a
//! moment.
//!
//! ```
//! use std::time::Duration;
//! use tokio_stream::{StreamExt, wrappers::TcpListenerStream};
//! use tonic::transport::Server;
//! # use tower_readiness::{Readiness, ReadinessLayer, Subsystem};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let readiness = Readiness::builder().subsystem(Subsystem::new("listener")).build()?;
//! # readiness.reporter("listener")?.leave_ready();
//! # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! # let (_, greeter) = tonic_health::server::health_reporter();
//!
//! # #[cfg(feature = "signal")]
//! let shutdown = readiness.drain_on_signal(Duration::from_secs(5))?;
//! # #[cfg(not(feature = "signal"))]
//! # let shutdown = readiness.shutdown().build()?;
//! # readiness.advance(tower_readiness::Phase::Closing);
//! let incoming = TcpListenerStream::new(listener).then(async |accepted| {
//!     if accepted.is_err() {
//!         tokio::time::sleep(Duration::from_millis(100)).await;
//!     }
//!     accepted
//! });
//! let server = Server::builder()
//!     .layer(ReadinessLayer::new(&readiness).count_in_flight())
//!     .add_service(greeter)
//!     .serve_with_incoming_shutdown(incoming, shutdown);
//! readiness.run(server).await??;
//! # Ok(())
//! # }
//! ```
//!
//! # Connections that do nothing
//!
//! A server ends when its last connection does, and some never end: half a
//! request was sent on it, its HTTP/2 client vanished without a word, nothing
//! was ever sent at all (a server that speaks HTTP/2 alone goes on to wait for
//! the preface). Nothing of it is work, so [`run`](crate::Readiness::run) does
//! not wait for it: when nothing has been in flight for a second the process is
//! `Closed`, and 2 seconds later ([`idle_grace`]) the server is dropped, which is
//! a success. The two seconds are for clients that still read the end of an
//! answer which hyper has taken already; give them more where clients are slow
//! and no proxy stands in between.
//!
//! Only a layer that [counts](crate::ReadinessLayer::count_in_flight) can tell a
//! connection that works from one that does nothing, and it tells of the requests
//! that pass through it alone: put it around all routes of all servers. Without it,
//! a single connection of this kind holds up the process until the cap, and `run`
//! gives [`ShutdownTimeout`](crate::drain::ShutdownTimeout), for something may have been cut off.
//!
//! [`idle_grace`]: crate::drain::ShutdownBuilder::idle_grace
//!
//! # Threads that block
//!
//! The cap ends futures. A thread of [`tokio::task::spawn_blocking`] cannot be
//! interrupted, and `#[tokio::main]` waits for each of them when all else has
//! ended: one that hangs keeps the process until SIGKILL. So build the runtime by
//! hand, and let it go in time:
//!
//! ```
//! # use std::time::Duration;
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let runtime = tokio::runtime::Runtime::new()?;
//!     let ended = runtime.block_on(run());
//!     runtime.shutdown_timeout(Duration::from_secs(1));
//!     ended
//! }
//!
//! async fn run() -> Result<(), Box<dyn std::error::Error>> {
//!     // … readiness.run(server).await?? …
//!     Ok(())
//! }
//! ```
//!
//! What still blocks after the second ends with the process. The second counts
//! towards the time until SIGKILL as delay and cap do.
//!
//! # Streams and upgraded connections
//!
//! A handler that streams without end holds up the server until the cap. It can
//! be polite instead: [`draining`](crate::Readiness::draining) tells it when to
//! finish, so that the client comes back elsewhere while all is well.
//!
//! ```
//! # use tower_readiness::{Readiness, Subsystem};
//! # async fn next_event() -> &'static str { std::future::pending().await }
//! # async fn send(_: &str) {}
//! async fn events(readiness: Readiness) {
//!     let mut draining = std::pin::pin!(readiness.draining());
//!     loop {
//!         tokio::select! {
//!             () = &mut draining => return send("event: come back").await,
//!             event = next_event() => send(event).await,
//!         }
//!     }
//! }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let readiness = Readiness::builder().subsystem(Subsystem::new("listener")).build()?;
//! # readiness.drain();
//! # events(readiness).await;
//! # Ok(())
//! # }
//! ```
//!
//! Servers do not wait for an upgraded connection (a WebSocket): to them it is
//! none of theirs any more. Move its [`InFlightGuard`](crate::drain::InFlightGuard) into
//! the task that goes on with it, and [`run`](crate::Readiness::run) waits for
//! it.
//!
//! # What remains
//!
//! - A connection that is opened at the very moment the listener closes is
//!   lost: it is reset before it is accepted, or closed because nothing was sent
//!   on it yet. The next one would have been refused anyway. Nobody should open
//!   any by then; [`late_arrivals`] tells if somebody does.
//! - An HTTP/1 connection that was idle all through the delay is closed without
//!   a word. A client that sends on it in that very moment may send again what
//!   is idempotent, as on every connection that is kept alive (RFC 9112,
//!   section 9.3.1); the rest fails.
//! - `kill -9`, a crash and an out-of-memory kill drain nothing. For those let
//!   the load balancer retry what is idempotent.
//!
//! [`late_arrivals`]: crate::Readiness::late_arrivals
