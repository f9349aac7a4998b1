use super::{
    admission::{Admission, poll_inner},
    body::ReadinessBody,
    head::RequestHead,
    queue::{Queue, Turned},
};
use crate::traffic::InFlight;
use http::{Request, Response};
use pin_project_lite::pin_project;
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::sync::OwnedSemaphorePermit;
use tower_service::Service;

pin_project! {
    /// A request that could not be passed on at once.
    ///
    /// Dropping it, as servers do when the client hangs up, gives back its
    /// place in the queue and whatever the inner service had reserved for it.
    #[project = WaitingProj]
    pub(super) enum Waiting<S, B>
    where
        S: Service<Request<B>>,
    {
        Queued {
            queue: Queue,
            // The very service whose readiness is waited for, until it is
            // called with the request.
            call: Option<(S, Request<B>)>,
        },
        Called {
            #[pin]
            response: S::Future,
            admission: Admission,
            in_flight: Option<InFlight>,
            turn: Option<OwnedSemaphorePermit>,
        },
    }
}

impl<S, B> Waiting<S, B>
where
    S: Service<Request<B>>,
{
    pub(super) fn new(queue: Queue, inner: S, request: Request<B>) -> Self {
        Self::Queued {
            queue,
            call: Some((inner, request)),
        }
    }
}

impl<S, B, R> Future for Waiting<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Output = Result<Response<ReadinessBody<R>>, S::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let called = match self.as_mut().project() {
                WaitingProj::Queued { queue, call } => {
                    // As with every future, polling after the end is the
                    // caller's bug.
                    let (inner, request) = call
                        .as_mut()
                        .expect("`ResponseFuture` polled after completion");
                    let admission = match ready!(queue.poll(inner, request, cx)) {
                        Ok(admission) => admission,
                        Err(Turned::Failed(error)) => return Poll::Ready(Err(error)),
                        Err(Turned::Away(reason, basis)) => {
                            let head = RequestHead::from(&*request);
                            let response = queue.gate().refuse(reason, basis, head);
                            // What was waited for is not needed any more.
                            *call = None;
                            return Poll::Ready(Ok(response.map(ReadinessBody::own)));
                        }
                    };
                    let in_flight = queue.take_in_flight();
                    let turn = queue.take_turn();
                    call.take().map(|(mut inner, mut request)| {
                        queue
                            .gate()
                            .keep_upgrade_in_flight(&mut request, in_flight.as_ref());
                        Self::Called {
                            response: inner.call(request),
                            admission,
                            in_flight,
                            turn,
                        }
                    })
                }
                WaitingProj::Called {
                    response,
                    admission,
                    in_flight,
                    turn,
                } => {
                    let response = ready!(poll_inner(response, *admission, in_flight, cx));
                    *turn = None;
                    return Poll::Ready(response);
                }
            };
            if let Some(called) = called {
                self.set(called);
            }
        }
    }
}
