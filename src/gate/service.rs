use super::{
    body::ReadinessBody,
    decision::{Close, Decision},
    future::{ResponseFuture, Waiting},
    gate::Gate,
    head::RequestHead,
    outcome::{PanicGuard, count_failed},
    waiting_request::WaitingRequest,
};
use crate::{state::Reasons, traffic::InFlightGuard};
use http::{Request, Response};
use http_body::Body;
use std::{
    fmt, mem,
    sync::Arc,
    task::{Context, Poll, Waker},
};
use tower_service::Service;

/// Answers probes and gates traffic in front of a service; see
/// [`ReadinessLayer`](super::ReadinessLayer).
#[derive(Clone)]
pub struct ReadinessService<S> {
    inner: S,
    gate: Arc<Gate>,
}

impl<S> ReadinessService<S> {
    pub(super) fn new(inner: S, gate: Arc<Gate>) -> Self {
        Self { inner, gate }
    }

    /// Returns the service behind the gate.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns the service behind the gate.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Returns the service behind the gate.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, B, R> Service<Request<B>> for ReadinessService<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    B: Body + Send + 'static,
{
    type Response = Response<ReadinessBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, B>;

    /// Always ready, because probe answers and refusals do not depend on the inner
    /// service.
    ///
    /// `call` polls the readiness of the inner service, and only for a request that
    /// is about to be passed to it. So probes and refusals never reserve a permit
    /// or a place in a queue, and an error of the inner `poll_ready` fails only the
    /// request that polled it.
    #[inline]
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, request: Request<B>) -> Self::Future {
        if self.gate.is_fast_path(request.uri().path()) {
            self.pass(request, Close::No, Reasons::NONE)
        } else {
            self.call_slow(request)
        }
    }
}

impl<S> ReadinessService<S> {
    /// Passes on a request that was admitted in spite of the reasons `passed`: at
    /// once if the inner service has room, otherwise when it has.
    #[inline]
    fn pass<B, R>(
        &mut self,
        request: Request<B>,
        close: Close,
        passed: Reasons,
    ) -> ResponseFuture<S, B>
    where
        S: Service<Request<B>, Response = Response<R>> + Clone,
    {
        if self.gate.tracks {
            return self.track(request, close, passed);
        }
        // No task waits for this poll, so the waker does nothing: while the service
        // is pending, the returned future polls it again with its own waker.
        let cx = &mut Context::from_waker(Waker::noop());
        match self.inner.poll_ready(cx) {
            Poll::Ready(Ok(())) => {
                ResponseFuture::admitted(self.inner.call(request), close, false, None)
            }
            room => self.no_room(request, None, passed, room),
        }
    }

    /// Passes on a request that counts as in flight, whose outcome is observed, or
    /// whose response is marked.
    ///
    /// Separate from [`pass`](Self::pass), because the guards cost a copy of the
    /// request and one of the response. If the compiler inlines this, each request is
    /// copied once more.
    #[inline(never)]
    fn track<B, R>(
        &mut self,
        mut request: Request<B>,
        close: Close,
        passed: Reasons,
    ) -> ResponseFuture<S, B>
    where
        S: Service<Request<B>, Response = Response<R>> + Clone,
    {
        let head = RequestHead::from(&request);
        let in_flight = self.gate.enter(head, passed.is_empty());
        let panic_guard = PanicGuard::new(in_flight.as_ref());
        let cx = &mut Context::from_waker(Waker::noop());
        match self.inner.poll_ready(cx) {
            Poll::Ready(Ok(())) => {
                let gate = &self.gate;
                if gate.settings.counts_in_flight {
                    gate.keep_upgrade_in_flight(&mut request, in_flight.as_ref());
                }
                let response = self.inner.call(request);
                panic_guard.disarm();
                ResponseFuture::admitted(response, close, gate.marks, in_flight)
            }
            room => {
                panic_guard.disarm();
                self.no_room(request, in_flight, passed, room)
            }
        }
    }

    /// Lets a request wait for room in the inner service, or returns the error of
    /// its `poll_ready`.
    #[cold]
    fn no_room<B, R>(
        &mut self,
        request: Request<B>,
        in_flight: Option<InFlightGuard>,
        passed: Reasons,
        room: Poll<Result<(), S::Error>>,
    ) -> ResponseFuture<S, B>
    where
        S: Service<Request<B>, Response = Response<R>> + Clone,
    {
        // A service that failed must not be used again. A pending service may have
        // a place in a queue, so the request waits with that instance, not a clone.
        let fresh = self.inner.clone();
        let polled = mem::replace(&mut self.inner, fresh);
        if let Poll::Ready(Err(error)) = room {
            count_failed(in_flight.as_ref());
            return ResponseFuture::failed(error);
        }
        let waiting = WaitingRequest::admitted(&self.gate, in_flight, passed);
        ResponseFuture::waiting(Waiting::new(waiting, polled, request))
    }

    /// Answers a probe, or decides on a request while there is a reason to
    /// hesitate.
    #[cold]
    fn call_slow<B, R>(&mut self, request: Request<B>) -> ResponseFuture<S, B>
    where
        S: Service<Request<B>, Response = Response<R>> + Clone,
        B: Body + Send + 'static,
    {
        let gate = &self.gate;
        if let Some(answer) = gate.answer_probe(&request) {
            return ResponseFuture::answered(gate.read_before(answer, request));
        }
        if gate.is_open() {
            // The path only begins like a probe's.
            return self.pass(request, Close::No, Reasons::NONE);
        }
        let head = RequestHead::from(&request);
        let basis = gate.basis();
        let mut passed = Reasons::NONE;
        match gate.decide(basis, &mut passed, head) {
            Decision::Admit => {
                let close = gate.closes_connection(basis, head);
                gate.record_admitted(basis, head);
                self.pass(request, close, passed)
            }
            Decision::Refuse(reason) => {
                ResponseFuture::answered(gate.refuse(reason, basis, request))
            }
            Decision::Hold(reason, hold) => {
                match WaitingRequest::held(gate, reason, hold, basis, passed) {
                    Some(waiting) => {
                        ResponseFuture::waiting(Waiting::new(waiting, self.inner.clone(), request))
                    }
                    None => ResponseFuture::answered(gate.refuse(reason, basis, request)),
                }
            }
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for ReadinessService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadinessService")
            .field("inner", &self.inner)
            .field("scope", &self.gate.settings.scope)
            .finish_non_exhaustive()
    }
}
