use super::{
    action::Action,
    gate::Gate,
    head::RequestHead,
    hold::Hold,
    log,
    refusal::{self, Refusal},
};
use crate::{
    probe,
    response::{Answer, OwnResponse},
    state::{Phase, Reason, Reasons, ScopeId, Verdict},
    traffic::GateOutcome,
};
use http::{Method, Request};
use http_body::Body;

/// The decision on one request.
#[derive(Clone, Copy)]
pub(super) enum Decision<'g> {
    Admit,
    Refuse(Reason),
    Hold(Reason, &'g Hold),
}

/// The state of the registry that a decision is based on.
#[derive(Clone, Copy)]
pub(super) struct Basis {
    pub(super) verdict: Verdict,
    version: u64,
}

/// Whether the response to an admitted request gets `connection: close`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Close {
    No,
    /// Only if the response begins no tunnel: the request is a CONNECT.
    UnlessTunnel,
    Yes,
}

impl Basis {
    fn is_leaving(self) -> bool {
        self.verdict.phase() >= Phase::Draining
    }

    /// Whether a response says `connection: close`, unless it is told otherwise.
    fn announces_close(self, head: RequestHead<'_>) -> bool {
        self.is_leaving() && head.is_http1() && !head.retires_by_itself()
    }
}

impl Gate {
    /// The current state of the registry.
    pub(super) fn basis(&self) -> Basis {
        self.registry.publish_overdue();
        self.registry.read(|data| Basis {
            verdict: data.verdict(self.id),
            version: data.version,
        })
    }

    /// Decides on a request. In a dry run, counts the decision and admits the
    /// request.
    ///
    /// `passed` are the reasons in spite of which the gate has admitted the request, or would
    /// have, if it did not hold the request for another. They are not considered again as long
    /// as they hold, so that a fraction to shed is drawn once. A dry run never considers them
    /// again, because it counts a request once.
    pub(super) fn decide(
        &self,
        basis: Basis,
        passed: &mut Reasons,
        head: RequestHead<'_>,
    ) -> Decision<'_> {
        let reasons = basis.verdict.reasons();
        if !self.settings.dry_run {
            *passed = passed.intersection(reasons);
        }
        let new = reasons.without(*passed);
        if new.is_empty() {
            return Decision::Admit;
        }
        if self.is_exempt(head) {
            *passed = passed.union(new);
            return Decision::Admit;
        }
        let mut decision = Decision::Admit;
        for reason in new.iter() {
            match (self.decide_for(reason, basis, head), decision) {
                // A refusal for any reason outweighs a hold.
                (refused @ Decision::Refuse(_), _) => {
                    decision = refused;
                    break;
                }
                (Decision::Admit, _) => *passed = passed.with(reason),
                (held, Decision::Admit) => decision = held,
                _ => {}
            }
        }
        if self.settings.dry_run {
            match decision {
                Decision::Admit => {}
                Decision::Refuse(reason) => {
                    self.count_refused(reason, head);
                    *passed = Reasons::ALL;
                }
                Decision::Hold(reason, _) => {
                    self.count_held(reason);
                    *passed = passed.union(new);
                }
            }
            return Decision::Admit;
        }
        decision
    }

    fn decide_for(&self, reason: Reason, basis: Basis, head: RequestHead<'_>) -> Decision<'_> {
        match &self.settings.actions[reason] {
            Action::Hold(hold) if basis.verdict.can_pass(reason) => Decision::Hold(reason, hold),
            Action::Admit => Decision::Admit,
            Action::Shed(shed) if !shed.sheds(head) => Decision::Admit,
            Action::Refuse | Action::Shed(_) | Action::Hold(_) => Decision::Refuse(reason),
        }
    }

    pub(super) fn is_exempt(&self, head: RequestHead<'_>) -> bool {
        let exempt = self.settings.exempt.as_ref();
        head.is_grpc_health() || exempt.is_some_and(|exempt| exempt(head))
    }

    /// Whether the response to a request that is admitted gets `connection: close`.
    pub(super) fn closes_connection(&self, basis: Basis, head: RequestHead<'_>) -> Close {
        if !self.settings.closes_connections || !basis.announces_close(head) {
            Close::No
        } else if *head.method() == Method::CONNECT {
            Close::UnlessTunnel
        } else {
            Close::Yes
        }
    }

    /// Records a request that is admitted although the admit flag is not set: a reason holds, or
    /// background tasks wait for a runtime. While the process drains, the request is a late
    /// arrival, unless it is exempt.
    pub(super) fn record_admitted(&self, basis: Basis, head: RequestHead<'_>) {
        // A layer of probes alone closes no connections.
        #[cfg(feature = "test-util")]
        if self.id == ScopeId::Process && self.settings.closes_connections {
            self.registry.traffic().hesitated.record();
        }
        // The gate of a named scope is inside of the process's gate, which has
        // recorded the request already. A layer of probes alone records too: without it, a
        // process that has no other layer would end the delay although requests arrive.
        if basis.is_leaving() && self.id == ScopeId::Process && !self.is_exempt(head) {
            self.registry.traffic().arrivals.record();
        }
    }

    pub(super) fn count_held(&self, reason: Reason) {
        let settings = &self.settings;
        settings.counts.count_held(reason, settings.dry_run);
        self.count(GateOutcome::Held, reason);
    }

    fn count(&self, outcome: GateOutcome, reason: Reason) {
        let gates = self.registry.traffic().gates(self.settings.dry_run);
        gates.count(self.id, outcome, reason);
    }

    pub(super) fn count_refused(&self, reason: Reason, head: RequestHead<'_>) {
        let dry_run = self.settings.dry_run;
        self.settings.counts.count_refused(reason, dry_run);
        self.count(
            match self.settings.actions[reason] {
                Action::Shed(_) => GateOutcome::Shed,
                _ => GateOutcome::Refused,
            },
            reason,
        );
        #[cfg(feature = "tracing")]
        self.registry.log_refused(&self.episode, reason);
        log::refused(self.scope_name.as_ref(), reason, head, dry_run);
    }

    /// Refuses a request: counts it and makes the response, which is ready when the
    /// body of the request is read, where the connection depends on it.
    #[inline]
    pub(super) fn refuse<B>(&self, reason: Reason, basis: Basis, request: Request<B>) -> Answer
    where
        B: Body + Send + 'static,
    {
        let answer = self.refusal(reason, basis, RequestHead::from(&request));
        self.read_before(answer, request)
    }

    fn refusal(&self, reason: Reason, basis: Basis, head: RequestHead<'_>) -> Answer {
        let refusal = self.count_refusal(reason, basis, head);
        Answer::now(self.respond(refusal, basis, head))
    }

    pub(super) fn count_refusal(
        &self,
        reason: Reason,
        basis: Basis,
        head: RequestHead<'_>,
    ) -> Refusal {
        self.count_refused(reason, head);
        Refusal {
            reason,
            scope: self.scope_name.clone(),
            retry_after: self.settings.retry_after.pick(),
            version: basis.version,
        }
    }

    pub(super) fn respond(
        &self,
        refusal: Refusal,
        basis: Basis,
        head: RequestHead<'_>,
    ) -> OwnResponse {
        let responder = self.settings.responder.as_ref();
        let mut response = refusal::respond(refusal, head, basis.announces_close(head), responder);
        if self.marks && basis.is_leaving() {
            probe::fail_health_check(response.headers_mut());
        }
        response
    }
}
