use super::{
    admission::{Admission, poll_inner},
    body::ReadinessBody,
    head::RequestHead,
    outcome_tracker::PanicGuard,
    pending::{NotAdmitted, PendingRequest},
};
use crate::{response::Answer, traffic::InFlightGuard};
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
    /// The future of a request that could not be passed on at once.
    ///
    /// Cancel safe: dropping it, as servers do when the client hangs up, gives back
    /// its wait slot and any permit that the inner service had reserved for it.
    #[project = WaitingProj]
    pub(super) enum Waiting<S, B>
    where
        S: Service<Request<B>>,
    {
        Pending {
            pending: PendingRequest,
            // The service whose readiness is polled, and the request to call it
            // with.
            call: Option<(S, Request<B>)>,
        },
        Called {
            #[pin]
            response: S::Future,
            admission: Admission,
            in_flight: Option<InFlightGuard>,
            release: Option<OwnedSemaphorePermit>,
        },
        // The refusal waits until the body of the request is read.
        Refused {
            #[pin]
            answer: Answer,
        },
        Ended,
    }
}

impl<S, B> Waiting<S, B>
where
    S: Service<Request<B>>,
{
    pub(super) fn new(pending: PendingRequest, inner: S, request: Request<B>) -> Self {
        Self::Pending {
            pending,
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
                WaitingProj::Pending { pending, call } => {
                    // As with every future, polling after the end is the
                    // caller's bug.
                    let (inner, request) = call.as_mut().expect(COMPLETED);
                    let ready = ready!(pending.poll(inner, request, cx));
                    let (mut inner, mut request) = call.take().expect(COMPLETED);
                    match ready {
                        Ok(admission) => {
                            let in_flight = pending.take_in_flight();
                            let release = pending.take_release();
                            pending
                                .gate()
                                .keep_upgrade_in_flight(&mut request, in_flight.as_ref());
                            let panic_guard = PanicGuard::new(in_flight.as_ref());
                            let response = inner.call(request);
                            panic_guard.disarm();
                            Self::Called {
                                response,
                                admission,
                                in_flight,
                                release,
                            }
                        }
                        Err(NotAdmitted::Failed(error)) => {
                            self.set(Self::Ended);
                            return Poll::Ready(Err(error));
                        }
                        Err(NotAdmitted::Refused(reason, basis)) => {
                            // The service may have reserved a permit.
                            drop(inner);
                            let gate = pending.gate();
                            let head = RequestHead::from(&request);
                            let response = gate.refuse(reason, basis, head);
                            let answer = Answer::now(response);
                            let answer = gate.policy.unread.read_before(answer, request);
                            Self::Refused { answer }
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
                    let response = ready!(answer.poll(cx));
                    self.set(Self::Ended);
                    return Poll::Ready(Ok(response.map(ReadinessBody::own)));
                }
                WaitingProj::Ended => panic!("{COMPLETED}"),
            };
            self.set(next);
        }
    }
}
