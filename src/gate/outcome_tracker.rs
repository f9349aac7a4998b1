use super::{outcome, refusal::Refusal};
use crate::{
    probe::ProbeAnswer,
    traffic::{Classified, ClassifyEnd, InFlightGuard, Observed, ResponseGuard},
};
use http::{HeaderMap, Response};
use std::mem;

/// Tracks a response until its body ends or is dropped: keeps the request in
/// flight, and counts its outcome where outcomes are observed.
#[derive(Debug)]
pub(super) enum OutcomeTracker {
    /// The outcome is counted already, or does not count.
    Settled { _until_its_end: InFlightGuard },
    /// Only an error of the body can still make the request fail.
    Answered(ResponseGuard),
    /// An error of the body or a gRPC status in the trailers can make the request
    /// fail.
    Streams(ResponseGuard),
    /// A classifier decides by the trailers.
    Undecided(Box<(ResponseGuard, Box<dyn ClassifyEnd>)>),
}

impl OutcomeTracker {
    #[inline]
    fn settled(in_flight: InFlightGuard) -> Self {
        Self::Settled {
            _until_its_end: in_flight,
        }
    }

    /// The tracker of a request whose outcome is not observed.
    #[inline]
    pub(super) fn unobserved(in_flight: Option<InFlightGuard>) -> Option<Self> {
        in_flight.map(Self::settled)
    }

    /// Begins to track a request that got this response. Counts the request as
    /// failed if the head of the response is a failure.
    #[inline]
    pub(super) fn begin<R>(in_flight: InFlightGuard, response: &mut Response<R>) -> Self {
        let Some(observed) = in_flight.observed() else {
            return Self::settled(in_flight);
        };
        if observed.classifier().is_some() {
            return Self::classify(in_flight, response);
        }
        if outcome::is_failure(response) {
            Self::failed(in_flight, response)
        } else {
            Self::Streams(ResponseGuard::new(in_flight))
        }
    }

    /// Begins to track a request whose layer has a classifier of the user.
    #[cold]
    fn classify<R>(in_flight: InFlightGuard, response: &mut Response<R>) -> Self {
        let classifier = in_flight.observed().and_then(Observed::classifier);
        let Some(classifier) = classifier.filter(|_| !was_refused(response)) else {
            return Self::settled(in_flight);
        };
        match without_body(response, |head| classifier.classify_response(head)) {
            Classified::Success => Self::Answered(ResponseGuard::new(in_flight)),
            Classified::Failure => Self::failed(in_flight, response),
            Classified::AtEnd(end) => {
                Self::Undecided(Box::new((ResponseGuard::new(in_flight), end)))
            }
        }
    }

    #[cold]
    fn failed<R>(in_flight: InFlightGuard, response: &Response<R>) -> Self {
        if let Some(observed) = in_flight.observed().filter(|_| !was_refused(response)) {
            observed.count_failed();
        }
        Self::settled(in_flight)
    }

    /// Decides an undecided outcome at the end of the body. Returns the tracker for
    /// the rest of the body's life.
    #[cold]
    pub(super) fn at_end(self, trailers: Option<&HeaderMap>) -> Option<Self> {
        let (failed, answered) = match self {
            Self::Streams(answered) => (trailers.is_some_and(outcome::is_failed_grpc), answered),
            Self::Undecided(undecided) => {
                let (answered, end) = *undecided;
                (end.has_failed(trailers), answered)
            }
            decided => return Some(decided),
        };
        if failed {
            answered.fail().map(Self::settled)
        } else {
            Some(Self::Answered(answered))
        }
    }

    /// Counts the request as failed, because its body returned an error.
    #[cold]
    pub(super) fn body_failed(self) {
        match self {
            Self::Settled { .. } => {}
            Self::Answered(answered) | Self::Streams(answered) => drop(answered.fail()),
            Self::Undecided(undecided) => drop(undecided.0.fail()),
        }
    }

    pub(super) fn is_undecided(&self) -> bool {
        matches!(self, Self::Undecided(..))
    }
}

/// Whether a gate further inside refused the request or answered a probe.
fn was_refused<R>(response: &Response<R>) -> bool {
    let extensions = response.extensions();
    extensions.get::<Refusal>().is_some() || extensions.get::<ProbeAnswer>().is_some()
}

/// Calls `inspect` with the head of a response, for classifiers, which do not know
/// the type of the body.
fn without_body<B, R>(response: &mut Response<B>, inspect: impl FnOnce(&Response<()>) -> R) -> R {
    let mut head = Response::new(());
    let swap = |head: &mut Response<()>, response: &mut Response<B>| {
        mem::swap(head.status_mut(), response.status_mut());
        mem::swap(head.version_mut(), response.version_mut());
        mem::swap(head.headers_mut(), response.headers_mut());
        mem::swap(head.extensions_mut(), response.extensions_mut());
    };
    swap(&mut head, response);
    let result = inspect(&head);
    swap(&mut head, response);
    result
}

/// Counts a request as failed if the inner service panics before
/// [`disarm`](Self::disarm) is called. (The drop of the response does not show
/// the panic: a layer outside may have caught it before.)
pub(super) struct PanicGuard<'a>(Option<&'a InFlightGuard>);

impl<'a> PanicGuard<'a> {
    #[inline]
    pub(super) fn new(in_flight: Option<&'a InFlightGuard>) -> Self {
        Self(in_flight)
    }

    #[inline]
    pub(super) fn disarm(self) {
        mem::forget(self);
    }
}

impl Drop for PanicGuard<'_> {
    #[cold]
    fn drop(&mut self) {
        if let Some(observed) = self.0.and_then(InFlightGuard::observed) {
            observed.count_failed();
        }
    }
}
