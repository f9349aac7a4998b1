use super::{
    action::Action,
    counts::WaitSlot,
    decision::{Basis, Close, Decision},
    gate::Gate,
    head::RequestHead,
    hold::Hold,
    outcome::PanicGuard,
};
use crate::{
    state::{Reason, Reasons, Verdict},
    sync::OwnedSemaphorePermit,
    timers::timer_at,
    traffic::InFlightGuard,
};
use http::Request;
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::time::{Instant, Sleep};
use tower_service::Service;

/// A request that waits until it can be passed on: first for the gate, if it
/// is held, then for the inner service to have room.
///
/// When the verdict changes, each wait ends early, and the gate decides on the
/// request again.
pub(super) struct WaitingRequest {
    pub(super) gate: Arc<Gate>,
    since: Instant,
    /// The verdict of the last decision.
    seen: Option<Verdict>,
    /// Completes when the verdict differs from `seen`.
    changed: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
    /// The reasons that [`Gate::decide`] does not consider again.
    passed: Reasons,
    slot: Option<WaitSlot>,
    /// The permit with which this request was released. It is held until the
    /// response is there.
    pub(super) release: Option<OwnedSemaphorePermit>,
    /// Counts this request as in flight since it was admitted.
    pub(super) in_flight: Option<InFlightGuard>,
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
    /// The inner service has no room. The timer bounds the wait, if there is one.
    Saturated(Option<Pin<Box<Sleep>>>),
}

/// A refusal, and the state that it is based on.
type Refused = (Reason, Basis);

/// Why a request was not passed on.
pub(super) enum NotAdmitted<E> {
    Refused(Refused),
    Failed(E),
}

