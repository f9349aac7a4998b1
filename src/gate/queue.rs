use super::{
    action::{Action, Hold},
    admission::{Admission, count_failed},
    counts::Place,
    gate::{Basis, Decision, Gate, has_runtime},
    head::RequestHead,
};
use crate::{
    state::{Reason, Verdict},
    traffic::InFlight,
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
    time::{Instant, Sleep, sleep},
};
use tower_service::Service;

/// Where a request waits until it can be passed on: first for the gate, if it
/// was held, then for the inner service to have room.
pub(super) struct Queue {
    gate: Arc<Gate>,
    since: Instant,
    place: Option<Place>,
    turn: Option<OwnedSemaphorePermit>,
    in_flight: Option<InFlight>,
    step: Step,
}

enum Step {
    /// The gate holds it.
    Held(Held),
    /// What it was held for has passed, and others go first.
    Released {
        seen: Verdict,
        turn: Pin<Box<dyn Future<Output = Option<OwnedSemaphorePermit>> + Send + Sync>>,
    },
    /// Admitted. The inner service has not been asked for room yet.
    Admitted,
    /// The inner service has no room. How long to wait for it.
    Saturated(Patience),
}

struct Held {
    reason: Reason,
    deadline: Instant,
    changed: Pin<Box<dyn Future<Output = ()> + Send + Sync>>,
}

enum Patience {
    Endless,
    Until(Pin<Box<Sleep>>),
}

/// Why a request was not passed on.
pub(super) enum Turned<E> {
    Away(Reason, Basis),
    Failed(E),
}

impl Queue {
    /// The queue of an admitted request, for which the inner service may have
    /// no room.
    pub(super) fn admitted(gate: &Arc<Gate>, in_flight: Option<InFlight>) -> Self {
        Self {
            gate: Arc::clone(gate),
            since: Instant::now(),
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
        let mut queue = Self::admitted(gate, None);
        queue.hold(reason, hold, basis).then_some(queue)
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
    pub(super) fn take_in_flight(&mut self) -> Option<InFlight> {
        self.in_flight.take()
    }

    /// Completes when `inner` is ready to be called with `request`.
    pub(super) fn poll<S, B>(
        &mut self,
        inner: &mut S,
        request: &Request<B>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Admission, Turned<S::Error>>>
    where
        S: Service<Request<B>>,
    {
        let head = RequestHead::from(request);
        let ready = match ready!(self.poll_gate(head, cx)) {
            Err((reason, basis)) => Err(Turned::Away(reason, basis)),
            Ok(()) => match inner.poll_ready(cx) {
                // It may have waited for long, so look again.
                Poll::Ready(Ok(())) => Ok(self.gate.admission(self.gate.basis(), head)),
                Poll::Ready(Err(error)) => Err(Turned::Failed(error)),
                Poll::Pending => {
                    let reason = ready!(self.poll_saturated(head, cx));
                    Err(Turned::Away(reason, self.gate.basis()))
                }
            },
        };
        self.place = None;
        if let Err(turned) = &ready {
            let in_flight = self.in_flight.take();
            if let Turned::Failed(_) = turned {
                count_failed(in_flight);
            }
        }
        Poll::Ready(ready)
    }

    fn poll_gate(
        &mut self,
        head: RequestHead<'_>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), (Reason, Basis)>> {
        loop {
            match &mut self.step {
                Step::Held(held) => ready!(held.changed.as_mut().poll(cx)),
                Step::Released { seen, turn } => {
                    self.turn = ready!(turn.as_mut().poll(cx));
                    if self.gate.basis().verdict == *seen {
                        self.admit(head);
                        continue;
                    }
                }
                Step::Admitted | Step::Saturated(_) => return Poll::Ready(Ok(())),
            }
            if let Err(refused) = self.look_again(head) {
                return Poll::Ready(Err(refused));
            }
        }
    }

    /// Decides anew: what was waited for may have come and gone, or something
    /// else may have come up.
    fn look_again(&mut self, head: RequestHead<'_>) -> Result<(), (Reason, Basis)> {
        let gate = Arc::clone(&self.gate);
        let basis = gate.basis();
        match gate.decide(basis, head) {
            Decision::Refuse(reason) => return Err((reason, basis)),
            Decision::Hold(reason, hold) => {
                if !self.hold(reason, hold, basis) {
                    return Err((reason, basis));
                }
            }
            Decision::Admit(_) => match &self.step {
                Step::Held(held) => {
                    let turn = gate.turn(held.reason, held.deadline);
                    self.step = Step::Released {
                        seen: basis.verdict,
                        turn: Box::pin(turn),
                    };
                }
                _ => self.admit(head),
            },
        }
        Ok(())
    }

    /// Holds the request, or goes on to. `false` if there is no room for it, or
    /// no time left.
    fn hold(&mut self, reason: Reason, hold: &Hold, basis: Basis) -> bool {
        self.turn = None;
        if self.place.as_ref().map(Place::reason) != Some(reason) {
            self.place = None;
            self.place = self.gate.wait(reason, hold);
            if self.place.is_none() {
                return false;
            }
            self.gate.count_held(reason);
        }
        let deadline = self.since + hold.max_wait;
        let changed = Arc::clone(&self.gate).changed(basis.verdict, deadline);
        self.step = Step::Held(Held {
            reason,
            deadline,
            changed: Box::pin(changed),
        });
        deadline > Instant::now()
    }

    fn admit(&mut self, head: RequestHead<'_>) {
        self.place = None;
        let basis = self.gate.basis();
        let ready = basis.verdict.reasons().is_empty();
        self.in_flight = self.gate.enter(head, ready);
        self.gate.admitted(basis);
        self.step = Step::Admitted;
    }

    /// The inner service is pending, and wakes us when it has room. Completes
    /// when that shall not be waited for any longer.
    fn poll_saturated(&mut self, head: RequestHead<'_>, cx: &mut Context<'_>) -> Poll<Reason> {
        loop {
            match &mut self.step {
                Step::Saturated(Patience::Endless) => return Poll::Pending,
                Step::Saturated(Patience::Until(sleep)) => {
                    ready!(sleep.as_mut().poll(cx));
                    self.place = None;
                    if !self.gate.policy.dry_run {
                        return Poll::Ready(Reason::Saturated);
                    }
                    self.gate.count_refused(Reason::Saturated, head);
                    self.step = Step::Saturated(Patience::Endless);
                }
                _ if !tokio::task::coop::has_budget_remaining() => {
                    // What looks saturated may only be tokio making this task
                    // give way to others. Ask again at its next turn.
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                _ => match self.patience(head) {
                    Some(patience) => self.step = Step::Saturated(patience),
                    None => return Poll::Ready(Reason::Saturated),
                },
            }
        }
    }

    /// How long to wait for room, or `None` for not at all.
    fn patience(&mut self, head: RequestHead<'_>) -> Option<Patience> {
        let gate = &self.gate;
        if gate.is_exempt(head) {
            return Some(Patience::Endless);
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
                        Patience::Until(Box::pin(sleep(hold.max_wait)))
                    } else {
                        Patience::Endless
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
        Some(Patience::Endless)
    }
}
