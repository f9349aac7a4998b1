use super::{head, refusal::Refusal};
use crate::{
    probe::ProbeAnswer,
    traffic::{Classified, ClassifyEnd, InFlightGuard, Observed, ResponseGuard},
};
use http::{HeaderMap, HeaderName, Response};
use std::{borrow::Borrow, mem, sync::Arc};

/// Tracks a response until its body ends or is dropped: keeps the request in
/// flight, and counts its outcome where outcomes are observed.
#[derive(Debug)]
pub(super) enum OutcomeTracker<G: Borrow<InFlightGuard> = InFlightGuard> {
    /// The outcome is counted already, or does not count.
    Settled(G),
    /// Only an error of the body can still make the request fail.
    Answered(ResponseGuard<G>),
    /// An error of the body or a gRPC status in the trailers can make the request
    /// fail.
    Streams(ResponseGuard<G>),
    /// A classifier decides by the trailers.
    Undecided(Box<(ResponseGuard<G>, Box<dyn ClassifyEnd>)>),
    /// Pieces of the body keep the request in flight too, until the server drops them.
    /// The request is still counted once.
    Shared(Box<OutcomeTracker<Arc<InFlightGuard>>>),
}

impl OutcomeTracker {
    /// Begins to track a request that got this response. Counts the request as
    /// failed if the head of the response is a failure.
    #[inline]
    pub(super) fn begin<R, E>(
        in_flight: InFlightGuard,
        result: &mut Result<Response<R>, E>,
    ) -> Option<Self> {
        let Some(observed) = in_flight.observed() else {
            return Some(Self::Settled(in_flight));
        };
        let Ok(response) = result else {
            in_flight.count_failed();
            return None;
        };
        Some(if observed.classifier().is_some() {
            Self::classify(in_flight, response)
        } else if is_failure(response) {
            Self::failed(in_flight, response)
        } else {
            Self::Streams(ResponseGuard::new(in_flight))
        })
    }

    /// Begins to track a request whose layer has a classifier of the user.
    #[cold]
    fn classify<R>(in_flight: InFlightGuard, response: &mut Response<R>) -> Self {
        let classifier = in_flight.observed().and_then(Observed::classifier);
        let Some(classifier) = classifier.filter(|_| !was_refused(response)) else {
            return Self::Settled(in_flight);
        };
        let panic_guard = PanicGuard::new(Some(&in_flight));
        let classified = without_body(response, |head| classifier.classify_response(head));
        panic_guard.disarm();
        match classified {
            Classified::Success => Self::Answered(ResponseGuard::new(in_flight)),
            Classified::Failure => Self::failed(in_flight, response),
            Classified::AtEnd(end) => {
                Self::Undecided(Box::new((ResponseGuard::new(in_flight), end)))
            }
        }
    }

    #[cold]
    fn failed<R>(in_flight: InFlightGuard, response: &Response<R>) -> Self {
        if !was_refused(response) {
            in_flight.count_failed();
        }
        Self::Settled(in_flight)
    }

    /// Returns a guard that keeps the request in flight together with the rest of the body.
    #[cold]
    pub(super) fn share(self) -> (Self, Option<Arc<InFlightGuard>>) {
        let shared = match self {
            Self::Settled(in_flight) => Box::new(OutcomeTracker::Settled(Arc::new(in_flight))),
            Self::Answered(answered) => Box::new(OutcomeTracker::Answered(answered.share())),
            Self::Streams(answered) => Box::new(OutcomeTracker::Streams(answered.share())),
            Self::Undecided(undecided) => {
                let (answered, end) = *undecided;
                Box::new(OutcomeTracker::Undecided(Box::new((answered.share(), end))))
            }
            Self::Shared(shared) => shared,
        };
        let in_flight = shared.in_flight().cloned();
        (Self::Shared(shared), in_flight)
    }
}

