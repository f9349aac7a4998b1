use super::{outcome, refusal::Refusal};
use crate::traffic::{Answered, ClassifyEnd, InFlight, Observed, Outcome};
use http::{HeaderMap, Response};
use std::mem;

/// What a response leaves behind when its body has ended or is dropped.
#[derive(Debug)]
pub(super) enum Passage {
    /// Whether it failed is known already, or nobody wants to know.
    Settled { _until_its_end: InFlight },
    /// Only its body can still fail.
    Answered(Answered),
    /// That, or the status of a call in its trailers.
    Streams(Answered),
    /// A classifier tells by the trailers.
    Undecided(Box<(Answered, Box<dyn ClassifyEnd>)>),
}

impl Passage {
    fn settled(in_flight: InFlight) -> Self {
        Self::Settled {
            _until_its_end: in_flight,
        }
    }

    /// What is left to be seen of a request that got this response.
    #[inline]
    pub(super) fn begin<R>(in_flight: InFlight, response: &Response<R>) -> Self {
        if in_flight.observed().is_none() {
            Self::settled(in_flight)
        } else if outcome::is_failure(response) {
            Self::failed(in_flight, response)
        } else {
            Self::Streams(Answered::new(in_flight))
        }
    }

    /// The same, as a classifier sees it. It cannot know of what type the body
    /// is, so that is taken off while it looks.
    #[cold]
    pub(super) fn classify<R>(in_flight: InFlight, response: Response<R>) -> (Self, Response<R>) {
        let (head, body) = response.into_parts();
        let response = Response::from_parts(head, ());
        let classifier = in_flight.observed().and_then(Observed::classifier);
        let outcome = classifier.map(|classifier| classifier.classify_response(&response));
        let passage = match outcome {
            None => Self::begin(in_flight, &response),
            Some(Outcome::Success) => Self::Answered(Answered::new(in_flight)),
            Some(Outcome::Failure) => Self::failed(in_flight, &response),
            Some(Outcome::AtEnd(end)) => Self::Undecided(Box::new((Answered::new(in_flight), end))),
        };
        (passage, response.map(|()| body))
    }

    #[cold]
    fn failed<R>(in_flight: InFlight, response: &Response<R>) -> Self {
        // A gate within refused it, as it had declared.
        let refused = response.extensions().get::<Refusal>().is_some();
        if let Some(observed) = in_flight.observed().filter(|_| !refused) {
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

/// Counts a request as failed if the inner service panics meanwhile. (Whoever
/// drops the response afterwards may have caught the panic before.)
pub(super) struct UnlessPanic<'a>(Option<&'a Observed>);

impl<'a> UnlessPanic<'a> {
    #[inline]
    pub(super) fn watch(in_flight: Option<&'a InFlight>) -> Self {
        Self(in_flight.and_then(InFlight::observed))
    }

    #[inline]
    pub(super) fn returned(self) {
        mem::forget(self);
    }
}

impl Drop for UnlessPanic<'_> {
    #[cold]
    fn drop(&mut self) {
        if let Some(observed) = self.0 {
            observed.count_failed();
        }
    }
}
