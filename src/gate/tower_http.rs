use super::refusal::Refusal;
use crate::{
    probe::ProbeAnswer,
    traffic::{Classified, ClassifyEnd, ClassifyOutcome},
};
use http::{HeaderMap, Request, Response};
use std::fmt::Display;
use tower_http::classify::{
    ClassifiedResponse, ClassifyEos, ClassifyResponse, MakeClassifier, SharedClassifier,
};

/// Lets a classifier of tower-http's, such as that of a `TraceLayer`, decide
/// which responses are failures.
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
/// Errors of the inner service and of bodies are always failures: tower-http's
/// classifiers return only a failure class for an error. A classifier that decides
/// at the end of a response costs two small allocations for each.
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
        // A `SharedClassifier` clones the same classifier for every request.
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

/// Classifies refusals and probe answers of this crate as successes, and asks
/// `C`, a classifier of tower-http's, about every other response.
///
/// A `TraceLayer` outside of a [`ReadinessLayer`](crate::ReadinessLayer) sees a
/// 503 for each refusal and each red probe, and by default logs a line at
/// `error` for each: thousands during a rollout, none of which is a failure of
/// the application. With this they are logged as responses (at `debug`) and not
/// as failures; the crate logs the refusals itself.
///
/// ```
/// # use tower_readiness::{Readiness, ReadinessLayer, Subsystem};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let readiness = Readiness::builder().subsystem(Subsystem::new("storage")).build()?;
/// use tower::ServiceBuilder;
/// use tower_http::{classify::ServerErrorsAsFailures, trace::TraceLayer};
/// use tower_readiness::gate::ReadinessAsSuccess;
///
/// let classifier = ReadinessAsSuccess::new(ServerErrorsAsFailures::new());
/// let stack = ServiceBuilder::new()
///     .layer(TraceLayer::new(classifier.into_make_classifier()))
///     .layer(ReadinessLayer::new(&readiness));
/// # let _ = stack;
/// # Ok(())
/// # }
/// ```
///
/// The [`Refusal`] and the [`ProbeAnswer`] in the extensions of the response
/// identify them. A layer in between that makes a new response, rather than
/// changing the response of its inner service, hides them.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadinessAsSuccess<C>(C);

impl<C> ReadinessAsSuccess<C> {
    /// Asks `classifier` about all other responses.
    pub fn new(classifier: C) -> Self {
        Self(classifier)
    }

    /// Returns a `MakeClassifier` for a `TraceLayer`, with the same classifier for
    /// every request.
    pub fn into_make_classifier(self) -> SharedClassifier<Self>
    where
        C: ClassifyResponse + Clone,
    {
        SharedClassifier::new(self)
    }
}

impl<C: ClassifyResponse> ClassifyResponse for ReadinessAsSuccess<C> {
    type FailureClass = C::FailureClass;
    type ClassifyEos = C::ClassifyEos;

    fn classify_response<B>(
        self,
        response: &Response<B>,
    ) -> ClassifiedResponse<Self::FailureClass, Self::ClassifyEos> {
        let extensions = response.extensions();
        if extensions.get::<Refusal>().is_some() || extensions.get::<ProbeAnswer>().is_some() {
            ClassifiedResponse::Ready(Ok(()))
        } else {
            self.0.classify_response(response)
        }
    }

    fn classify_error<E: Display + 'static>(self, error: &E) -> Self::FailureClass {
        self.0.classify_error(error)
    }
}
