use super::{
    action::Action,
    admission::Admission,
    counts::Place,
    gate::{Decision, Gate, has_timer},
    head::RequestHead,
};
use crate::state::Reason;
use http::Request;
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
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
    admission: Admission,
    step: Step,
}

enum Step {
    /// The gate holds it.
    Held(Pin<Box<dyn Future<Output = Option<OwnedSemaphorePermit>> + Send + Sync>>),
    /// Admitted. The inner service has not been asked for room yet.
    Admitted,
    /// The inner service has no room. How long to wait for it.
    Saturated(Patience),
}

enum Patience {
    Endless,
    Until(Pin<Box<Sleep>>),
}

/// Why a request was not passed on.
pub(super) enum Turned<E> {
    Away(Reason),
    Failed(E),
}

impl Queue {
    /// The queue of a request that the gate holds, or `None` if it has no
    /// room for another.
    pub(super) fn held(
        gate: &Arc<Gate>,
        reason: Reason,
        max_wait: Duration,
        room: usize,
    ) -> Option<Self> {
        let place = gate.counts.wait(reason, room)?;
        gate.counts.count_held(reason);
        let since = Instant::now();
        let hold = Arc::clone(gate).wait_to_pass(reason, since + max_wait);
        Some(Self {
            since,
            place: Some(place),
            step: Step::Held(Box::pin(hold)),
            ..Self::admitted(gate, Admission { close: false })
        })
    }

    /// The queue of an admitted request, for which the inner service may have
    /// no room.
    pub(super) fn admitted(gate: &Arc<Gate>, admission: Admission) -> Self {
        Self {
            gate: Arc::clone(gate),
            since: Instant::now(),
            place: None,
            turn: None,
            admission,
            step: Step::Admitted,
        }
    }

    pub(super) fn gate(&self) -> &Gate {
        &self.gate
    }

    pub(super) fn admission(&self) -> Admission {
        self.admission
    }

    /// The turn that this request had among those let go, to be kept until
    /// it has its response.
    pub(super) fn take_turn(&mut self) -> Option<OwnedSemaphorePermit> {
        self.turn.take()
    }

    /// Completes when `inner` is ready to be called with `request`.
    pub(super) fn poll<S, B>(
        &mut self,
        inner: &mut S,
        request: &Request<B>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Turned<S::Error>>>
    where
        S: Service<Request<B>>,
    {
        let head = RequestHead::from(request);
        let ready = match ready!(self.poll_gate(head, cx)) {
            Err(reason) => Err(Turned::Away(reason)),
            Ok(()) => match inner.poll_ready(cx) {
                Poll::Ready(ready) => ready.map_err(Turned::Failed),
                Poll::Pending => Err(Turned::Away(ready!(self.poll_saturated(head, cx)))),
            },
        };
        self.place = None;
        Poll::Ready(ready)
    }

    fn poll_gate(
        &mut self,
        head: RequestHead<'_>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Reason>> {
        while let Step::Held(hold) = &mut self.step {
            self.turn = ready!(hold.as_mut().poll(cx));
            match self.gate.decide(head) {
                Decision::Admit(admission) => {
                    self.admission = admission;
                    self.place = None;
                    self.step = Step::Admitted;
                }
                Decision::Refuse(reason) => return Poll::Ready(Err(reason)),
                Decision::Hold(reason, hold) => {
                    self.turn = None;
                    let left = hold.max_wait.saturating_sub(self.since.elapsed());
                    if left.is_zero() {
                        return Poll::Ready(Err(reason));
                    }
                    let hold = Arc::clone(&self.gate).wait_to_pass(reason, Instant::now() + left);
                    self.step = Step::Held(Box::pin(hold));
                }
            }
        }
        Poll::Ready(Ok(()))
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
            Action::Hold(_) if !has_timer() => false,
            Action::Hold(hold) => {
                self.place = gate.counts.wait(Reason::Saturated, hold.max_waiting);
                if self.place.is_some() {
                    gate.counts.count_held(Reason::Saturated);
                    return Some(Patience::Until(Box::pin(sleep(hold.max_wait))));
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
