use http::{HeaderMap, Response};
use std::fmt;

/// Decides which responses are failures, in a layer that
/// [observes](crate::ReadinessLayer::observe_outcomes_with) the outcomes of the
/// requests that it admits.
///
/// A request always fails if the inner service returns an error or panics, if the body of the
/// response ends with an error, or if the classifier panics.
///
/// Functions implement it:
///
/// ```
/// # use tower_readiness::{Readiness, ReadinessLayer, Subsystem};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let readiness = Readiness::builder().subsystem(Subsystem::new("storage")).build()?;
/// use http::Response;
/// use tower_readiness::gate::Classified;
///
/// // This proxy answers 502 for failures of its upstreams.
/// let layer = ReadinessLayer::new(&readiness).observe_outcomes_with(
///     |response: &Response<()>| match response.status().as_u16() {
///         502 => Classified::Success,
///         500.. => Classified::Failure,
///         _ => Classified::Success,
///     },
/// );
/// # Ok(())
/// # }
/// ```
///
/// With the feature `tower-http`, `gate::TowerHttpClassifier` adapts a classifier of
/// that crate.
pub trait ClassifyOutcome: Send + Sync + 'static {
    /// Classifies a response by its head. The layer calls it on the request path,
    /// but not for refusals of a gate further inside.
    fn classify_response(&self, response: &Response<()>) -> Classified;
}

impl<F> ClassifyOutcome for F
where
    F: Fn(&Response<()>) -> Classified + Send + Sync + 'static,
{
    fn classify_response(&self, response: &Response<()>) -> Classified {
        self(response)
    }
}

/// The outcome of a request, as far as the head of its response shows.
#[derive(Debug)]
#[non_exhaustive]
pub enum Classified {
    /// The request is answered, unless its body ends with an error.
    Success,
    /// The request failed.
    Failure,
    /// The classifier decides at the end of the response.
    AtEnd(Box<dyn ClassifyEnd>),
}

/// Decides at the end of a response whether it is a failure.
pub trait ClassifyEnd: Send + Sync {
    /// Whether a response that ended with these trailers has failed.
    ///
    /// It is not called if the server drops the body before its end, or without
    /// polling it, as servers do with an empty body. Such a request counts as
    /// answered.
    fn has_failed(self: Box<Self>, trailers: Option<&HeaderMap>) -> bool;
}

impl fmt::Debug for dyn ClassifyEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClassifyEnd").finish_non_exhaustive()
    }
}
