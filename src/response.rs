//! Responses that the crate makes itself: to probes and commands, and to refused
//! requests.

use bytes::Bytes;
use http::{HeaderValue, Response, header::CONTENT_LENGTH};
use http_body::Body;
use http_body_util::Full;
use std::{
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll},
};

/// A response that the crate makes itself.
pub(crate) type OwnResponse = Response<Full<Bytes>>;

/// The future of an [`OwnResponse`]. It is two pointers large, so that the futures
/// of services stay small.
pub(crate) enum Answer {
    /// The response is ready.
    Now(Box<OwnResponse>),
    /// The response is ready after a wait, such as that of `?wait`.
    Later(Pin<Box<dyn Future<Output = OwnResponse> + Send + Sync>>),
    /// The future is completed.
    Taken,
}

impl Answer {
    pub(crate) fn now(response: OwnResponse) -> Self {
        Self::Now(Box::new(response))
    }

    pub(crate) fn later(
        response: impl Future<Output = OwnResponse> + Send + Sync + 'static,
    ) -> Self {
        Self::Later(Box::pin(response))
    }
}

impl Future for Answer {
    type Output = OwnResponse;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<OwnResponse> {
        if let Self::Later(response) = &mut *self {
            return response.as_mut().poll(cx);
        }
        match mem::replace(&mut *self, Self::Taken) {
            Self::Now(response) => Poll::Ready(*response),
            // As with every future, polling after completion is a bug of the caller.
            _ => panic!("response future polled after completion"),
        }
    }
}

/// Turns the response to `GET` into the response to `HEAD`, which announces the same
/// length (RFC 9110, section 8.6). hyper leaves out the body of an answer to `HEAD` on
/// HTTP/1 alone.
pub(crate) fn without_body(mut response: OwnResponse) -> OwnResponse {
    if let Some(length) = response.body().size_hint().exact() {
        response
            .headers_mut()
            .insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    *response.body_mut() = Full::default();
    response
}