impl WaitingRequest {
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
            changed: None,
            passed,
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
        passed: Reasons,
    ) -> Option<Self> {
        let mut waiting = Self::admitted(gate, None, passed);
        waiting.seen = Some(basis.verdict);
        waiting.hold(reason, hold).then_some(waiting)
    }

    /// Completes when `inner` is ready to be called with the request, or with an
    /// error if the request is not passed on. The result is whether the response
    /// gets `connection: close`.
    pub(super) fn poll<S, B>(
        &mut self,
        inner: &mut S,
        head: RequestHead<'_>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Close, NotAdmitted<S::Error>>>
    where
        S: Service<Request<B>> + Clone,
    {
        loop {
            ready!(self.poll_gate(head, cx)).map_err(NotAdmitted::Refused)?;
            let panic_guard = PanicGuard::new(self.in_flight.as_ref());
            let room = inner.poll_ready(cx);
            panic_guard.disarm();
            if let Poll::Ready(Err(error)) = room {
                return Poll::Ready(Err(NotAdmitted::Failed(error)));
            }
            // The verdict may have changed during the wait.
            let basis = self.gate.basis();
            if self.see(basis) {
                let decided = self.decide_again(basis, false, head);
                decided.map_err(NotAdmitted::Refused)?;
            }
            if let Step::Held { .. } = self.step {
                // Give back permits that the inner service has reserved.
                *inner = inner.clone();
                continue;
            }
            if room.is_ready() {
                return Poll::Ready(Ok(self.gate.closes_connection(basis, head)));
            }
            if let Poll::Ready(reason) = self.poll_saturated(head, cx) {
                let refused = (reason, self.gate.basis());
                return Poll::Ready(Err(NotAdmitted::Refused(refused)));
            }
            ready!(self.poll_changed(cx));
        }
    }

    /// Completes when the gate admits the request or refuses it.
    pub(super) fn poll_gate(
        &mut self,
        head: RequestHead<'_>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Refused>> {
        loop {
            let progress = match &mut self.step {
                Step::Held { timer, .. } => timer.as_mut().poll(cx).map(|()| None),
                Step::Released(permit) => permit.as_mut().poll(cx).map(Some),
                Step::Admitted | Step::Saturated(_) => return Poll::Ready(Ok(())),
            };
            let was_released = match progress {
                Poll::Ready(Some(permit)) => {
                    self.release = permit;
                    true
                }
                Poll::Ready(None) => false,
                Poll::Pending => {
                    ready!(self.poll_changed(cx));
                    false
                }
            };
            let basis = self.gate.basis();
            if self.see(basis) || !was_released {
                self.decide_again(basis, was_released, head)?;
            } else {
                self.admit(basis, head);
            }
        }
    }

    /// Completes when the verdict differs from that of the last decision.
    fn poll_changed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(seen) = self.seen else {
            return Poll::Ready(());
        };
        let gate = &self.gate;
        let changed = self
            .changed
            .get_or_insert_with(|| Box::pin(Arc::clone(gate).verdict_changed(seen)));
        ready!(changed.as_mut().poll(cx));
        self.changed = None;
        Poll::Ready(())
    }

    /// Stores the verdict that the next decision is based on. Returns whether it
    /// differs from the last.
    fn see(&mut self, basis: Basis) -> bool {
        let is_new = self.seen.replace(basis.verdict) != Some(basis.verdict);
        if is_new {
            self.changed = None;
        }
        is_new
    }

    /// Decides again on the request: the reason of its hold may have passed or come
    /// back, and another may hold by now.
    fn decide_again(
        &mut self,
        basis: Basis,
        was_released: bool,
        head: RequestHead<'_>,
    ) -> Result<(), Refused> {
        let gate = Arc::clone(&self.gate);
        match gate.decide(basis, &mut self.passed, head) {
            Decision::Refuse(reason) => return Err((reason, basis)),
            Decision::Hold(reason, hold) => {
                if !self.hold(reason, hold) {
                    return Err((reason, basis));
                }
            }
            Decision::Admit => match self.step {
                Step::Held {
                    reason, deadline, ..
                } => self.step = Step::Released(Box::pin(gate.acquire_release(reason, deadline))),
                Step::Released(_) if was_released => self.admit(basis, head),
                Step::Released(_) | Step::Admitted | Step::Saturated(_) => {}
            },
        }
        Ok(())
    }

    /// Holds the request, or continues a hold. Returns `false` if all wait slots
    /// are taken, its time is up, or there is no timer.
    fn hold(&mut self, reason: Reason, hold: &Hold) -> bool {
        let deadline = self.since + hold.max_wait;
        let Some(timer) = timer_at(deadline) else {
            return false;
        };
        // The request counts at each moment, as waiting or as in flight, so that a drain
        // does not end meanwhile: the old slot and guard go once the new slot is taken.
        if self.slot.as_ref().map(WaitSlot::reason) != Some(reason) {
            let Some(slot) = self.gate.take_slot(reason, hold) else {
                return false;
            };
            self.slot = Some(slot);
            self.gate.count_held(reason);
        }
        self.in_flight = None;
        self.release = None;
        self.step = Step::Held {
            reason,
            deadline,
            timer,
        };
        deadline > Instant::now()
    }

    fn admit(&mut self, basis: Basis, head: RequestHead<'_>) {
        // Before the slot is given back, as in `hold`.
        self.in_flight = self.gate.enter(head, basis.verdict.reasons().is_empty());
        self.slot = None;
        self.gate.record_admitted(basis, head);
        self.step = Step::Admitted;
    }

    /// Waits while the inner service is pending, which wakes the task when it has
    /// room. Completes when the time for the wait is up.
    fn poll_saturated(&mut self, head: RequestHead<'_>, cx: &mut Context<'_>) -> Poll<Reason> {
        if let Step::Saturated(timer) = &mut self.step {
            let Some(timer) = timer else {
                return Poll::Pending;
            };
            ready!(timer.as_mut().poll(cx));
            self.slot = None;
            return self.refuse_saturated(head);
        }
        if !tokio::task::coop::has_budget_remaining() {
            // The inner service may be pending only because this task has used up
            // tokio's budget. Poll it again at the next turn.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.step = Step::Saturated(None);
        let gate = &self.gate;
        // A dry run has refused the request before.
        if self.passed.contains(Reason::Saturated) || gate.is_exempt(head) {
            return Poll::Pending;
        }
        match &gate.settings.actions[Reason::Saturated] {
            Action::Admit => Poll::Pending,
            Action::Shed(shed) if !shed.sheds(head) => Poll::Pending,
            Action::Refuse | Action::Shed(_) => self.refuse_saturated(head),
            Action::Hold(hold) => {
                self.slot = gate.take_slot(Reason::Saturated, hold);
                if self.slot.is_none() {
                    return self.refuse_saturated(head);
                }
                gate.count_held(Reason::Saturated);
                self.step = Step::Saturated(timer_at(Instant::now() + hold.max_wait));
                self.poll_saturated(head, cx)
            }
        }
    }

    /// Refuses the request; in a dry run counts that, and waits without a bound.
    fn refuse_saturated(&mut self, head: RequestHead<'_>) -> Poll<Reason> {
        if !self.gate.settings.dry_run {
            return Poll::Ready(Reason::Saturated);
        }
        if !self.passed.contains(Reason::Saturated) {
            self.gate.count_refused(Reason::Saturated, head);
            self.passed = Reasons::ALL;
        }
        self.step = Step::Saturated(None);
        Poll::Pending
    }
}
