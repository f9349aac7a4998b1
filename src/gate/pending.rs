use super::{
    action::{Action, Hold},
    admission::{Admission, count_failed},
    counts::WaitSlot,
    gate::{Basis, Decision, Gate, has_runtime},
    head::RequestHead,
    outcome_tracker::UnlessPanic,
};
use crate::{
    state::{Reason, Reasons, Verdict},
    traffic::InFlightGuard,
};
use http::Request;
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, Sleep, sleep, sleep_until},
};
use tower_service::Service;

/// Where a request waits until it can be passed on: first for the gate, if it
/// was held, then for the inner service to have room.
///
/// Each wait ends early when the verdict changes, and the request is decided on
/// anew.
pub(super) struct PendingRequest {
    gate: Arc<Gate>,
    since: Instant,
    /// What the request was last judged by.
    seen: Option<Verdict>,
    /// The reasons in spite of which the request was admitted.
    passed: Reasons,
    changed: Option<Changed>,
    place: Option<WaitSlot>,
    turn: Option<OwnedSemaphorePermit>,
    in_flight: Option<InFlightGuard>,
    step: Step,
}

enum Step {
    /// The gate holds it.
    Held {
        reason: Reason,
        deadline: Instant,
        timer: Pin<Box<Sleep>>,
    },
    /// What it was held for has passed, and others go first.
    Released(Pin<Box<dyn Future<Output = Option<OwnedSemaphorePermit>> + Send + Sync>>),
    /// Admitted. The inner service has not been asked for room yet.
    Admitted,
    /// The inner service has no room. How long to wait for it.
    Saturated(SaturationWait),
}

/// Completes when the verdict is another than `from`.
struct Changed {
    from: Verdict,
    future: Pin<Box<dyn Future<Output = ()> + Send + Sync>>,
}

enum SaturationWait {
    Endless,
    Until(Pin<Box<Sleep>>),
}

/// Why a request was not passed on.
pub(super) enum NotAdmitted<E> {
    Refused(Reason, Basis),
    Failed(E),
}

impl PendingRequest {
    /// The queue of a request that was admitted in spite of the reasons `passed`,
    /// and for which the inner service may have no room.
    pub(super) fn admitted(
        gate: &Arc<Gate>,
        in_flight: Option<InFlightGuard>,
        passed: Reasons,
    ) -> Self {
        Self {
            gate: Arc::clone(gate),
            since: Instant::now(),
            seen: None,
            passed,
            changed: None,
            place: None,
            turn: None,
            in_flight,
            step: Step::Admitted,
        }
    }

    /// The queue of a request that the gate holds, or `None` if it has no
    /// room for another.
    pub(super) fn held(
        gate: &Arc<Gate>,
        reason: Reason,
        hold: &Hold,
        basis: Basis,
    ) -> Option<Self> {
        let mut queue = Self::admitted(gate, None, Reasons::NONE);
        queue.seen = Some(basis.verdict);
        queue.hold(reason, hold).then_some(queue)
    }

    pub(super) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// The turn that this request had among those let go, to be kept until
    /// it has its response.
    pub(super) fn take_turn(&mut self) -> Option<OwnedSemaphorePermit> {
        self.turn.take()
    }

    /// What counts this request as in flight, from when it was admitted.
    pub(super) fn take_in_flight(&mut self) -> Option<InFlightGuard> {
        self.in_flight.take()
    }

