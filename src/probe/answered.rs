use super::route::Probe;

/// The probe that a response answers, in the extensions of the response: for
/// layers outside, to which a red probe looks like a failure of the application.
///
/// It stands on every response to a request for a probe, whatever its status:
/// the probe may be red, the method may not be allowed, or a name below it
/// unknown.
///
/// ```
/// use http::{Request, StatusCode};
/// use tower::ServiceExt;
/// use tower_readiness::{
///     Readiness, Subsystem,
///     probe::{Probe, ProbeAnswer, Probes},
/// };
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let readiness = Readiness::builder().subsystem(Subsystem::new("storage")).build()?;
/// let request = Request::get("/readyz").body(String::new())?;
/// let response = Probes::new(&readiness).oneshot(request).await?;
/// assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
/// let answer = response.extensions().get::<ProbeAnswer>();
/// assert_eq!(answer.map(ProbeAnswer::probe), Some(Probe::Readiness));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeAnswer {
    pub(super) probe: Probe,
}

impl ProbeAnswer {
    /// The probe that was asked.
    pub fn probe(&self) -> Probe {
        self.probe
    }
}