impl<G: Borrow<InFlightGuard>> OutcomeTracker<G> {
    fn in_flight(&self) -> Option<&G> {
        match self {
            Self::Settled(in_flight) => Some(in_flight),
            Self::Answered(answered) | Self::Streams(answered) => answered.in_flight(),
            Self::Undecided(undecided) => undecided.0.in_flight(),
            Self::Shared(_) => None,
        }
    }

    /// Decides an undecided outcome at the end of the body. Returns the tracker for
    /// the rest of the body's life.
    #[cold]
    pub(super) fn at_end(self, trailers: Option<&HeaderMap>) -> Option<Self> {
        let (failed, answered) = match self {
            Self::Streams(answered) => (trailers.is_some_and(is_failed_grpc), answered),
            Self::Undecided(undecided) => {
                let (answered, end) = *undecided;
                (end.has_failed(trailers), answered)
            }
            Self::Shared(shared) => {
                return shared.at_end(trailers).map(Box::new).map(Self::Shared);
            }
            decided => return Some(decided),
        };
        if failed {
            answered.fail().map(Self::Settled)
        } else {
            Some(Self::Answered(answered))
        }
    }

    /// Counts the request as failed, because its body returned an error.
    #[cold]
    pub(super) fn body_failed(self) {
        match self {
            Self::Settled(_) => {}
            Self::Answered(answered) | Self::Streams(answered) => drop(answered.fail()),
            Self::Undecided(undecided) => drop(undecided.0.fail()),
            Self::Shared(shared) => shared.body_failed(),
        }
    }

    pub(super) fn is_undecided(&self) -> bool {
        match self {
            Self::Undecided(_) => true,
            Self::Shared(shared) => shared.is_undecided(),
            Self::Settled(_) | Self::Answered(_) | Self::Streams(_) => false,
        }
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

/// Counts a request as failed, because the inner service returned an error.
#[cold]
pub(super) fn count_failed(in_flight: Option<&InFlightGuard>) {
    if let Some(in_flight) = in_flight {
        in_flight.count_failed();
    }
}

/// Counts a request as failed if the inner service or a classifier panics before
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
        count_failed(self.0);
    }
}

static GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Whether the head of a response shows that the request failed.
///
/// Only the head of a trailers-only gRPC response has a gRPC status. The content
/// type is checked first, because the lookup of `grpc-status`, which is not a
/// standard header, takes longer than the rest of this function.
#[inline]
pub(super) fn is_failure<R>(response: &Response<R>) -> bool {
    response.status().is_server_error()
        || (head::has_grpc_type(response.headers()) && is_failed_grpc(response.headers()))
}

/// Whether the gRPC status of a call is a failure of the server, not of the caller.
///
/// `INTERNAL` (13) and `UNAVAILABLE` (14) correspond to HTTP's 5xx. `UNKNOWN` does
/// not count, because many applications return it for mistakes of the caller.
#[cold]
pub(super) fn is_failed_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(&GRPC_STATUS)
        .is_some_and(|status| matches!(status.as_bytes(), b"13" | b"14"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{StatusCode, header::CONTENT_TYPE};

    #[test]
    fn server_errors_are_failures_and_client_errors_are_not() {
        for (status, failed) in [(200, false), (404, false), (500, true), (503, true)] {
            let mut response = Response::new(());
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            assert_eq!(is_failure(&response), failed, "{status}");
        }
    }

    #[test]
    fn a_grpc_status_counts_only_with_a_grpc_content_type() {
        for (kind, status, failed) in [
            ("application/grpc", "14", true),
            ("application/grpc+proto", "13", true),
            ("Application/gRPC-web", "14", true),
            ("application/grpc", "0", false),
            ("application/grpc", "2", false),
            ("application/grpc", "5", false),
            ("application/grpc", "140", false),
            ("application/json", "14", false),
        ] {
            let response = Response::builder()
                .header(CONTENT_TYPE, kind)
                .header("grpc-status", status)
                .body(())
                .unwrap();
            assert_eq!(is_failure(&response), failed, "{kind} {status}");
        }
    }
}