    /// Completes when `inner` is ready to be called with `request`. Whatever the
    /// request held in the gate is let go if it is not to be called.
    pub(super) fn poll<S, B>(
        &mut self,
        inner: &mut S,
        request: &Request<B>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Admission, NotAdmitted<S::Error>>>
    where
        S: Service<Request<B>> + Clone,
    {
        let head = RequestHead::from(request);
        let ready = ready!(self.poll_ready(inner, head, cx));
        self.place = None;
        self.changed = None;
        if let Err(turned) = &ready {
            self.turn = None;
            let in_flight = self.in_flight.take();
            if let NotAdmitted::Failed(_) = turned {
                count_failed(in_flight);
            }
        }
        Poll::Ready(ready)
    }

    fn poll_ready<S, B>(
        &mut self,
        inner: &mut S,
        head: RequestHead<'_>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Admission, NotAdmitted<S::Error>>>
    where
        S: Service<Request<B>> + Clone,
    {
        let away = |(reason, basis)| Poll::Ready(Err(NotAdmitted::Refused(reason, basis)));
        loop {
            if let Err(refused) = ready!(self.poll_gate(head, cx)) {
                return away(refused);
            }
            let panics = UnlessPanic::watch(self.in_flight.as_ref());
            let room = inner.poll_ready(cx);
            panics.returned();
            if let Poll::Ready(Err(error)) = room {
                return Poll::Ready(Err(NotAdmitted::Failed(error)));
            }
            // The verdict may have changed meanwhile.
            let basis = self.gate.basis();
            if let Err(refused) = self.judge_again(basis, head) {
                return away(refused);
            }
            if let Step::Held { .. } = self.step {
                // Nothing that the inner service has reserved is held.
                *inner = inner.clone();
                continue;
            }
            if room.is_ready() {
                return Poll::Ready(Ok(self.gate.admission(basis, head)));
            }
            if let Poll::Ready(reason) = self.poll_saturated(head, cx) {
                return away((reason, self.gate.basis()));
            }
            ready!(self.poll_changed(cx));
        }
    }

    /// Completes when the gate lets the request through, or refuses it.
    fn poll_gate(
        &mut self,
        head: RequestHead<'_>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), (Reason, Basis)>> {
        loop {
            let has_turn = match &mut self.step {
                Step::Held { timer, .. } => {
                    if timer.as_mut().poll(cx).is_pending() {
                        ready!(self.poll_changed(cx));
                    }
                    false
                }
                Step::Released(turn) => match turn.as_mut().poll(cx) {
                    Poll::Ready(turn) => {
                        self.turn = turn;
                        true
                    }
                    Poll::Pending => {
                        ready!(self.poll_changed(cx));
                        false
                    }
                },
                Step::Admitted | Step::Saturated(_) => return Poll::Ready(Ok(())),
            };
            if let Err(refused) = self.decide_again(has_turn, head) {
                return Poll::Ready(Err(refused));
            }
        }
    }

    /// Completes when the verdict is another than the request was judged by.
    fn poll_changed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(seen) = self.seen else {
            return Poll::Ready(());
        };
        let gate = &self.gate;
        let changed = match &mut self.changed {
            Some(changed) if changed.from == seen => changed,
            changed => changed.insert(Changed {
                from: seen,
                future: Box::pin(Arc::clone(gate).changed(seen)),
            }),
        };
        ready!(changed.future.as_mut().poll(cx));
        self.changed = None;
        Poll::Ready(())
    }

    /// Decides anew on a request that is held or waits for its turn: what was
    /// waited for may have come and gone, or something else may have come up.
    fn decide_again(
        &mut self,
        has_turn: bool,
        head: RequestHead<'_>,
    ) -> Result<(), (Reason, Basis)> {
        let gate = Arc::clone(&self.gate);
        let basis = gate.basis();
        let is_new = self.seen.replace(basis.verdict) != Some(basis.verdict);
        if has_turn && !is_new {
            self.admit(basis, head);
            return Ok(());
        }
        match gate.decide(basis, Reasons::NONE, head) {
            Decision::Refuse(reason) => return Err((reason, basis)),
            Decision::Hold(reason, hold) => {
                if !self.hold(reason, hold) {
                    return Err((reason, basis));
                }
            }
            Decision::Admit(_) => match self.step {
                Step::Held {
                    reason, deadline, ..
                } => self.step = Step::Released(Box::pin(gate.turn(reason, deadline))),
                _ if has_turn => self.admit(basis, head),
                _ => {}
            },
        }
        Ok(())
    }

    /// Decides anew on a request that waits for room: refuses or holds it if
    /// there is a reason in spite of which it was not admitted.
    fn judge_again(&mut self, basis: Basis, head: RequestHead<'_>) -> Result<(), (Reason, Basis)> {
        if self.seen.replace(basis.verdict) == Some(basis.verdict) {
            return Ok(());
        }
        let gate = Arc::clone(&self.gate);
        match gate.decide(basis, self.passed, head) {
            Decision::Refuse(reason) => return Err((reason, basis)),
            Decision::Hold(reason, hold) => {
                self.in_flight = None;
                if !self.hold(reason, hold) {
                    return Err((reason, basis));
                }
            }
            Decision::Admit(_) => self.passed = basis.verdict.reasons(),
        }
        Ok(())
    }

    /// Holds the request, or goes on to. `false` if there is no room for it, or
    /// no time left.
    fn hold(&mut self, reason: Reason, hold: &Hold) -> bool {
        self.turn = None;
        if self.place.as_ref().map(WaitSlot::reason) != Some(reason) {
            self.place = None;
            self.place = self.gate.wait(reason, hold);
            if self.place.is_none() {
                return false;
            }
            self.gate.count_held(reason);
        }
        let deadline = self.since + hold.max_wait;
        self.step = Step::Held {
            reason,
            deadline,
            timer: Box::pin(sleep_until(deadline)),
        };
        deadline > Instant::now()
    }

    fn admit(&mut self, basis: Basis, head: RequestHead<'_>) {
        self.place = None;
        self.passed = basis.verdict.reasons();
        self.in_flight = self.gate.enter(head, self.passed.is_empty());
        self.gate.admitted(basis);
        self.step = Step::Admitted;
    }

    /// The inner service is pending, and wakes us when it has room. Completes
    /// when that shall not be waited for any longer.
    fn poll_saturated(&mut self, head: RequestHead<'_>, cx: &mut Context<'_>) -> Poll<Reason> {
        loop {
            match &mut self.step {
                Step::Saturated(SaturationWait::Endless) => return Poll::Pending,
                Step::Saturated(SaturationWait::Until(sleep)) => {
                    ready!(sleep.as_mut().poll(cx));
                    self.place = None;
                    if !self.gate.policy.dry_run {
                        return Poll::Ready(Reason::Saturated);
                    }
                    self.gate.count_refused(Reason::Saturated, head);
                    self.step = Step::Saturated(SaturationWait::Endless);
                }
                _ if !tokio::task::coop::has_budget_remaining() => {
                    // What looks saturated may only be tokio making this task
                    // give way to others. Ask again at its next turn.
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                _ => match self.saturation_wait(head) {
                    Some(saturation_wait) => self.step = Step::Saturated(saturation_wait),
                    None => return Poll::Ready(Reason::Saturated),
                },
            }
        }
    }

    /// How long to wait for room, or `None` for not at all.
    fn saturation_wait(&mut self, head: RequestHead<'_>) -> Option<SaturationWait> {
        let gate = &self.gate;
        if gate.is_exempt(head) {
            return Some(SaturationWait::Endless);
        }
        let refused = match gate.action(Reason::Saturated) {
            Action::Admit => false,
            Action::Refuse => true,
            Action::Shed(shed) => shed.sheds(head),
            Action::Hold(hold) => {
                self.place = gate.wait(Reason::Saturated, hold);
                if self.place.is_some() {
                    gate.count_held(Reason::Saturated);
                    return Some(if has_runtime() {
                        SaturationWait::Until(Box::pin(sleep(hold.max_wait)))
                    } else {
                        SaturationWait::Endless
                    });
                }
                true
            }
        };
        if refused && gate.policy.dry_run {
            gate.count_refused(Reason::Saturated, head);
        } else if refused {
            return None;
        }
        Some(SaturationWait::Endless)
    }
}
