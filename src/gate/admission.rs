use super::{
    body::ReadinessBody,
    outcome_tracker::{OutcomeTracker, PanicGuard},
};
use crate::{probe, traffic::InFlightGuard};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header::CONNECTION};
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

/// The headers that the layer adds to the response of an admitted request.
#[derive(Clone, Copy)]
pub(super) struct Admission {
    /// Adds `connection: close`.
    pub(super) close: bool,
    /// Adds Envoy's header if the process drains when the response is ready.
    pub(super) marks: bool,
}

impl Admission {
    /// The response stays as it is.
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

/// Polls the response future of the inner service. Adds the headers of `admission`
/// to the response, and moves `in_flight` into its body.
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
        // Taken after an error as well, so that a completed future does not count
        // until it is dropped.
        let outcome_tracker = OutcomeTracker::unobserved(in_flight.take());
        response.map(|response| response.map(|body| ReadinessBody::inner(body, outcome_tracker)))
    })
}

/// Does the same as [`poll_inner`] for a request whose outcome is observed.
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
    let panic_guard = PanicGuard::new(in_flight.as_ref());
    let response = response.poll(cx);
    panic_guard.disarm();
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

/// Counts a request as failed, because the inner service returned an error.
#[cold]
pub(super) fn count_failed(in_flight: Option<InFlightGuard>) {
    if let Some(observed) = in_flight.as_ref().and_then(InFlightGuard::observed) {
        observed.count_failed();
    }
}

/// Adds `connection: close`, except where the response upgrades the connection or
/// the application has set a `connection` header.
fn close_connection(status: StatusCode, headers: &mut HeaderMap) {
    if status != StatusCode::SWITCHING_PROTOCOLS {
        headers
            .entry(CONNECTION)
            .or_insert(HeaderValue::from_static("close"));
    }
}
