use super::probes::{Answer, ProbeResponse, Probes};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use std::{
    convert::Infallible,
    fmt,
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
        self.start_background_tasks();
        let answer = self.answer_or_not_found(&request);
        let answer = match self.unread(request) {
            None => answer,
            Some(unread) => answer.after(unread),
        };
        ProbeFuture(match answer {
            Answer::Now(response) => State::Now(Some(Box::new(response))),
            Answer::Later(response) => State::Later(response),
        })
    }
}

/// The response future of [`Probes`].
#[must_use = "futures do nothing unless polled"]
pub struct ProbeFuture(State);

enum State {
    Now(Option<Box<ProbeResponse>>),
    Later(Pin<Box<dyn Future<Output = ProbeResponse> + Send + Sync>>),
}

impl Future for ProbeFuture {
    type Output = Result<ProbeResponse, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            // Polling a future after completion is a bug of the caller.
            State::Now(response) => Poll::Ready(Ok(*response
                .take()
                .expect("`ProbeFuture` polled after completion"))),
            State::Later(response) => response.as_mut().poll(cx).map(Ok),
        }
    }
}

impl fmt::Debug for ProbeFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProbeFuture").finish_non_exhaustive()
    }
}
