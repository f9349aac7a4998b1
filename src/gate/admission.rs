use super::{
    body::ReadinessBody,
    outcome_tracker::{OutcomeTracker, UnlessPanic},
};
use crate::{probe, traffic::InFlightGuard};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header::CONNECTION};
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

/// How a request was let through.
#[derive(Clone, Copy)]
pub(super) struct Admission {
    /// Its response asks the client to open another connection.
    pub(super) close: bool,
    /// Its response tells Envoy if the process drains by then.
    pub(super) marks: bool,
}

impl Admission {
    /// Its response stays as it is.
    pub(super) const PLAIN: Self = Self {
        close: false,
        marks: false,
    };

    #[inline]
    fn finish<R>(self, response: &mut Response<R>, in_flight: Option<&InFlightGuard>) {
        if self.close || self.marks {
            self.alter(response.status(), response.headers_mut(), in_flight);
        }
    }

    #[cold]
    fn alter(self, status: StatusCode, headers: &mut HeaderMap, in_flight: Option<&InFlightGuard>) {
        if self.close {
            close_connection(status, headers);
        }
        if self.marks && in_flight.is_some_and(InFlightGuard::is_draining) {
            probe::fail_health_check(headers);
        }
    }
}

/// Polls for the response of the inner service, and sends it off.
#[inline]
pub(super) fn poll_inner<F, R, E>(
    response: Pin<&mut F>,
    admission: Admission,
    in_flight: &mut Option<InFlightGuard>,
    cx: &mut Context<'_>,
) -> Poll<Result<Response<ReadinessBody<R>>, E>>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    let observed = in_flight.as_ref().and_then(InFlightGuard::observed);
    if observed.is_some() {
        return poll_observed(response, admission, in_flight, cx);
    }
    response.poll(cx).map(|mut response| {
        if let Ok(response) = &mut response {
            admission.finish(response, in_flight.as_ref());
        }
        // Taken from a failure as well: a future that has ended and is kept
        // counts no longer.
        let outcome_tracker = OutcomeTracker::silent(in_flight.take());
        response.map(|response| response.map(|body| ReadinessBody::inner(body, outcome_tracker)))
    })
}

/// The same, and sees what becomes of the request.
#[inline]
fn poll_observed<F, R, E>(
    response: Pin<&mut F>,
    admission: Admission,
    in_flight: &mut Option<InFlightGuard>,
    cx: &mut Context<'_>,
) -> Poll<Result<Response<ReadinessBody<R>>, E>>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    let panics = UnlessPanic::watch(in_flight.as_ref());
    let response = response.poll(cx);
    panics.returned();
    response.map(|response| match response {
        Ok(mut response) => {
            admission.finish(&mut response, in_flight.as_ref());
            let outcome_tracker = in_flight
                .take()
                .map(|in_flight| OutcomeTracker::begin(in_flight, &mut response));
            Ok(response.map(|body| ReadinessBody::inner(body, outcome_tracker)))
        }
        Err(error) => {
            count_failed(in_flight.take());
            Err(error)
        }
    })
}

/// The inner service failed with an error.
#[cold]
pub(super) fn count_failed(in_flight: Option<InFlightGuard>) {
    if let Some(observed) = in_flight.as_ref().and_then(InFlightGuard::observed) {
        observed.count_failed();
    }
}

/// Asks the client to open another connection, unless this one is being
/// upgraded or the application has its own mind about it.
fn close_connection(status: StatusCode, headers: &mut HeaderMap) {
    if status != StatusCode::SWITCHING_PROTOCOLS {
        headers
            .entry(CONNECTION)
            .or_insert(HeaderValue::from_static("close"));
    }
}
