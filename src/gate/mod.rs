//! The gate: a Tower layer that refuses traffic while its readiness is false.
//!
//! ```
//! use http::{Request, StatusCode};
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_readiness::{Readiness, ReadinessLayer, Subsystem};
//! # use http_body_util::Empty;
//! # type Body = Empty<bytes::Bytes>;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let readiness = Readiness::builder()
//!     .subsystem(Subsystem::new("storage"))
//!     .build()?;
//! let storage = readiness.reporter("storage")?;
//!
//! let service = ReadinessLayer::new(&readiness).layer(service_fn(
//!     |_: Request<Body>| async { Ok::<_, std::convert::Infallible>(http::Response::new(Body::new())) },
//! ));
//!
//! let response = service.clone().oneshot(Request::new(Body::new())).await?;
//! assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
//! assert_eq!(response.headers()["x-readiness"], "starting");
//! assert!(response.headers().contains_key("retry-after"));
//!
//! storage.ready();
//! let response = service.oneshot(Request::new(Body::new())).await?;
//! assert_eq!(response.status(), StatusCode::OK);
//! # Ok(())
//! # }
//! ```
//!
//! # Reasons and actions
//!
//! Each [`Reason`](crate::Reason) to hesitate has an [`Action`], which a method
//! `when_…` with its name sets. Where several reasons hold, the gate evaluates
//! the action of each, and a refusal outweighs a hold.
//!
//! | reason | default | |
//! |---|---|---|
//! | [`when_starting`](ReadinessLayer::when_starting) | refuse | or hold, so that early requests wait instead |
//! | [`when_failing`](ReadinessLayer::when_failing) | refuse | the process reported that *it* cannot serve; admit to fail open |
//! | [`when_paused`](ReadinessLayer::when_paused) | admit | probes are red, so load balancers go elsewhere |
//! | [`when_draining`](ReadinessLayer::when_draining), [`when_closing`](ReadinessLayer::when_closing) | admit | with `connection: close` on HTTP/1 |
//! | [`when_closed`](ReadinessLayer::when_closed) | refuse | |
//! | [`when_saturated`](ReadinessLayer::when_saturated) | hold | the inner service has no room |
//!
//! A dependency that all replicas share should be
//! [`shared`](crate::Subsystem::shared) rather than gated: were it required,
//! its outage would make every replica refuse at once.
//!
//! # The response of a refusal
//!
//! The client gets `503` with `retry-after` (1 to 5 seconds, at random, so that
//! clients do not come back in step), `cache-control: no-store`, the marker
//! `x-readiness` with the reason, and one line of text. The marker distinguishes
//! the refusal from a 503 of the application. A gRPC call gets `UNAVAILABLE` in a
//! trailers-only response, with the same delay as `grpc-retry-pushback-ms` (gRFC
//! A6), which replaces the backoff of a client that retries. The inner service
//! never sees a refused request or its body, so a proxy may safely retry it on
//! another host.
//!
//! Layers outside find a [`Refusal`] in the response's extensions, and
//! [`respond_with`](ReadinessLayer::respond_with) replaces the response.
//!
//! # The body of a refused request
//!
//! A server that answers a request while the client still sends its body, and
//! then closes the connection, makes the kernel send RST: the client may lose
//! the answer, and a client that keeps connections loses its next request (RFC
//! 9112, section 9.6). So on HTTP/1 the layer reads the body of a request that it
//! refuses, and drops it. The same holds for a request to a probe path with any
//! method, and for a request that was held or waited before it was refused.
//!
//! | the body | the answer | after the answer |
//! |---|---|---|
//! | none, or all of it has arrived | at once | the connection stays open |
//! | ends while bytes flow: at most 300 ms apart, for 2 s, 64 MiB | when it has ended | the connection stays open |
//! | goes on, or pauses for longer | at that bound, with `connection: close` | a task reads on: at most 5 s between bytes, 30 s in all |
//! | announces more than 64 MiB | at once, with `connection: close` | the same |
//! | waits for `100 Continue` | at once, with `connection: close`, and no 100 | the same |
//!
//! Once the task has reached a bound, it keeps the body for another half a
//! second, before hyper closes the connection. One layer reads at most 1,024
//! bodies after their answers; a further body is dropped with its answer. All
//! these bounds are [settable](ReadinessLayer::unread_body), and reading can be
//! [turned off](UnreadBody::ignore). Requests without a body cost nothing more.
//!
//! On HTTP/2, the server resets a stream whose body has not ended, and the connection
//! stays open. A client must not discard the answer then (RFC 9113, section 8.1), but some
//! do, such as curl 7.88. So the layer reads a body that the client sends without waiting
//! for the server: of a known length, at most 65,535 bytes (the window of a new stream,
//! section 6.9.2), within the same times. It answers any other request at once, streams of
//! gRPC among them.
//!
//! A body that is read is not [in flight](crate::Readiness::in_flight), before
//! its answer or after, so it does not delay [`Closed`](crate::Phase::Closed). Its
//! connection is open until the body ends. [`Readiness::run`](crate::Readiness::run)
//! does not wait for that connection where a layer counts requests in flight;
//! another server, such as axum's graceful shutdown alone, waits for at most the
//! 30 seconds.
//!
//! Four cases remain. A client that sends its whole body before it reads
//! loses the answer where the body takes longer than the bounds. Behind HAProxy, a
//! client that asked for `100 Continue`, skips its body after the answer, and
//! sends its next request on the same connection, loses that request. And nginx
//! with `proxy_request_buffering off` promises its client to keep a connection
//! that it closes, where the body ends later than the answer; by default nginx
//! buffers. Envoy closes the connection of a client that still sends a second
//! after the answer (`delayed_close_timeout`).
//!
//! # Readiness drift
//!
//! Readiness is the claim of the subsystems; the outcomes of the admitted
//! requests show whether it is true. A layer that
//! [observes outcomes](ReadinessLayer::observe_outcomes) counts how many requests
//! it admitted while its scope was ready, and how many of them failed
//! nevertheless, over the last five minutes. Such failures mean that a check is
//! missing or tests the wrong thing. [`Readiness::drift`](crate::Readiness::drift),
//! [`Scope::drift`](crate::Scope::drift) and `/statusz` show the counts.
//!
//! ```
//! # use http::{Request, Response, StatusCode};
//! # use http_body_util::Empty;
//! # use tower::{Layer, ServiceExt, service_fn};
//! # use tower_readiness::{Readiness, ReadinessLayer, Subsystem};
//! # type Body = Empty<bytes::Bytes>;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let readiness = Readiness::builder().subsystem(Subsystem::new("storage")).build()?;
//! readiness.reporter("storage")?.leave_ready(); // or so it believes
//!
//! let layer = ReadinessLayer::new(&readiness).observe_outcomes();
//! let service = layer.layer(service_fn(|_: Request<Body>| async {
//!     let mut response = Response::new(Body::new());
//!     *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
//!     Ok::<_, std::convert::Infallible>(response)
//! }));
//! drop(service.oneshot(Request::new(Body::new())).await?);
//!
//! let drift = readiness.drift().expect("it is observed");
//! assert_eq!((drift.admitted(), drift.failed()), (1, 1));
//! # Ok(())
//! # }
//! ```
//!
//! A request was admitted while ready if no reason held when the gate admitted
//! it, at once or after a hold. It counts once, at its end:
//!
//! | outcome | counts as |
//! |---|---|
//! | a status of 5xx | failed |
//! | a gRPC status of `UNAVAILABLE` or `INTERNAL`, in trailers or trailers-only | failed |
//! | a body that ended with an error | failed |
//! | an error of the inner service, or a panic in it or in a classifier | failed |
//! | any other head, and then the end of its body, or a client that hangs up during the body | answered |
//! | a client that hung up before the head | not counted |
//! | a refusal, also by a gate further inside, or a probe answered there | not counted |
//! | the same, if a [responder](ReadinessLayer::respond_with) there turned it into a response that is not a failure | answered |
//!
//! Probes and gRPC's health service do not count. Nor does a request that was
//! admitted (or is exempt) although there was a reason to hesitate. While there
//! is no reason, the gate does not evaluate exemptions, and exempt requests count
//! like the rest. [A classifier](ReadinessLayer::observe_outcomes_with), also
//! one of tower-http's with the feature `tower-http`, can define other responses
//! as failures. With a classifier, a refusal further inside never counts,
//! even if a responder changed its response. (Without a classifier, the layer
//! searches only failed responses for a refusal, so that the others do not pay for
//! it.)
//!
//! A layer outside that gives up on a request, such as tower-http's
//! `TimeoutLayer`, looks like a client that hung up; put it inside. The status
//! of gRPC-Web is hidden in the body once `tonic-web` has translated it; put
//! this layer inside of that.
//!
//! # Position in the stack
//!
//! Put the layer outside of every layer that should not see refused traffic or
//! probes: authentication, routing, and above all limits, because a probe that
//! waits behind a `ConcurrencyLimit` shows nothing about readiness. Layers that
//! observe (request ids, metrics) and [CORS](#cors) go outside of it. The example
//! `full_stack` has a whole stack in the right order, to copy.
//!
//! tower-http's `TraceLayer` classifies every 5xx as a failure. Outside, it logs
//! an error for each refusal and each red probe, unless it is built with
//! `ReadinessAsSuccess` (feature `tower-http`). Inside, it sees neither.
//!
//! With axum, add it **last, to the outermost router**, after every `route`,
//! `nest`, `merge` and `fallback`. Probe paths have no routes, so they reach the
//! layer through the fallback that it wraps. Elsewhere:
//!
//! | position | effect |
//! |---|---|
//! | `.layer(l).fallback(f)` | **wrong**: the later fallback answers probes, with 200 if it serves a single-page application |
//! | `.layer(l).route(..)` | **wrong**: the later route is not gated |
//! | `.route_layer(l)` | gates the routes; probes have no routes, so they are 404 |
//! | `a.merge(b)` before `.layer(l)` | right |
//! | `a.layer(l).merge(b)` | **wrong**: the fallback of `b` wins, so probes are 404, or 200 where that fallback answers 200, as in the router of tonic's `into_axum_router` |
//! | `.nest("/api", inner.layer(l))` | gates the nested routes; probes are 404, or at `/api/readyz` where `inner` has a fallback of its own |
//! | `get(f).layer(ReadinessLayer::gate(scope))` | right for one route, see [`ReadinessLayer::gate`] |
//!
//! To put it around a whole router instead, serve
//! `Router::new().fallback_service(layer.layer(router))`.
//!
//! # CORS
//!
//! A `CorsLayer` inside, as "add it last" makes it, leaves refusals without CORS
//! headers: a script in a browser sees a network error, with neither a status
//! nor `retry-after`, and the preflights are refused as well. So put it outside,
//! and expose the headers that a script shall read:
//!
//! ```
//! # use tower_readiness::{Readiness, ReadinessLayer, Subsystem};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let readiness = Readiness::builder().subsystem(Subsystem::new("storage")).build()?;
//! use http::header::RETRY_AFTER;
//! use tower::ServiceBuilder;
//! use tower_http::cors::{Any, CorsLayer};
//! use tower_readiness::gate::MARKER_HEADER;
//!
//! let cors = CorsLayer::new()
//!     .allow_origin(Any)
//!     .expose_headers([RETRY_AFTER, MARKER_HEADER]);
//! let stack = ServiceBuilder::new()
//!     .layer(cors)
//!     .layer(ReadinessLayer::new(&readiness));
//! # let _ = stack;
//! # Ok(())
//! # }
//! ```
//!
//! Outside, it answers every `OPTIONS` by itself, with 200: `OPTIONS /readyz` is
//! green for ever. A health check that names no method may use it, as HAProxy's
//! does; name the method there (`option httpchk GET /readyz`).
//!
//! # Guarantees for the inner service
//!
//! - The layer calls its `poll_ready` only for a request that is about to be
//!   passed to it: probes and refusals never take a permit or a place in a queue.
//!   This requires `S: Clone`.
//! - The layer calls the same instance whose `poll_ready` returned ready.
//! - An error of its `poll_ready` fails only the request that polled it; probes go
//!   on answering.
//! - The service and its futures need neither `Send` nor `'static`. The body
//!   of the request needs both, because it may be [read after the
//!   answer](#the-body-of-a-refused-request).
//!
//! The layer's own `poll_ready` is therefore always ready, and exerts no
//! backpressure. A layer outside that relies on backpressure, such as tower's
//! `LoadShed`, finds nothing to shed; use
//! [`when_saturated`](ReadinessLayer::when_saturated) instead.

mod action;
mod body;
mod counts;
mod decision;
mod direct;
mod drift;
mod future;
#[expect(clippy::module_inception, reason = "the state of the gate")]
mod gate;
mod head;
mod hold;
mod layer;
mod log;
#[cfg(all(test, tower_readiness_loom))]
mod loom;
mod outcome;
mod refusal;
mod service;
mod shed;
#[cfg(feature = "tower-http")]
mod tower_http;
mod waiting_request;

#[cfg(feature = "tower-http")]
pub use self::tower_http::{ReadinessAsSuccess, TowerHttpClassifier};
pub use self::{
    action::Action,
    body::ReadinessBody,
    counts::GateCounts,
    direct::{Admitted, DirectGate},
    future::ResponseFuture,
    head::RequestHead,
    hold::{Hold, HoldBuilder},
    layer::ReadinessLayer,
    refusal::{MARKER_HEADER, Refusal, RetryAfter, RetryAfterError},
    service::ReadinessService,
    shed::Shed,
};
pub use crate::{
    traffic::{Classified, ClassifyEnd, ClassifyOutcome, Drift},
    unread::{UnreadBody, UnreadBodyBuilder},
};
