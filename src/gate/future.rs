use super::{
    body::ReadinessBody,
    decision::Close,
    head::RequestHead,
    outcome::{OutcomeTracker, PanicGuard, count_failed},
    waiting_request::{NotAdmitted, WaitingRequest},
};
use crate::{probe, response::Answer, sync::OwnedSemaphorePermit, traffic::InFlightGuard};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header::CONNECTION};
use http_body::Body;
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tower_service::Service;

/// The output of a [`ResponseFuture`].
type Output<R, E> = Result<Response<ReadinessBody<R>>, E>;

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
        kind: FutureKind<S, B>,
    }
}

pin_project! {
    #[project = KindProj]
    enum FutureKind<S, B>
    where
        S: Service<Request<B>>,
    {
        Admitted {
            #[pin]
            admitted: Admitted<S::Future>,
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
        close: Close,
        marks: bool,
        in_flight: Option<InFlightGuard>,
    ) -> Self {
        let admitted = Admitted::new(response, close, marks, in_flight);
        Self {
            kind: FutureKind::Admitted { admitted },
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
            kind: FutureKind::Other { other },
        }
    }
}

impl<S, B, R> Future for ResponseFuture<S, B>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    B: Body + Send + 'static,
{
    type Output = Output<R, S::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().kind.project() {
            KindProj::Admitted { admitted } => admitted.poll(cx),
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
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Output<R, S::Error>> {
        loop {
            match self {
                Self::Waiting(waiting) => {
                    let ended = ready!(waiting.as_mut().poll(cx));
                    // A future that is kept after its end holds no permit.
                    *self = Self::Failed(None);
                    match ended {
                        Ok(response) => return Poll::Ready(response),
                        Err(answer) => *self = Self::Answered(answer),
                    }
                }
                // As with every future, polling after the end is the caller's bug.
                Self::Failed(error) => return Poll::Ready(Err(*error.take().expect(COMPLETED))),
                Self::Answered(answer) => {
                    let response = ready!(Pin::new(answer).poll(cx));
                    return Poll::Ready(Ok(response.map(ReadinessBody::own)));
                }
            }
        }
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

pin_project! {
    /// The response of an admitted request, to which the inner service was called.
    pub(super) struct Admitted<F> {
        #[pin]
        response: F,
        // Whether to add `connection: close`.
        close: Close,
        // Adds Envoy's header if the process drains when the response is ready.
        marks: bool,
        in_flight: Option<InFlightGuard>,
    }
}

impl<F> Admitted<F> {
    #[inline]
    pub(super) fn new(
        response: F,
        close: Close,
        marks: bool,
        in_flight: Option<InFlightGuard>,
    ) -> Self {
        Self {
            response,
            close,
            marks,
            in_flight,
        }
    }
}

impl<F, R, E> Future for Admitted<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Output<R, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        // Nothing to add and nothing to count. Separate, because the rest of this function
        // copies the response once more.
        if this.in_flight.is_none() && *this.close == Close::No {
            return this
                .response
                .poll(cx)
                .map_ok(|response| wrap(response, None));
        }
        let panic_guard = PanicGuard::new(this.in_flight.as_ref());
        let result = this.response.poll(cx);
        panic_guard.disarm();
        result.map(|mut result| {
            if *this.close != Close::No || *this.marks {
                if let Ok(response) = &mut result {
                    let marks = *this.marks
                        && this
                            .in_flight
                            .as_ref()
                            .is_some_and(InFlightGuard::is_draining);
                    add_headers(
                        response.status(),
                        response.headers_mut(),
                        *this.close,
                        marks,
                    );
                }
            }
            // Taken after an error as well, so that a completed future does not count
            // until it is dropped.
            let tracker = this
                .in_flight
                .take()
                .and_then(|in_flight| OutcomeTracker::begin(in_flight, &mut result));
            result.map(|response| wrap(response, tracker))
        })
    }
}

/// Wraps the body of a response.
///
/// In parts, because the compiler copies the body to the stack and back for the closure of
/// `Response::map`.
#[inline]
fn wrap<R>(response: Response<R>, tracker: Option<OutcomeTracker>) -> Response<ReadinessBody<R>> {
    let (parts, body) = response.into_parts();
    Response::from_parts(parts, ReadinessBody::inner(body, tracker))
}

/// Adds the headers of a response while the process drains. A `connection` header
/// of the inner service stays, and so does that of an upgrade.
#[cold]
fn add_headers(status: StatusCode, headers: &mut HeaderMap, close: Close, marks: bool) {
    let closes = match close {
        Close::No => false,
        Close::UnlessTunnel => !status.is_success(),
        Close::Yes => true,
    };
    if closes && status != StatusCode::SWITCHING_PROTOCOLS {
        headers
            .entry(CONNECTION)
            .or_insert(HeaderValue::from_static("close"));
    }
    if marks {
        probe::fail_health_check(headers);
    }
}

pin_project! {
    /// A request that could not be passed on at once.
    ///
    /// Cancel safe: dropping it, as servers do when the client hangs up, gives back
    /// its wait slot and any permit that the inner service had reserved for it.
    #[project = WaitingProj]
    pub(super) enum Waiting<S, B>
    where
        S: Service<Request<B>>,
    {
        // With the service whose readiness is polled, and the request to call it
        // with.
        Pending { waiting: Option<(WaitingRequest, S, Request<B>)> },
        Called {
            #[pin]
            admitted: Admitted<S::Future>,
            // Held until the response is ready.
            release: Option<OwnedSemaphorePermit>,
        },
    }
}

impl<S, B> Waiting<S, B>
where
    S: Service<Request<B>>,
{
    pub(super) fn new(waiting: WaitingRequest, inner: S, request: Request<B>) -> Self {
        Self::Pending {
            waiting: Some((waiting, inner, request)),
        }
    }

    /// Returns the result of the inner service, or the answer of a refusal.
    fn poll<R>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Output<R, S::Error>, Answer>>
    where
        S: Service<Request<B>, Response = Response<R>> + Clone,
        B: Body + Send + 'static,
    {
        loop {
            let called = match self.as_mut().project() {
                WaitingProj::Called { admitted, .. } => {
                    return admitted.poll(cx).map(Ok);
                }
                WaitingProj::Pending { waiting: slot } => {
                    // As with every future, polling after the end is the caller's
                    // bug.
                    let (waiting, inner, request) = slot.as_mut().expect(COMPLETED);
                    let ready = ready!(waiting.poll(inner, RequestHead::from(&*request), cx));
                    let (waiting, mut inner, mut request) = slot.take().expect(COMPLETED);
                    let gate = &waiting.gate;
                    match ready {
                        Ok(close) => {
                            gate.keep_upgrade_in_flight(&mut request, waiting.in_flight.as_ref());
                            let panic_guard = PanicGuard::new(waiting.in_flight.as_ref());
                            let response = inner.call(request);
                            panic_guard.disarm();
                            Self::Called {
                                admitted: Admitted::new(
                                    response,
                                    close,
                                    gate.marks,
                                    waiting.in_flight,
                                ),
                                release: waiting.release,
                            }
                        }
                        Err(NotAdmitted::Refused((reason, basis))) => {
                            return Poll::Ready(Err(gate.refuse(reason, basis, request)));
                        }
                        Err(NotAdmitted::Failed(error)) => {
                            count_failed(waiting.in_flight.as_ref());
                            return Poll::Ready(Ok(Err(error)));
                        }
                    }
                }
            };
            self.set(called);
        }
    }
}
