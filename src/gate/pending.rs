use super::{
    action::{Action, Hold},
    admission::{Admission, count_failed},
    counts::WaitSlot,
    gate::{Basis, Decision, Gate, has_runtime},
    head::RequestHead,
    outcome_tracker::PanicGuard,
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

/// A request that waits until it can be passed on: first for the gate, if it
/// is held, then for the inner service to have room.
///
/// When the verdict changes, each wait ends early, and the gate decides on the
/// request again.
pub(super) struct PendingRequest {
    gate: Arc<Gate>,
    since: Instant,
    /// The verdict of the last decision.
    seen: Option<Verdict>,
    /// The reasons in spite of which the request was admitted.
    passed: Reasons,
    changed: Option<Changed>,
    slot: Option<WaitSlot>,
    release: Option<OwnedSemaphorePermit>,
    in_flight: Option<InFlightGuard>,
    step: Step,
}

enum Step {
    /// The gate holds the request.
    Held {
        reason: Reason,
        deadline: Instant,
        timer: Pin<Box<Sleep>>,
    },
    /// The reason of the hold has passed, and the request waits for a permit to be
    /// released.
    Released(Pin<Box<dyn Future<Output = Option<OwnedSemaphorePermit>> + Send + Sync>>),
    /// The gate has admitted the request. The inner service is not polled yet.
    Admitted,
    /// The inner service has no room. The field bounds the wait.
    Saturated(SaturationWait),
}

/// A wait until the verdict differs from `from`.
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
    /// A request that was admitted in spite of the reasons `passed`, and for which
    /// the inner service may have no room.
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
            slot: None,
            release: None,
            in_flight,
            step: Step::Admitted,
        }
    }

    /// A request that the gate holds, or `None` if all wait slots are taken.
    pub(super) fn held(
        gate: &Arc<Gate>,
        reason: Reason,
        hold: &Hold,
        basis: Basis,
    ) -> Option<Self> {
        let mut pending = Self::admitted(gate, None, Reasons::NONE);
        pending.seen = Some(basis.verdict);
        pending.hold(reason, hold).then_some(pending)
    }

    pub(super) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// The permit with which this request was released. The caller keeps it until
    /// the response is there.
    pub(super) fn take_release(&mut self) -> Option<OwnedSemaphorePermit> {
        self.release.take()
    }

    /// The guard that counts this request as in flight since it was admitted.
    pub(super) fn take_in_flight(&mut self) -> Option<InFlightGuard> {
        self.in_flight.take()
    }

    /// Completes when `inner` is ready to be called with `request`, or with an error
    /// if the request is not passed on. An error gives back the permit and the guard
    /// of the request.
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
        self.slot = None;
        self.changed = None;
        if let Err(not_admitted) = &ready {
            self.release = None;
            let in_flight = self.in_flight.take();
            if let NotAdmitted::Failed(_) = not_admitted {
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
        let refused_for = |(reason, basis)| Poll::Ready(Err(NotAdmitted::Refused(reason, basis)));
        loop {
            if let Err(refused) = ready!(self.poll_gate(head, cx)) {
                return refused_for(refused);
            }
            let panic_guard = PanicGuard::new(self.in_flight.as_ref());
            let room = inner.poll_ready(cx);
            panic_guard.disarm();
            if let Poll::Ready(Err(error)) = room {
                return Poll::Ready(Err(NotAdmitted::Failed(error)));
            }
            // The verdict may have changed during the wait.
            let basis = self.gate.basis();
            if let Err(refused) = self.decide_again_admitted(basis, head) {
                return refused_for(refused);
            }
            if let Step::Held { .. } = self.step {
                // Give back permits that the inner service has reserved.
                *inner = inner.clone();
                continue;
            }
            if room.is_ready() {
                return Poll::Ready(Ok(self.gate.admission(basis, head)));
            }
            if let Poll::Ready(reason) = self.poll_saturated(head, cx) {
                return refused_for((reason, self.gate.basis()));
            }
            ready!(self.poll_changed(cx));
        }
    }

    /// Completes when the gate admits the request or refuses it.
    fn poll_gate(
        &mut self,
        head: RequestHead<'_>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), (Reason, Basis)>> {
        loop {
            let was_released = match &mut self.step {
                Step::Held { timer, .. } => {
                    if timer.as_mut().poll(cx).is_pending() {
                        ready!(self.poll_changed(cx));
                    }
                    false
                }
                Step::Released(permit) => match permit.as_mut().poll(cx) {
                    Poll::Ready(permit) => {
                        self.release = permit;
                        true
                    }
                    Poll::Pending => {
                        ready!(self.poll_changed(cx));
                        false
                    }
                },
                Step::Admitted | Step::Saturated(_) => return Poll::Ready(Ok(())),
            };
            if let Err(refused) = self.decide_again_held(was_released, head) {
                return Poll::Ready(Err(refused));
            }
        }
    }

    /// Completes when the verdict differs from that of the last decision.
    fn poll_changed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(seen) = self.seen else {
            return Poll::Ready(());
        };
        let gate = &self.gate;
        let changed = match &mut self.changed {
            Some(changed) if changed.from == seen => changed,
            changed => changed.insert(Changed {
                from: seen,
                future: Box::pin(Arc::clone(gate).verdict_changed(seen)),
            }),
        };
        ready!(changed.future.as_mut().poll(cx));
        self.changed = None;
        Poll::Ready(())
    }

    /// Decides again on a request that is held or waits to be released, because
    /// its reason may have passed or come back, and another may hold by now.
    fn decide_again_held(
        &mut self,
        was_released: bool,
        head: RequestHead<'_>,
    ) -> Result<(), (Reason, Basis)> {
        let gate = Arc::clone(&self.gate);
        let basis = gate.basis();
        let is_new = self.seen.replace(basis.verdict) != Some(basis.verdict);
        if was_released && !is_new {
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
                } => self.step = Step::Released(Box::pin(gate.acquire_release(reason, deadline))),
                _ if was_released => self.admit(basis, head),
                _ => {}
            },
        }
        Ok(())
    }

    /// Decides again on an admitted request that waits for room: refuses or holds
    /// it if a reason holds that did not hold when it was admitted.
    fn decide_again_admitted(
        &mut self,
        basis: Basis,
        head: RequestHead<'_>,
    ) -> Result<(), (Reason, Basis)> {
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

    /// Holds the request, or continues a hold. Returns `false` if all wait slots
    /// are taken or its time is up.
    fn hold(&mut self, reason: Reason, hold: &Hold) -> bool {
        self.release = None;
        if self.slot.as_ref().map(WaitSlot::reason) != Some(reason) {
            self.slot = None;
            self.slot = self.gate.take_slot(reason, hold);
            if self.slot.is_none() {
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
        self.slot = None;
        self.passed = basis.verdict.reasons();
        self.in_flight = self.gate.enter(head, self.passed.is_empty());
        self.gate.record_admitted(basis);
        self.step = Step::Admitted;
    }

    /// Waits while the inner service is pending, which wakes the task when it has
    /// room. Completes when the time for the wait is up.
    fn poll_saturated(&mut self, head: RequestHead<'_>, cx: &mut Context<'_>) -> Poll<Reason> {
        loop {
            match &mut self.step {
                Step::Saturated(SaturationWait::Endless) => return Poll::Pending,
                Step::Saturated(SaturationWait::Until(sleep)) => {
                    ready!(sleep.as_mut().poll(cx));
                    self.slot = None;
                    if !self.gate.policy.dry_run {
                        return Poll::Ready(Reason::Saturated);
                    }
                    self.gate.count_refused(Reason::Saturated, head);
                    self.step = Step::Saturated(SaturationWait::Endless);
                }
                _ if !tokio::task::coop::has_budget_remaining() => {
                    // The inner service may be pending only because this task
                    // has used up tokio's budget. Poll it again at the next turn.
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

    /// How long to wait for room, or `None` to refuse the request at once.
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
                self.slot = gate.take_slot(Reason::Saturated, hold);
                if self.slot.is_some() {
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
