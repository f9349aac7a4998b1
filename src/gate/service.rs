use super::{
    admission::{Admission, count_failed},
    body::ReadinessBody,
    future::ResponseFuture,
    gate::{Decision, Gate},
    head::RequestHead,
    outcome_tracker::UnlessPanic,
    pending::PendingRequest,
    waiting::Waiting,
};
use crate::{probe::Answer, state::Reasons, traffic::InFlightGuard};
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

    /// Always ready: probes are answered and requests are refused whatever
    /// the inner service is up to.
    ///
    /// The inner service is asked in `call`, and only when a request is about
    /// to be passed to it. So neither a probe nor a refusal ever reserves
    /// anything (a place in a queue, a permit), and an error of the inner
    /// `poll_ready` reaches the request that met it and nobody else.
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
    /// Passes a request on that was admitted in spite of the reasons `passed`, at
    /// once if the inner service has room.
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
        // No task waits for this answer, so there is nobody to wake: while it
        // is pending, the future returned here asks again with its own waker.
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

    /// Passes a request on that counts as in flight until its response ends,
    /// whose outcome is observed, or whose response is marked.
    ///
    /// Apart from [`pass`](Self::pass), for whoever does neither shall not pay
    /// for it. In two halves, for looking for an upgrade costs a move of the
    /// request.
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
        let panics = UnlessPanic::watch(in_flight.as_ref());
        match self
            .inner
            .poll_ready(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(Ok(())) => {
                let response = self.inner.call(request);
                panics.returned();
                ResponseFuture::admitted(response, admission, in_flight)
            }
            room => {
                panics.returned();
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
        let panics = UnlessPanic::watch(in_flight.as_ref());
        match self
            .inner
            .poll_ready(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(Ok(())) => {
                self.gate
                    .keep_upgrade_in_flight(&mut request, in_flight.as_ref());
                let response = self.inner.call(request);
                panics.returned();
                ResponseFuture::admitted(response, admission, in_flight)
            }
            room => {
                panics.returned();
                self.no_room(request, in_flight, passed, room)
            }
        }
    }

    /// Lets a request wait for room in the inner service, or fails with it.
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
        // What failed is not to be used again; what is pending may hold a
        // place in some queue, so it, and not a clone of it, is the one to
        // wait for.
        let asked = self.replace_inner();
        if let Poll::Ready(Err(error)) = room {
            count_failed(in_flight);
            return ResponseFuture::failed(error);
        }
        let queue = PendingRequest::admitted(&self.gate, in_flight, passed);
        ResponseFuture::waiting(Waiting::new(queue, asked, request))
    }

    /// Does what is to be done with a probe, or while there is a reason to
    /// hesitate.
    #[cold]
    fn call_slow<B, R>(&mut self, request: Request<B>) -> ResponseFuture<S, B>
    where
        S: Service<Request<B>, Response = Response<R>> + Clone,
        B: Body + Send + 'static,
    {
        self.gate.start_jobs();
        let probes = self.gate.probes.as_ref();
        if let Some(answer) = probes.and_then(|probes| probes.answer(&request)) {
            return ResponseFuture::answered(self.after_body(request, answer));
        }
        if self.gate.is_open() {
            // It only began like a probe.
            return self.pass(request, Admission::PLAIN, Reasons::NONE);
        }
        let head = RequestHead::from(&request);
        let basis = self.gate.basis();
        let reason = match self.gate.decide(basis, Reasons::NONE, head) {
            Decision::Admit(admission) => {
                if !self.gate.is_exempt(head) {
                    self.gate.admitted(basis);
                }
                return self.pass(request, admission, basis.verdict.reasons());
            }
            Decision::Refuse(reason) => reason,
            Decision::Hold(reason, hold) => {
                match PendingRequest::held(&self.gate, reason, hold, basis) {
                    Some(queue) => {
                        let waiting = Waiting::new(queue, self.inner.clone(), request);
                        return ResponseFuture::waiting(waiting);
                    }
                    None => reason,
                }
            }
        };
        let answer = Answer::Now(self.gate.refuse(reason, basis, head));
        ResponseFuture::answered(self.after_body(request, answer))
    }

    /// The answer to a request, once nothing of its body makes the answer wait.
    #[inline]
    fn after_body<B>(&self, request: Request<B>, answer: Answer) -> Answer
    where
        B: Body + Send + 'static,
    {
        match self.gate.policy.unread.take(request) {
            None => answer,
            Some(unread) => answer.after(unread),
        }
    }

    /// Puts a fresh clone in place of the inner service, and returns that.
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
