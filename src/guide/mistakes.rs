//! Errors of the compiler and at run time that users of the crate meet first, by their
//! text, and their remedies.
//!
//! # the trait bound `App: Clone` is not satisfied
//!
//! The gate needs a service that is `Clone`: it replaces a service that was polled and
//! not called, so that a refusal keeps no permit of a `ConcurrencyLimit`. Derive `Clone`,
//! or put the service into `tower::buffer::Buffer` if it cannot be cloned.
//!
#![cfg_attr(feature = "gate", doc = "```compile_fail,E0277")]
#![cfg_attr(not(feature = "gate"), doc = "```ignore")]
//! use http::{Request, Response};
//! use std::{convert::Infallible, future::{Ready, ready}, task::{Context, Poll}};
//! use tower::{Layer, Service, ServiceExt};
//! use tower_readiness::{Readiness, ReadinessLayer};
//!
//! struct App; // without #[derive(Clone)]
//!
//! impl Service<Request<String>> for App {
//!     type Response = Response<String>;
//!     type Error = Infallible;
//!     type Future = Ready<Result<Response<String>, Infallible>>;
//! #   fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
//! #       Poll::Ready(Ok(()))
//! #   }
//! #   fn call(&mut self, _: Request<String>) -> Self::Future {
//! #       ready(Ok(Response::default()))
//! #   }
//!     // …
//! }
//!
//! # fn gated(readiness: &Readiness) {
//! let service = ReadinessLayer::new(readiness).layer(App);
//! service.oneshot(Request::new(String::new()));
//! # }
//! ```
//!
//! A call of a method of the service directly fails with ``the method `call` exists for
//! struct `ReadinessService<App>`, but its trait bounds were not satisfied``, and names
//! `App: Clone` below.
//!
//! # borrow of moved value: `readiness`
//!
//! An `async move` block or a closure has taken the only handle. A [`Readiness`](crate::Readiness)
//! is cheap to clone, and all clones refer to the same registry: clone it before the block.
//!
//! ```compile_fail,E0382
//! use tower_readiness::{Readiness, Subsystem};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let readiness = Readiness::builder().subsystem(Subsystem::new("storage")).build()?;
//! let up = async move { readiness.wait_ready().await };
//! let storage = readiness.reporter("storage")?; // `readiness` was moved
//! # drop((up, storage));
//! # Ok(())
//! # }
//! ```
//!
//! ```
//! # use tower_readiness::{Readiness, Subsystem};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let readiness = Readiness::builder().subsystem(Subsystem::new("storage")).build()?;
//! let up = {
//!     let readiness = readiness.clone();
//!     async move { readiness.wait_ready().await }
//! };
//! let storage = readiness.reporter("storage")?;
//! # drop((up, storage));
//! # Ok(())
//! # }
//! ```
//!
//! # the trait bound `TowerHttpClassifier<_>: From<SharedClassifier<ServerErrorsAsFailures>>` is not satisfied
//!
//! The program depends on two versions of tower-http: the feature `tower-http` of this
//! crate uses version 0.7, and traits and types of another version are different ones,
//! although they have the same names. `cargo tree --invert tower-http` shows which crate
//! brings which version; use 0.7 in `Cargo.toml`. Without the feature `tower-http`, all
//! versions of tower-http work: its layers meet this crate in Tower's traits alone.
//!
//! # reporter dropped; was ready; keep the reporter, or call leave_ready()
//!
//! A log line (`subsystem failing`) and `/statusz` show this reason, and the gate refuses
//! requests: the [`Reporter`](crate::Reporter) was dropped at the end of a block, or was
//! assigned to `_`, which drops it at once. (The compiler suggests `let _ = …` for
//! ``unused `Reporter` that must be used``; do not follow it.) Keep the reporter in the
//! task that knows the state. Where the subsystem cannot fail any more, as a bound port,
//! call [`leave_ready`](crate::Reporter::leave_ready).
//!
//! ```
//! use tower_readiness::{Readiness, Subsystem};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let readiness = Readiness::builder().subsystem(Subsystem::new("storage")).build()?;
//! {
//!     let storage = readiness.reporter("storage")?;
//!     storage.ready();
//! } // drops it
//! let snapshot = readiness.snapshot();
//! let reason = snapshot.subsystem("storage").and_then(|it| it.reason());
//! assert_eq!(
//!     reason,
//!     Some("reporter dropped; was ready; keep the reporter, or call leave_ready()")
//! );
//!
//! readiness.reporter("storage")?.leave_ready();
//! assert!(readiness.verdict().is_ready());
//! # Ok(())
//! # }
//! ```
//!
//! # A route answers although `/readyz` is red
//!
//! No error names this mistake: `Router::layer` of axum wraps the routes that the router
//! has at that moment, so a route that is added later has no gate. Add the layer last.
//! `assert_wired` of the feature `test-util` finds this mistake in a test.
//!
#![cfg_attr(feature = "gate", doc = "```")]
#![cfg_attr(not(feature = "gate"), doc = "```ignore")]
//! use axum::{Router, body::Body, http::{Request, StatusCode}, routing::get};
//! use tower::ServiceExt;
//! use tower_readiness::{Readiness, ReadinessLayer, Subsystem};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let readiness = Readiness::builder().subsystem(Subsystem::new("storage")).build()?;
//! let wrong = Router::new()
//!     .route("/early", get(async || "hello"))
//!     .layer(ReadinessLayer::new(&readiness))
//!     .route("/late", get(async || "hello"));
//! for (path, status) in [
//!     ("/readyz", StatusCode::SERVICE_UNAVAILABLE),
//!     ("/early", StatusCode::SERVICE_UNAVAILABLE),
//!     ("/late", StatusCode::OK), // the gate does not see it
//! ] {
//!     let answer = wrong.clone().oneshot(Request::get(path).body(Body::empty())?).await?;
//!     assert_eq!(answer.status(), status);
//! }
//! # Ok(())
//! # }
//! ```
