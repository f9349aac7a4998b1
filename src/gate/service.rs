use super::{
    admission::{Admission, count_failed},
    body::ReadinessBody,
    future::ResponseFuture,
    gate::{Decision, Gate},
    head::RequestHead,
    outcome_tracker::PanicGuard,
    pending::PendingRequest,
    waiting::Waiting,
};
use crate::{response::Answer, state::Reasons, traffic::InFlightGuard};
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

    /// The service behind the gate.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service behind the gate.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service behind the gate.
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
            self.pass(request, Admission::PLAIN, Reasons::NONE)
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
        admission: Admission,
        passed: Reasons,
    ) -> ResponseFuture<S, B>
    where
        S: Service<Request<B>, Response = Response<R>> + Clone,
    {
        if self.gate.tracks {
            return self.track(request, admission, passed);
        }
        // No task waits for this poll, so the waker does nothing: while the service
        // is pending, the returned future polls it again with its own waker.
        match self
            .inner
            .poll_ready(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(Ok(())) => {
                ResponseFuture::admitted(self.inner.call(request), admission, None)
            }
            room => self.no_room(request, None, passed, room),
        }
    }

    /// Passes on a request that counts as in flight until its response ends,
    /// whose outcome is observed, or whose response is marked.
    ///
    /// Separate from [`pass`](Self::pass), so that a layer without these settings
    /// does not pay for them. [`count`](Self::count) is separate because the check
    /// for an upgrade costs a move of the request.
    #[inline]
    fn track<B, R>(
        &mut self,
        request: Request<B>,
        admission: Admission,
        passed: Reasons,
    ) -> ResponseFuture<S, B>
    where
        S: Service<Request<B>, Response = Response<R>> + Clone,
    {
        let in_flight = self
            .gate
            .enter(RequestHead::from(&request), passed.is_empty());
        let marks = self.gate.marks;
        let admission = Admission { marks, ..admission };
        if self.gate.policy.counts_in_flight {
            return self.count(request, admission, in_flight, passed);
        }
        let panic_guard = PanicGuard::new(in_flight.as_ref());
        match self
            .inner
            .poll_ready(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(Ok(())) => {
                let response = self.inner.call(request);
                panic_guard.disarm();
                ResponseFuture::admitted(response, admission, in_flight)
            }
            room => {
                panic_guard.disarm();
                self.no_room(request, in_flight, passed, room)
            }
        }
    }

    #[inline]
    fn count<B, R>(
        &mut self,
        mut request: Request<B>,
        admission: Admission,
        in_flight: Option<InFlightGuard>,
        passed: Reasons,
    ) -> ResponseFuture<S, B>
    where
        S: Service<Request<B>, Response = Response<R>> + Clone,
    {
        let panic_guard = PanicGuard::new(in_flight.as_ref());
        match self
            .inner
            .poll_ready(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(Ok(())) => {
                self.gate
                    .keep_upgrade_in_flight(&mut request, in_flight.as_ref());
                let response = self.inner.call(request);
                panic_guard.disarm();
                ResponseFuture::admitted(response, admission, in_flight)
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
        let polled = self.replace_inner();
        if let Poll::Ready(Err(error)) = room {
            count_failed(in_flight);
            return ResponseFuture::failed(error);
        }
        let pending = PendingRequest::admitted(&self.gate, in_flight, passed);
        ResponseFuture::waiting(Waiting::new(pending, polled, request))
    }

    /// Answers a probe, or decides on a request while there is a reason to
    /// hesitate.
    #[cold]
    fn call_slow<B, R>(&mut self, request: Request<B>) -> ResponseFuture<S, B>
    where
        S: Service<Request<B>, Response = Response<R>> + Clone,
        B: Body + Send + 'static,
    {
        self.gate.start_background();
        let probes = self.gate.probes.as_ref();
        if let Some(answer) = probes.and_then(|probes| probes.answer(&request)) {
            return self.answered(answer, request);
        }
        if self.gate.is_open() {
            // The path only begins like a probe's.
            return self.pass(request, Admission::PLAIN, Reasons::NONE);
        }
        let head = RequestHead::from(&request);
        let basis = self.gate.basis();
        let reason = match self.gate.decide(basis, Reasons::NONE, head) {
            Decision::Admit(admission) => {
                if !self.gate.is_exempt(head) {
                    self.gate.record_admitted(basis);
                }
                return self.pass(request, admission, basis.verdict.reasons());
            }
            Decision::Refuse(reason) => reason,
            Decision::Hold(reason, hold) => {
                match PendingRequest::held(&self.gate, reason, hold, basis) {
                    Some(pending) => {
                        let waiting = Waiting::new(pending, self.inner.clone(), request);
                        return ResponseFuture::waiting(waiting);
                    }
                    None => reason,
                }
            }
        };
        let answer = Answer::now(self.gate.refuse(reason, basis, head));
        self.answered(answer, request)
    }

    /// Answers a request without the inner service. Reads its body first, where the
    /// connection depends on it.
    fn answered<B>(&self, answer: Answer, request: Request<B>) -> ResponseFuture<S, B>
    where
        S: Service<Request<B>>,
        B: Body + Send + 'static,
    {
        ResponseFuture::answered(self.gate.policy.unread.read_before(answer, request))
    }

    /// Replaces the inner service by a clone of it, and returns the original.
    fn replace_inner(&mut self) -> S
    where
        S: Clone,
    {
        let fresh = self.inner.clone();
        mem::replace(&mut self.inner, fresh)
    }
}

impl<S: fmt::Debug> fmt::Debug for ReadinessService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadinessService")
            .field("inner", &self.inner)
            .field("scope", &self.gate.scope)
            .finish_non_exhaustive()
    }
}
