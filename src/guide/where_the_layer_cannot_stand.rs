//! Gates for servers without Tower, consumers of queues and clients of gRPC.
//!
//! The layer needs a Tower service with the types of `http` 1. Elsewhere the application
//! asks the same gate itself: [`ReadinessLayer::direct`](crate::ReadinessLayer::direct)
//! returns a [`DirectGate`](crate::gate::DirectGate), with the actions, counts, guards and
//! responses of the layer.
//!
//! | where | what to call | example |
//! |---|---|---|
//! | a server with types of its own, such as warp 0.3, Rocket 0.5 or actix-web (`http` 0.2), or a thread of tiny_http | [`decide`](crate::gate::DirectGate::decide) with the head, in the types of `http` 1 | `hyper_0_14` |
//! | the same, with requests that wait for readiness | [`decide_or_hold`](crate::gate::DirectGate::decide_or_hold) | `hyper_0_14` |
//! | a consumer of a queue | [`try_admit`](crate::gate::DirectGate::try_admit) or [`admit`](crate::gate::DirectGate::admit), before it takes a message | `worker` |
//! | clients that ask gRPC's health service for the name of a service | an alias for a scope or a subsystem, see `GrpcHealth::builder` | `mux` |
//! | a port of its own for operators | [`Probes`](crate::probe::Probes), which is a service, or an admin listener | `admin_port` |
//!
//! # A server with types of its own
//!
//! ```
//! use http::{Request, StatusCode};
//! use tower_readiness::{Readiness, ReadinessLayer, Subsystem};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let readiness = Readiness::builder().subsystem(Subsystem::new("storage")).build()?;
//! let storage = readiness.reporter("storage")?;
//! let layer = ReadinessLayer::gate(&readiness).count_in_flight().observe_outcomes();
//! let gate = layer.direct();
//!
//! // Only the head: method, target, version and headers, copied by the server.
//! let head = Request::get("/orders").body(())?;
//! let refusal = gate.decide(&head).unwrap_err();
//! let response = gate.response(refusal, &head); // to be copied into the server's types
//! assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
//! assert_eq!(response.headers()["x-readiness"], "starting");
//!
//! storage.ready();
//! let admitted = gate.decide(&head).unwrap();
//! assert_eq!(readiness.in_flight(), Some(1)); // so that a drain waits for it
//! admitted.succeeded(); // when its response has ended
//! # Ok(())
//! # }
//! ```
//!
//! The gate does not see the connection, so the server has to:
//!
//! - keep the [`Admitted`](crate::gate::Admitted) until the body of the response has ended, so
//!   that a drain waits for it.
//! - answer probes before it asks the gate, so that they are answered while the gate
//!   refuses: [`Probes::paths`](crate::probe::Probes::paths) lists them.
//! - say `connection: close` where
//!   [`closes_connection`](crate::gate::Admitted::closes_connection) tells so.
//! - read the body of a refused request to its end, or close the connection. (hyper does
//!   the latter.)
//! - stop accepting when [`closing`](crate::Readiness::closing) completes. A server that is
//!   a future gets the [`Shutdown`](crate::drain::Shutdown) itself.
//!
//! The example `hyper_0_14` does all of this for a server that has not moved to hyper 1:
//! `cargo run --manifest-path examples/hyper_0_14/Cargo.toml`. Of a head it copies the method,
//! the target, the version and the two headers that the gate and the probes read, `accept` and
//! `content-type`.
//!
//! A wait needs a tokio runtime; `decide` and `try_admit` need none.
//!
//! # A consumer of a queue
//!
//! A worker waits for messages only while the process is ready, and gives back one that came
//! when it no longer was, so that another replica takes it. The guard keeps a drain
//! waiting until the message is done. A worker that waits for a message has no guard, and
//! ends its wait when the process drains: otherwise an empty queue would hold up the drain.
//! (So the wait for a message has to be cancel safe.)
//! (With the gate of a scope, it waits by [`Scope::wait_ready`](crate::Scope::wait_ready), since
//! the loop would otherwise go on without a pause while the scope fails.)
//!
//! ```
//! # use std::{future::pending, time::Duration};
//! # use tower_readiness::{Readiness, ReadinessLayer, Subsystem, gate::DirectGate};
//! # async fn next_message() -> Option<u32> { pending().await }
//! # async fn give_back(_: u32) {}
//! # async fn work(_: u32) -> Result<(), std::io::Error> { Ok(()) }
//! async fn consume(readiness: Readiness, gate: DirectGate) {
//!     while readiness.wait_ready().await.is_ok() {
//!         let message = tokio::select! {
//!             message = next_message() => message,
//!             () = readiness.draining() => break,
//!         };
//!         let Some(message) = message else { break };
//!         let Ok(admitted) = gate.try_admit() else {
//!             give_back(message).await;
//!             continue;
//!         };
//!         match work(message).await {
//!             Ok(()) => admitted.succeeded(),
//!             Err(_) => admitted.failed(),
//!         }
//!     }
//! }
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let readiness = Readiness::builder().subsystem(Subsystem::new("storage")).build()?;
//! # readiness.reporter("storage")?.leave_ready();
//! # let gate = ReadinessLayer::gate(&readiness).count_in_flight().direct();
//! # let consumer = tokio::spawn(consume(readiness.clone(), gate));
//! # tokio::task::yield_now().await;
//! # assert_eq!(readiness.in_flight(), Some(0));
//! # readiness.drain();
//! # tokio::time::timeout(Duration::from_secs(60), consumer).await??;
//! # Ok(())
//! # }
//! ```
//!
//! [`admit`](crate::gate::DirectGate::admit) waits by the layer's
//! [hold](crate::gate::Hold) instead: a bounded time, and after an outage a few workers at a
//! time.
