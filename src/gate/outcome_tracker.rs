use super::{outcome, refusal::Refusal};
use crate::{
    probe::ProbeAnswer,
    traffic::{Classified, ClassifyEnd, InFlightGuard, Observed, ResponseGuard},
};
use http::{HeaderMap, Response};
use std::mem;

/// What a response leaves behind when its body has ended or is dropped.
#[derive(Debug)]
pub(super) enum OutcomeTracker {
    /// Whether it failed is known already, or nobody wants to know.
    Settled { _until_its_end: InFlightGuard },
    /// Only its body can still fail.
    Answered(ResponseGuard),
    /// That, or the status of a call in its trailers.
    Streams(ResponseGuard),
    /// A classifier tells by the trailers.
    Undecided(Box<(ResponseGuard, Box<dyn ClassifyEnd>)>),
}

impl OutcomeTracker {
    #[inline]
    fn settled(in_flight: InFlightGuard) -> Self {
        Self::Settled {
            _until_its_end: in_flight,
        }
    }

    /// Only counts as in flight, if at all.
    #[inline]
    pub(super) fn silent(in_flight: Option<InFlightGuard>) -> Option<Self> {
        in_flight.map(Self::settled)
    }

    /// What is left to be seen of a request that got this response.
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

    /// The same, as a classifier of the user's sees it.
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

    /// What is left once the trailers have come, or nothing more will.
    #[cold]
    pub(super) fn ends(self, trailers: Option<&HeaderMap>) -> Option<Self> {
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

    /// The body broke.
    #[cold]
    pub(super) fn breaks(self) {
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

/// Whether a gate within refused the request, as it had declared, or answered a
/// probe.
fn was_refused<R>(response: &Response<R>) -> bool {
    let extensions = response.extensions();
    extensions.get::<Refusal>().is_some() || extensions.get::<ProbeAnswer>().is_some()
}

/// Shows a response to whoever cannot know of what type its body is.
fn without_body<B, R>(response: &mut Response<B>, look: impl FnOnce(&Response<()>) -> R) -> R {
    let mut head = Response::new(());
    let swap = |head: &mut Response<()>, response: &mut Response<B>| {
        mem::swap(head.status_mut(), response.status_mut());
        mem::swap(head.version_mut(), response.version_mut());
        mem::swap(head.headers_mut(), response.headers_mut());
        mem::swap(head.extensions_mut(), response.extensions_mut());
    };
    swap(&mut head, response);
    let seen = look(&head);
    swap(&mut head, response);
    seen
}

/// Counts a request as failed if the inner service panics meanwhile. (Whoever
/// drops the response afterwards may have caught the panic before.)
pub(super) struct UnlessPanic<'a>(Option<&'a InFlightGuard>);

impl<'a> UnlessPanic<'a> {
    #[inline]
    pub(super) fn watch(in_flight: Option<&'a InFlightGuard>) -> Self {
        Self(in_flight)
    }

    #[inline]
    pub(super) fn returned(self) {
        mem::forget(self);
    }
}

impl Drop for UnlessPanic<'_> {
    #[cold]
    fn drop(&mut self) {
        if let Some(observed) = self.0.and_then(InFlightGuard::observed) {
            observed.count_failed();
        }
    }
}
