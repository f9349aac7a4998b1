use crate::wire::Probe;

/// A response extension that names the probe that the response answers.
///
/// Outer layers read it to tell a red probe from a failure of the application.
/// Every response to a probe request has it, whatever the status: the probe may
/// be red, the method not allowed, or the name below the path unknown.
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
    /// Returns the probe that the response answers.
    pub fn probe(&self) -> Probe {
        self.probe
    }
}
