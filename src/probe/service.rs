use super::probes::Probes;
use crate::response::{Answer, OwnResponse};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};
use tower_service::Service;

/// Serves the probes without an application, on a port of their own. Any other
/// path is 404.
impl<B> Service<Request<B>> for Probes
where
    B: Body + Send + 'static,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = ProbeFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ProbeFuture {
        ProbeFuture(self.answer_after_body(request))
    }
}

/// The response future of [`Probes`].
#[must_use = "futures do nothing unless polled"]
pub struct ProbeFuture(Answer);

impl Future for ProbeFuture {
    type Output = Result<OwnResponse, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(Ok)
    }
}

crate::debug::fields!(ProbeFuture);
