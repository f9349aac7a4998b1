//! Whether the layer stands where it should, in an application that is built as in production.

mod check;
mod client;
mod error;

pub use self::{
    check::WiringCheck,
    error::{Fault, FaultKind, WiringError},
};
use crate::registry::Readiness;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use std::fmt;
use tower_service::Service;

/// Checks that the layer is at the right place in an application.
///
/// The caller lets the process be ready. The check then sends requests of a load balancer, a
/// kubelet and clients: to the probes, to `/` and to a path without a route, with `GET`,
/// `HEAD`, an upload, a gRPC call, and from a script of another origin. It sends them while
/// the process is ready, and while it [pauses](Readiness::pause) the process and
/// [simulates](Readiness::simulate) that a required subsystem fails, which ends with the
/// check. Handlers of the application run for the requests that reach them. No other
/// requests may pass the gates meanwhile.
///
/// The application has the default actions while failing and paused, and a gate of the
/// process; [`WiringCheck`] sets other paths and probes. A service with another request body
/// needs tower's `map_request`: `app.map_request(|it: Request<Full<Bytes>>| it.map(Body::new))`.
///
/// ```
/// use axum::{Router, routing::get};
/// use tower_readiness::{Readiness, ReadinessLayer, Subsystem, testing::{FaultKind, WiringError, check_wired}};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let readiness = Readiness::builder().subsystem(Subsystem::new("storage")).build()?;
/// readiness.reporter("storage")?.leave_ready();
///
/// let right = Router::new()
///     .route("/", get(async || "hello"))
///     .layer(ReadinessLayer::new(&readiness));
/// check_wired(&readiness, right).await?;
///
/// let wrong = Router::new()
///     .layer(ReadinessLayer::new(&readiness))
///     .route("/", get(async || "hello"));
/// let error = check_wired(&readiness, wrong).await.unwrap_err();
/// let WiringError::Faults { faults } = error else { panic!("{error}") };
/// assert_eq!(faults[0].kind(), FaultKind::RoutesOutside);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// When the process is not ready, when no required subsystem has come up, or when the
/// wiring has faults: one error lists all of them, with their remedies and the requests that showed them.
pub async fn check_wired<S, R>(readiness: &Readiness, app: S) -> Result<(), WiringError>
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>>,
    S::Error: fmt::Display,
{
    WiringCheck::new().run(readiness, app).await
}

/// Checks that the layer is at the right place, as [`check_wired`] does.
///
/// # Panics
///
/// With the error of [`check_wired`].
pub async fn assert_wired<S, R>(readiness: &Readiness, app: S)
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>>,
    S::Error: fmt::Display,
{
    if let Err(error) = check_wired(readiness, app).await {
        panic!("{error}");
    }
}
