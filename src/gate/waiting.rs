use super::{
    admission::{Admission, poll_inner},
    body::ReadinessBody,
    head::RequestHead,
    outcome_tracker::UnlessPanic,
    pending::{NotAdmitted, PendingRequest},
};
use crate::{probe::ProbeResponse, traffic::InFlightGuard};
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::sync::OwnedSemaphorePermit;
use tower_service::Service;

const COMPLETED: &str = "`ResponseFuture` polled after completion";

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
            queue: PendingRequest,
            // The very service whose readiness is waited for, until it is
            // called with the request.
            call: Option<(S, Request<B>)>,
        },
        Called {
            #[pin]
            response: S::Future,
            admission: Admission,
            in_flight: Option<InFlightGuard>,
            turn: Option<OwnedSemaphorePermit>,
        },
        // The answer waits for the body of the request.
        Refused {
            answer: Pin<Box<dyn Future<Output = ProbeResponse> + Send + Sync>>,
        },
        Ended,
    }
}

impl<S, B> Waiting<S, B>
where
    S: Service<Request<B>>,
{
    pub(super) fn new(queue: PendingRequest, inner: S, request: Request<B>) -> Self {
        Self::Queued {
            queue,
            call: Some((inner, request)),
        }
    }
}

impl<S, B, R> Future for Waiting<S, B>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    B: Body + Send + 'static,
{
    type Output = Result<Response<ReadinessBody<R>>, S::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let next = match self.as_mut().project() {
                WaitingProj::Queued { queue, call } => {
                    // As with every future, polling after the end is the
                    // caller's bug.
                    let (inner, request) = call.as_mut().expect(COMPLETED);
                    let turned = ready!(queue.poll(inner, request, cx));
                    let (mut inner, mut request) = call.take().expect(COMPLETED);
                    match turned {
                        Ok(admission) => {
                            let in_flight = queue.take_in_flight();
                            let turn = queue.take_turn();
                            queue
                                .gate()
                                .keep_upgrade_in_flight(&mut request, in_flight.as_ref());
                            let panics = UnlessPanic::watch(in_flight.as_ref());
                            let response = inner.call(request);
                            panics.returned();
                            Self::Called {
                                response,
                                admission,
                                in_flight,
                                turn,
                            }
                        }
                        Err(NotAdmitted::Failed(error)) => {
                            self.set(Self::Ended);
                            return Poll::Ready(Err(error));
                        }
                        Err(NotAdmitted::Refused(reason, basis)) => {
                            // It may have reserved something.
                            drop(inner);
                            let gate = queue.gate();
                            let head = RequestHead::from(&request);
                            let response = gate.refuse(reason, basis, head);
                            let Some(unread) = gate.policy.unread.take(request) else {
                                self.set(Self::Ended);
                                return Poll::Ready(Ok(response.map(ReadinessBody::own)));
                            };
                            Self::Refused {
                                answer: Box::pin(unread.settle(response)),
                            }
                        }
                    }
                }
                WaitingProj::Called {
                    response,
                    admission,
                    in_flight,
                    ..
                } => {
                    let response = ready!(poll_inner(response, *admission, in_flight, cx));
                    self.set(Self::Ended);
                    return Poll::Ready(response);
                }
                WaitingProj::Refused { answer } => {
                    let response = ready!(answer.as_mut().poll(cx));
                    self.set(Self::Ended);
                    return Poll::Ready(Ok(response.map(ReadinessBody::own)));
                }
                WaitingProj::Ended => panic!("{COMPLETED}"),
            };
            self.set(next);
        }
    }
}
