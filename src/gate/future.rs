use super::{
    admission::{Admission, poll_inner},
    body::ReadinessBody,
    waiting::Waiting,
};
use crate::{response::Answer, traffic::InFlightGuard};
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tower_service::Service;

const COMPLETED: &str = "`ResponseFuture` polled after completion";

pin_project! {
    /// The response of a [`ReadinessService`](super::ReadinessService).
    ///
    /// At most 32 bytes larger than the future of the inner service: the state that
    /// only a refused, held or waiting request needs is boxed.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        kind: Kind<S, B>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<S, B>
    where
        S: Service<Request<B>>,
    {
        Admitted {
            #[pin]
            response: S::Future,
            admission: Admission,
            in_flight: Option<InFlightGuard>,
        },
        Other { other: Other<S, B> },
    }
}

/// The response of a request that is not passed on at once.
enum Other<S, B>
where
    S: Service<Request<B>>,
{
    Waiting(Pin<Box<Waiting<S, B>>>),
    Failed(Option<Box<S::Error>>),
    Answered(Answer),
}

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    #[inline]
    pub(super) fn admitted(
        response: S::Future,
        admission: Admission,
        in_flight: Option<InFlightGuard>,
    ) -> Self {
        Self {
            kind: Kind::Admitted {
                response,
                admission,
                in_flight,
            },
        }
    }

    pub(super) fn waiting(waiting: Waiting<S, B>) -> Self {
        Self::other(Other::Waiting(Box::pin(waiting)))
    }

    pub(super) fn failed(error: S::Error) -> Self {
        Self::other(Other::Failed(Some(Box::new(error))))
    }

    pub(super) fn answered(answer: Answer) -> Self {
        Self::other(Other::Answered(answer))
    }

    fn other(other: Other<S, B>) -> Self {
        Self {
            kind: Kind::Other { other },
        }
    }
}

impl<S, B, R> Future for ResponseFuture<S, B>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    B: Body + Send + 'static,
{
    type Output = Result<Response<ReadinessBody<R>>, S::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().kind.project() {
            KindProj::Admitted {
                response,
                admission,
                in_flight,
            } => poll_inner(response, *admission, in_flight, cx),
            KindProj::Other { other } => other.poll(cx),
        }
    }
}

impl<S, B, R> Other<S, B>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    B: Body + Send + 'static,
{
    // Cold, to keep the admit path small.
    #[cold]
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Response<ReadinessBody<R>>, S::Error>> {
        let response = match self {
            Self::Waiting(waiting) => return waiting.as_mut().poll(cx),
            // As with every future, polling after the end is the caller's bug.
            Self::Failed(error) => return Poll::Ready(Err(*error.take().expect(COMPLETED))),
            Self::Answered(answer) => ready!(Pin::new(answer).poll(cx)),
        };
        Poll::Ready(Ok(response.map(ReadinessBody::own)))
    }
}

impl<S, B> fmt::Debug for ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
