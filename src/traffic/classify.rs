use http::{HeaderMap, Response};
use std::fmt;

/// Tells which responses are failures, for a layer that
/// [observes](crate::ReadinessLayer::observe_outcomes_with) what becomes of
/// the requests that it admits.
///
/// Whatever it says, a request has failed if the inner service did not answer
/// (an error, a panic), or if the body of its response ends with an error.
///
/// A function will do:
///
/// ```
/// # use tower_readiness::{Readiness, ReadinessLayer, Subsystem};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let readiness = Readiness::builder().subsystem(Subsystem::new("storage")).build()?;
/// use http::Response;
/// use tower_readiness::gate::Classified;
///
/// // This proxy says 502 for what is not its own fault.
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
/// With the feature `tower-http`, a classifier of that crate does as well; see
/// `gate::TowerHttpClassifier`.
pub trait ClassifyOutcome: Send + Sync + 'static {
    /// What the head of a response says. It is asked on the request path, and
    /// not about what a gate further inside has refused.
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

/// What became of a request, as far as the head of its response tells.
#[derive(Debug)]
#[non_exhaustive]
pub enum Classified {
    /// It was answered, unless its body ends with an error.
    Success,
    /// It failed.
    Failure,
    /// Its end will tell.
    AtEnd(Box<dyn ClassifyEnd>),
}

/// Tells from the end of a response whether it was a failure.
pub trait ClassifyEnd: Send + Sync {
    /// Whether a response that ended with these trailers has failed.
    ///
    /// It is not asked if the body is dropped before its end, or without
    /// having been read at all, as servers do with one that is empty: the
    /// request was answered then.
    fn has_failed(self: Box<Self>, trailers: Option<&HeaderMap>) -> bool;
}

impl fmt::Debug for dyn ClassifyEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClassifyEnd").finish_non_exhaustive()
    }
}
