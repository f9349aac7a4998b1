use super::{
    action::{Action, Hold, Predicate},
    admission::Admission,
    counts::GateCounts,
    head::RequestHead,
    refusal::{self, Refusal, Responder, RetryAfter},
};
use crate::{
    probe::{ProbeResponse, Probes},
    report::{Core, Scope},
    state::{OpenWord, Phase, Reason, ScopeId},
};
use std::sync::Arc;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

/// What a layer was told.
#[derive(Clone)]
pub(super) struct Policy {
    pub(super) actions: [Action; Reason::ALL.len()],
    pub(super) dry_run: bool,
    pub(super) exempt: Option<Predicate>,
    pub(super) retry_after: RetryAfter,
    pub(super) responder: Option<Responder>,
    pub(super) closes_connections: bool,
}

impl Policy {
    pub(super) fn gating() -> Self {
        let mut policy = Self {
            closes_connections: true,
            ..Self::admitting()
        };
        for reason in [Reason::Closed, Reason::Starting, Reason::Failing] {
            policy.actions[reason as usize] = Action::Refuse;
        }
        policy.actions[Reason::Saturated as usize] = Action::Hold(Hold::while_saturated());
        policy
    }

    pub(super) fn admitting() -> Self {
        Self {
            actions: [const { Action::Admit }; Reason::ALL.len()],
            dry_run: false,
            exempt: None,
            retry_after: RetryAfter::default(),
            responder: None,
            closes_connections: false,
        }
    }
}

/// What all services of a layer share.
pub(super) struct Gate {
    pub(super) scope: Scope,
    /// The same as `scope` leads to, one step closer.
    core: Arc<Core>,
    id: ScopeId,
    open: OpenWord,
    pub(super) probes: Option<Probes>,
    pub(super) policy: Policy,
    pub(super) counts: GateCounts,
    /// For each reason to hold, who may be let go at the same time.
    release: [Option<Arc<Semaphore>>; Reason::ALL.len()],
}

/// What becomes of a request.
pub(super) enum Decision<'g> {
    Admit(Admission),
    Refuse(Reason),
    Hold(Reason, &'g Hold),
}

impl Gate {
    pub(super) fn new(
        scope: Scope,
        probes: Option<Probes>,
        policy: Policy,
        counts: GateCounts,
    ) -> Self {
        let release = std::array::from_fn(|index| match &policy.actions[index] {
            Action::Hold(hold) => {
                let permits = hold.release.min(Semaphore::MAX_PERMITS);
                Some(Arc::new(Semaphore::new(permits)))
            }
            _ => None,
        });
        Self {
            open: scope.readiness().core().open_word(scope.id()),
            core: Arc::clone(scope.readiness().core()),
            id: scope.id(),
            scope,
            probes,
            policy,
            counts,
            release,
        }
    }

    pub(super) fn action(&self, reason: Reason) -> &Action {
        &self.policy.actions[reason as usize]
    }

    /// Whether a request for `path` is to be passed on without a thought: it is
    /// not for a probe, and nothing is wrong.
    ///
    /// Not generic and not inlined, so that what remains of the admit path in
    /// the user's crate is small enough to be.
    pub(super) fn waves_through(&self, path: &str) -> bool {
        let may_be_probe = |probes: &Probes| probes.may_answer(path);
        self.open.is_set() && !self.probes.as_ref().is_some_and(may_be_probe)
    }

    /// What becomes of a request by the newest snapshot. In a dry run it is
    /// admitted, whatever was decided.
    pub(super) fn decide(&self, head: RequestHead<'_>) -> Decision<'_> {
        let verdict = self.core.look(|data| data.verdict(self.id));
        let admission = Admission {
            close: self.policy.closes_connections
                && verdict.phase() >= Phase::Draining
                && head.is_http1(),
        };
        if verdict.reasons().is_empty() || self.is_exempt(head) {
            return Decision::Admit(admission);
        }
        let decision = verdict
            .reasons()
            .iter()
            .find_map(|reason| self.act(reason, head))
            .unwrap_or(Decision::Admit(admission));
        if self.policy.dry_run {
            self.count_dry(&decision, head);
            return Decision::Admit(admission);
        }
        decision
    }

    /// What one reason makes of a request, or `None` if nothing.
    fn act(&self, reason: Reason, head: RequestHead<'_>) -> Option<Decision<'_>> {
        match self.action(reason) {
            Action::Admit => None,
            Action::Refuse => Some(Decision::Refuse(reason)),
            Action::Shed(shed) => shed.sheds(head).then_some(Decision::Refuse(reason)),
            Action::Hold(hold) if reason.can_pass() && has_timer() => {
                Some(Decision::Hold(reason, hold))
            }
            Action::Hold(_) => Some(Decision::Refuse(reason)),
        }
    }

    pub(super) fn is_exempt(&self, head: RequestHead<'_>) -> bool {
        head.is_grpc_health()
            || self
                .policy
                .exempt
                .as_ref()
                .is_some_and(|exempt| exempt(head))
    }

    fn count_dry(&self, decision: &Decision<'_>, head: RequestHead<'_>) {
        match decision {
            Decision::Admit(_) => {}
            Decision::Refuse(reason) => self.count_refused(*reason, head),
            Decision::Hold(reason, _) => self.counts.count_held(*reason),
        }
    }

    pub(super) fn count_refused(&self, reason: Reason, head: RequestHead<'_>) {
        self.counts.count_refused(reason);
        #[cfg(feature = "tracing")]
        if self.policy.dry_run {
            tracing::info!(%reason, method = %head.method(), path = head.uri().path(), "would refuse");
        } else {
            tracing::debug!(%reason, method = %head.method(), path = head.uri().path(), "refused");
        }
        #[cfg(not(feature = "tracing"))]
        let _ = head;
    }

    /// Refuses a request: counts it and makes the response.
    pub(super) fn refuse(&self, reason: Reason, head: RequestHead<'_>) -> ProbeResponse {
        self.count_refused(reason, head);
        let (version, phase) = self.core.look(|data| (data.version, data.phase));
        let refusal = Refusal::new(reason, self.policy.retry_after.pick(), version);
        refusal::respond(
            refusal,
            head,
            phase >= Phase::Draining,
            self.policy.responder.as_ref(),
        )
    }

    /// Waits for `reason` to pass, and then for this waiter's turn, both until
    /// `deadline`. Whoever waited looks again: what was waited for may have
    /// come and gone, or something else may have come up.
    pub(super) async fn wait_to_pass(
        self: Arc<Self>,
        reason: Reason,
        deadline: Instant,
    ) -> Option<OwnedSemaphorePermit> {
        let turn = async {
            let passed = self.core.wait_for(|data| {
                let reasons = data.verdict(self.id).reasons();
                let passed = !reasons.contains(reason) || reasons.contains(Reason::Closed);
                passed.then_some(())
            });
            passed.await.ok()?;
            let release = self.release[reason as usize].clone()?;
            release.acquire_owned().await.ok()
        };
        tokio::time::timeout_at(deadline, turn).await.ok()?
    }
}

/// Whether there is a runtime that can measure time.
pub(super) fn has_timer() -> bool {
    tokio::runtime::Handle::try_current().is_ok()
}
