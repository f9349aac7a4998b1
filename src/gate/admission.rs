use super::body::ReadinessBody;
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
    if !admission.close {
        return response
            .poll(cx)
            .map_ok(|response| response.map(|body| ReadinessBody::inner(body, in_flight.take())));
    }
    response.poll(cx).map_ok(|mut response| {
        close_connection(response.status(), response.headers_mut());
        response.map(|body| ReadinessBody::inner(body, in_flight.take()))
    })
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
