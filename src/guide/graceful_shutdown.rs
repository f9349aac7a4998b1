//! When each component learns that a process ends, and which number to set where.
//!
//! # Why a server that shuts down gracefully still loses requests
//!
//! The graceful shutdown of a server begins by closing the listening socket. A load
//! balancer does not know that yet. Until its next probes have failed it sends
//! requests to a closed port, and each of them is an error that a user sees. The
//! process has to use the opposite order: turn its readiness red, serve until the
//! last load balancer has noticed, and only then close.
//!
//! Kept-alive connections are the other half. The server refuses nothing on them,
//! so clients stay; when the process closes such a connection, a request may be on
//! its way, and neither side can tell whether it was handled. So the response to
//! every HTTP/1 request that arrives during the drain carries `connection: close`,
//! and by the end of the delay the busy connections go to other replicas.
//!
//! HTTP/2 has no such header. Its GOAWAY says which streams will still be answered
//! (RFC 9113, section 6.8), but servers send it only when they stop, at the end of
//! the delay. A load balancer that asks for readiness sends elsewhere by then. A
//! client that keeps a connection of its own gets no sign during the whole delay.
//! All such clients reconnect at its end, and a request that they send in that
//! moment is lost unless they retry the requests that GOAWAY declares unhandled.
//!
//! # A connection's way
//!
//! `drain::serve` (feature `serve`) and `Readiness::connections` (feature
//! `connections`, for an accept loop of your own) tell each connection at a moment of
//! its own, in the window from 30 % to 90 % of the delay:
//!
#![doc = include_str!("graceful_shutdown.svg")]
//!
//! Other servers tell all connections in the same instant:
//!
//! | connection | `drain::serve` | `axum::serve` | tonic's `Server` |
//! |---|---|---|---|
//! | HTTP/1 with requests | `connection: close` from its moment on, or before | `connection: close` from the first moment of the drain on, by the layer | as axum |
//! | HTTP/1, idle | closed at its moment | closed when the delay is over | as axum |
//! | HTTP/2 | GOAWAY at its moment; streams end in their own time | GOAWAY when the delay is over | as axum |
//! | a stream whose handler waits for `Retiring` | ends at its moment | ends at the first moment of the drain | as axum |
//! | accepted during the drain | a fifth of the delay later, or more | HTTP/1 closes after its first answer, HTTP/2 when the delay is over | as axum |
//! | in the backlog of the kernel when the delay is over | accepted, and has 100 ms for its first request | reset | as axum |
//! | TLS handshake that hangs | cut off after 10 s | has no TLS | not bounded, unless `ServerTlsConfig::timeout` is set |
//! | first request that does not arrive | cut off after 30 s | not bounded | not bounded |
//! | after the last answer | read until the peer has ended, so no RST | closed at once | closed at once |
//!
//! # The timeline of a pod's end
//!
//! With the defaults of Kubernetes (a grace period of 30 s) and of
//! [`drain_on_signal`](crate::Readiness::drain_on_signal):
//!
//! | seconds | Kubernetes | the process | load balancers |
//! |---|---|---|---|
//! | 0 | marks the pod as terminating; removes its endpoint and sends SIGTERM, in no particular order | `Draining`: readiness red, serves every request, `connection: close` | know nothing yet |
//! | 0 to 2 | the removal reaches kube-proxy and ingress controllers | serves | stop sending, one after the other |
//! | 5 | | `Closing`: stops accepting, sends GOAWAY, finishes the requests in flight | |
//! | 4 to 6 | | | a load balancer with probes of its own and HAProxy's defaults notices now: too late for this delay |
//! | no request in flight for 1 s | | `Closed`: ends, at the latest 2 s later ([`idle_grace`]) | |
//! | up to 25 | | `Closed`: drops the remaining requests ([`closing_cap`]) | |
//! | 30 | SIGKILL | | |
//!
//! [`closing_cap`]: crate::drain::ShutdownBuilder::closing_cap
//!
//! # Which number to set where
//!
//! **The delay** has to be longer than the slowest reader of `/readyz` takes to
//! notice in the worst case.
//!
//! | reader | takes | delay |
//! |---|---|---|
//! | a Kubernetes service in a healthy cluster | 1 to 2 s | 5 s |
//! | HAProxy, `check` with its defaults: `inter 2s`, `fall 3` | 4 to 6 s | 7 s |
//! | HAProxy with `inter 300ms fall 3` | 0.6 to 0.9 s | 2 s |
//! | AWS ALB with its defaults: 30 s, 2 failures, 5 s timeout | 30 to 65 s | deregister the target first, or probe more often |
//! | none: a preStop hook slept already | 0 | 0 |
//! | none: a socket unit of systemd, from which the next process accepts | 0 | 500 ms |
//!
//! A load balancer that probes needs *interval × (failures − 1)*, and up to one
//! interval more until the first probe fails. Its timeout comes on top if a probe
//! gets no answer, as from a process that is too busy.
//!
//! **Delay + cap** has to end a second or two before SIGKILL. The longest request
//! that shall finish has to fit into the cap.
//!
//! | stopped by | time until SIGKILL | set by |
//! |---|---|---|
//! | Docker | 10 s | `docker stop -t`, Compose `stop_grace_period` |
//! | Kubernetes | 30 s, preStop hook included | `terminationGracePeriodSeconds` |
//! | systemd | 90 s | `TimeoutStopSec` |
//!
//! The defaults here (5 s and 20 s) fit Kubernetes and systemd. In Docker, give the
//! container more time or choose smaller values.
//!
//! **A preStop hook that sleeps** replaces the delay for a process without a drain,
//! and is not needed here. If it has to stay, the process learns of the end only
//! after the sleep. Then a delay of zero is right, and no response asks clients to
//! reconnect.
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
//! hyper-util's `GracefulShutdown` watches the connections, and the accept loop
//! also waits for the shutdown future. An error of `accept` must not end the loop:
//! a client hung up, or the process has no file descriptor left until a connection
//! ends.
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
//! tonic goes on at once after an error of `accept`, and occupies a processor while
//! no file descriptor is left. So the stream of connections here waits a moment
//! after an error.
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
//! # Connections without a request
//!
//! A server ends with its last connection, and some connections never end: the
//! client sent half a request, an HTTP/2 client vanished without closing, or a
//! client never sent a byte (an HTTP/2-only server waits for the preface for ever).
//! None of them carries a request in flight, so [`run`](crate::Readiness::run) does
//! not wait for them. After a second without a request in flight the process is
//! `Closed`. 2 seconds later ([`idle_grace`]) `run` drops the server, and the
//! process ends with success. The two seconds are for clients that still read the
//! end of an answer which hyper has already taken. Set more where clients are slow
//! and no proxy stands in between.
//!
//! Only a layer that [counts](crate::ReadinessLayer::count_in_flight) can tell a
//! busy connection from an idle one, and it counts only requests that pass through
//! it: put it around all routes of all servers. Without it, a single such
//! connection delays the end until the cap, and `run` returns
//! [`ShutdownTimeout`](crate::drain::ShutdownTimeout), because a request may have
//! been cut off.
//!
//! [`idle_grace`]: crate::drain::ShutdownBuilder::idle_grace
//!
//! # Threads that block
//!
//! The cap ends futures. A thread of [`tokio::task::spawn_blocking`] cannot be
//! interrupted, and `#[tokio::main]` waits for each of them at the end: a thread
//! that hangs keeps the process until SIGKILL. So build the runtime by hand, and
//! shut it down with a timeout:
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
//! A thread that still blocks after the second ends with the process. The second
//! counts towards the time until SIGKILL, as delay and cap do.
//!
//! # Streams and upgraded connections
//!
//! A handler that streams without end delays the server until the cap. The signal
//! `connections::Retiring` shows the handler when to finish, so that
//! its client reconnects to another replica in time. It completes at the moment of the
//! connection. Where the connection is not known, as with `axum::serve`,
//! `Readiness::retiring` returns a signal that completes
//! with [`draining`](crate::Readiness::draining). `draining` itself is for tasks that
//! belong to no connection.
//!
//! Server-sent events:
//!
#![cfg_attr(feature = "connections", doc = "```")]
#![cfg_attr(not(feature = "connections"), doc = "```ignore")]
//! use axum::{
//!     Extension,
//!     response::sse::{Event, Sse},
//! };
//! use futures_util::{Stream, StreamExt, stream};
//! use std::{convert::Infallible, time::Duration};
//! use tokio::time::interval;
//! use tokio_stream::wrappers::IntervalStream;
//! use tower_readiness::connections::Retiring;
//!
//! async fn events(
//!     Extension(retiring): Extension<Retiring>,
//! ) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
//!     let ticks = IntervalStream::new(interval(Duration::from_secs(1)));
//!     let events = ticks.map(|_| Ok(Event::default().data("tick")));
//!     let last = stream::iter([Ok(Event::default().event("goodbye").data("retiring"))]);
//!     Sse::new(events.take_until(retiring.requested()).chain(last))
//! }
//! # let _: axum::routing::MethodRouter = axum::routing::get(events);
//! ```
//!
//! A websocket (axum's feature `ws`), which says goodbye by a close frame, as any other
//! upgraded connection does in its own protocol:
//!
//! ```ignore
#![doc = include_str!("graceful_shutdown/websocket.rs")]
//! ```
//!
//! A streaming method of tonic, whose request has the extensions of the HTTP request:
//!
#![cfg_attr(feature = "connections", doc = "```")]
#![cfg_attr(not(feature = "connections"), doc = "```ignore")]
//! use futures_util::{Stream, StreamExt, stream};
//! use tonic::{Request, Response, Status};
//! use tower_readiness::{Readiness, connections::Retiring};
//!
//! async fn count(
//!     readiness: &Readiness,
//!     request: Request<()>,
//! ) -> Result<Response<impl Stream<Item = Result<u64, Status>>>, Status> {
//!     let retiring = request.extensions().get::<Retiring>().cloned();
//!     let draining = readiness.draining();
//!     let retired = async move {
//!         match retiring {
//!             Some(retiring) => retiring.requested().await,
//!             None => draining.await,
//!         }
//!     };
//!     let numbers = stream::iter(0..).map(Ok);
//!     Ok(Response::new(numbers.take_until(Box::pin(retired))))
//! }
//! # let _ = |readiness| { let _ = count(readiness, Request::new(())); };
//! ```
//!
//! Servers do not wait for an upgraded connection (a WebSocket). Move its
//! [`InFlightGuard`](crate::drain::InFlightGuard) into the task that continues it,
//! and [`run`](crate::Readiness::run) waits for the connection.
//!
//! # What remains
//!
//! - A connection that is opened just before the listener closes is lost with servers
//!   other than `drain::serve`: the kernel resets it before the server accepts it, or
//!   (not with `Readiness::connections`) the server closes it because no byte has arrived
//!   yet. `drain::serve` accepts it. The connection is lost all the same beyond
//!   `max_connections`, beyond 4,096 that wait, after an error of `accept`, if it is opened
//!   after the last `accept`, and if no request arrives within 100 ms of its accept.
//!   The next connection would be refused anyway. No load balancer should open connections
//!   by then; [`late_arrivals`] counts those that arrive.
//! - An HTTP/1 connection that receives no request during the drain, or with
//!   `drain::serve` between the announcement and its close, is closed without notice.
//!   A client that sends on it in that very moment may retry an idempotent
//!   request, as on every kept-alive connection (RFC 9112, section 9.3.1); other
//!   requests fail.
//! - `kill -9`, a crash and an out-of-memory kill skip the drain. Let the load
//!   balancer retry idempotent requests for these cases.
//!
//! [`late_arrivals`]: crate::Readiness::late_arrivals
