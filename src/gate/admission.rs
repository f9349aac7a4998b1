use super::{
    body::ReadinessBody,
    passage::{Passage, UnlessPanic},
};
use crate::traffic::InFlight;
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
}

/// Polls for the response of the inner service, and sends it off.
#[inline]
pub(super) fn poll_inner<F, R, E>(
    response: Pin<&mut F>,
    admission: Admission,
    in_flight: &mut Option<InFlight>,
    cx: &mut Context<'_>,
) -> Poll<Result<Response<ReadinessBody<R>>, E>>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    let observed = in_flight.as_ref().and_then(InFlight::observed);
    if observed.is_some() {
        return poll_observed(response, admission, in_flight, cx);
    }
    response.poll(cx).map(|response| {
        // Taken from a failure as well: a future that has ended and is kept
        // counts no longer.
        let passage = Passage::silent(in_flight.take());
        response.map(|mut response| {
            if admission.close {
                close_connection(response.status(), response.headers_mut());
            }
            response.map(|body| ReadinessBody::inner(body, passage))
        })
    })
}

/// The same, and sees what becomes of the request.
#[inline]
fn poll_observed<F, R, E>(
    response: Pin<&mut F>,
    admission: Admission,
    in_flight: &mut Option<InFlight>,
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
            if admission.close {
                close_connection(response.status(), response.headers_mut());
            }
            let passage = in_flight
                .take()
                .map(|in_flight| Passage::begin(in_flight, &mut response));
            Ok(response.map(|body| ReadinessBody::inner(body, passage)))
        }
        Err(error) => {
            count_failed(in_flight.take());
            Err(error)
        }
    })
}

/// The inner service failed with an error.
#[cold]
pub(super) fn count_failed(in_flight: Option<InFlight>) {
    if let Some(observed) = in_flight.as_ref().and_then(InFlight::observed) {
        observed.count_failed();
    }
}

/// Asks the client to open another connection, unless this one is being
/// upgraded or the application has its own mind about it.
#[cold]
fn close_connection(status: StatusCode, headers: &mut HeaderMap) {
    if status != StatusCode::SWITCHING_PROTOCOLS {
        headers
            .entry(CONNECTION)
            .or_insert(HeaderValue::from_static("close"));
    }
}
