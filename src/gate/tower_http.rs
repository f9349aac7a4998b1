use crate::traffic::{Classified, ClassifyEnd, ClassifyOutcome};
use http::{HeaderMap, Request, Response};
use tower_http::classify::{
    ClassifiedResponse, ClassifyEos, ClassifyResponse, MakeClassifier, SharedClassifier,
};

/// Lets a classifier of tower-http's tell which responses are failures, such as
/// one that a `TraceLayer` has.
///
/// ```
/// # use tower_readiness::{Readiness, ReadinessLayer, Subsystem};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let readiness = Readiness::builder().subsystem(Subsystem::new("storage")).build()?;
/// use tower_http::classify::{GrpcCode, GrpcErrorsAsFailures};
/// use tower_readiness::gate::TowerHttpClassifier;
///
/// let classifier = GrpcErrorsAsFailures::new().with_success(GrpcCode::NotFound);
/// let layer = ReadinessLayer::new(&readiness)
///     .observe_outcomes_with(TowerHttpClassifier::new(classifier));
/// # Ok(())
/// # }
/// ```
///
/// Errors of the inner service and of bodies are failures without asking it:
/// it could only have said of what class they are. One that wants to see the
/// end of a response costs two small allocations for it.
#[derive(Clone, Copy, Debug, Default)]
pub struct TowerHttpClassifier<C>(C);

impl<C> TowerHttpClassifier<C> {
    /// Asks a clone of `classifier` about each response.
    pub fn new(classifier: C) -> Self {
        Self(classifier)
    }
}

impl<C: ClassifyResponse + Clone> From<SharedClassifier<C>> for TowerHttpClassifier<C> {
    fn from(shared: SharedClassifier<C>) -> Self {
        // One that is shared makes the same of every request.
        Self(shared.make_classifier(&Request::new(())))
    }
}

impl<C> ClassifyOutcome for TowerHttpClassifier<C>
where
    C: ClassifyResponse + Clone + Send + Sync + 'static,
    C::ClassifyEos: Send + Sync + 'static,
{
    fn classify_response(&self, response: &Response<()>) -> Classified {
        match self.0.clone().classify_response(response) {
            ClassifiedResponse::Ready(Ok(())) => Classified::Success,
            ClassifiedResponse::Ready(Err(_)) => Classified::Failure,
            ClassifiedResponse::RequiresEos(end) => Classified::AtEnd(Box::new(End(end))),
        }
    }
}

struct End<E>(E);

impl<E: ClassifyEos + Send + Sync> ClassifyEnd for End<E> {
    fn has_failed(self: Box<Self>, trailers: Option<&HeaderMap>) -> bool {
        self.0.classify_eos(trailers).is_err()
    }
}
