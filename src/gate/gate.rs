use super::{
    action::{Action, Hold, Predicate},
    admission::Admission,
    counts::{GateCounts, WaitSlot},
    head::RequestHead,
    log,
    refusal::{self, Refusal, Responder, RetryAfter},
};
use crate::{
    probe::{self, ProbeResponse, Probes},
    registry::{Registry, Scope},
    state::{AdmitFlag, PerReason, Phase, Reason, Reasons, ScopeId, Verdict},
    traffic::{ClassifyOutcome, InFlightGuard, ShardedCounters},
    unread::UnreadBodies,
};
use http::{Method, Request, header::UPGRADE};
use std::sync::Arc;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

/// What a layer was told.
#[derive(Clone)]
pub(super) struct Policy {
    pub(super) actions: PerReason<Action>,
    pub(super) dry_run: bool,
    pub(super) exempt: Option<Predicate>,
    pub(super) retry_after: RetryAfter,
    pub(super) responder: Option<Responder>,
    pub(super) unread: UnreadBodies,
    pub(super) closes_connections: bool,
    pub(super) counts_in_flight: bool,
    pub(super) observes: Option<Observes>,
    pub(super) envoy_headers: bool,
}

/// By whom outcomes are told.
#[derive(Clone)]
pub(super) enum Observes {
    BuiltIn,
    Custom(Arc<dyn ClassifyOutcome>),
}

impl Policy {
    pub(super) fn gating() -> Self {
        let mut policy = Self {
            closes_connections: true,
            ..Self::admitting()
        };
        for reason in [Reason::Closed, Reason::Starting, Reason::Failing] {
            policy.actions[reason] = Action::Refuse;
        }
        policy.actions[Reason::Saturated] = Action::Hold(Hold::while_saturated());
        policy
    }

    pub(super) fn admitting() -> Self {
        Self {
            actions: PerReason::from_fn(|_| Action::Admit),
            dry_run: false,
            exempt: None,
            retry_after: RetryAfter::default(),
            responder: None,
            unread: UnreadBodies::default(),
            closes_connections: false,
            counts_in_flight: false,
            observes: None,
            envoy_headers: false,
        }
    }
}

/// What all services of a layer share.
pub(super) struct Gate {
    pub(super) scope: Scope,
    /// `None` for the process as a whole.
    scope_name: Option<Arc<str>>,
    #[cfg(feature = "tracing")]
    episode: Arc<crate::traffic::Episode>,
    /// The same as `scope` leads to, one step closer.
    registry: Arc<Registry>,
    id: ScopeId,
    open: AdmitFlag,
    pub(super) probes: Option<Probes>,
    pub(super) policy: Policy,
    pub(super) counts: GateCounts,
    /// Whether something is done with requests that are passed on, or with
    /// their responses.
    pub(super) tracks: bool,
    /// Whether responses tell Envoy that the process drains.
    pub(super) marks: bool,
    /// Where those do that were admitted while ready, if that is asked for.
    observed: Option<Arc<ShardedCounters>>,
    /// For each reason to hold, who may be let go at the same time.
    release: PerReason<Option<Arc<Semaphore>>>,
}

/// What becomes of a request.
#[derive(Clone, Copy)]
pub(super) enum Decision<'g> {
    Admit(Admission),
    Refuse(Reason),
    Hold(Reason, &'g Hold),
}

/// What a request was judged by.
#[derive(Clone, Copy)]
pub(super) struct Basis {
    pub(super) verdict: Verdict,
    version: u64,
}

impl Gate {
    pub(super) fn new(
        scope: Scope,
        probes: Option<Probes>,
        policy: Policy,
        counts: GateCounts,
    ) -> Self {
        let release = PerReason::from_fn(|reason| match &policy.actions[reason] {
            Action::Hold(hold) => {
                let permits = hold.release.min(Semaphore::MAX_PERMITS);
                Some(Arc::new(Semaphore::new(permits)))
            }
            _ => None,
        });
        let (registry, id) = (Arc::clone(scope.readiness().registry()), scope.id());
        let observed = policy.observes.as_ref().map(|observes| {
            let classifier = match observes {
                Observes::BuiltIn => None,
                Observes::Custom(classifier) => Some(classifier),
            };
            registry.observe(id, policy.counts_in_flight, classifier)
        });
        registry.background().start();
        let probes = match probes {
            Some(probes) if policy.envoy_headers => Some(probes.envoy_headers()),
            probes => probes,
        };
        let marks = policy.envoy_headers || probes.as_ref().is_some_and(Probes::has_envoy_headers);
        let scope_name = registry.read(|data| data.scope_name(id).cloned());
        Self {
            scope_name,
            #[cfg(feature = "tracing")]
            episode: registry.episode(id, policy.dry_run),
            open: registry.admit_flag(id),
            registry,
            id,
            scope,
            probes,
            counts,
            tracks: policy.counts_in_flight || observed.is_some() || marks,
            marks,
            observed,
            policy,
            release,
        }
    }

    pub(super) fn action(&self, reason: Reason) -> &Action {
        &self.policy.actions[reason]
    }

    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.open.is_set()
    }

    /// Whether a request for `path` is to be passed on without a thought: it is
    /// not for a probe, and nothing is wrong.
    ///
    /// Not generic and not inlined, so that what remains of the admit path in
    /// the user's crate is small enough to be.
    pub(super) fn is_fast_path(&self, path: &str) -> bool {
        let may_be_probe = |probes: &Probes| probes.may_answer(path);
        self.is_open() && !self.probes.as_ref().is_some_and(may_be_probe)
    }

    /// Counts a request as in flight, and observes what becomes of
    /// it if it was admitted while ready, as far as that is asked for. What is
    /// neither counted nor observed enters only to know of the drain.
    #[inline]
    pub(super) fn enter(&self, head: RequestHead<'_>, ready: bool) -> Option<InFlightGuard> {
        let uncounted = || self.registry.traffic().uncounted.enter();
        // A watch of gRPC's health service lasts as long as its client.
        if head.is_grpc_health() {
            return self.marks.then(uncounted);
        }
        match &self.observed {
            Some(observed) if ready => Some(observed.enter()),
            _ if self.policy.counts_in_flight => {
                let flights = &self.registry.traffic().flights;
                Some(if ready {
                    flights.enter()
                } else {
                    flights.enter_recorded()
                })
            }
            _ => self.marks.then(uncounted),
        }
    }

    /// Gives a request whose connection may be upgraded what keeps that in
    /// flight, for Tower does not see what becomes of it.
    #[inline]
    pub(super) fn keep_upgrade_in_flight<B>(
        &self,
        request: &mut Request<B>,
        in_flight: Option<&InFlightGuard>,
    ) {
        let counts = |_: &&InFlightGuard| self.policy.counts_in_flight;
        let Some(in_flight) = in_flight.filter(counts) else {
            return;
        };
        if request.headers().contains_key(UPGRADE) || request.method() == Method::CONNECT {
            request.extensions_mut().insert(in_flight.clone());
        }
    }

    /// A request is admitted that is not exempt, although there are reasons to
    /// hesitate.
    pub(super) fn admitted(&self, basis: Basis) {
        // The gate of a named scope stands inside of another.
        if basis.verdict.phase() >= Phase::Draining && self.id == ScopeId::Process {
            self.registry.traffic().drain_clock.arrived();
        }
    }

    /// Takes one of the places to wait in, if one is free.
    pub(super) fn wait(&self, reason: Reason, hold: &Hold) -> Option<WaitSlot> {
        let waiting = self.registry.traffic().waiting.enter_recorded();
        self.counts.wait(reason, hold.max_waiting, waiting)
    }

    /// Starts what could not start where there was no runtime.
    pub(super) fn start_jobs(&self) {
        self.registry.background().start();
    }

    /// What a request would be judged by now.
    pub(super) fn basis(&self) -> Basis {
        self.registry.publish_overdue();
        self.registry.read(|data| Basis {
            verdict: data.verdict(self.id),
            version: data.version,
        })
    }

    pub(super) fn admission(&self, basis: Basis, head: RequestHead<'_>) -> Admission {
        Admission {
            close: self.policy.closes_connections
                && basis.verdict.phase() >= Phase::Draining
                && head.is_http1(),
            marks: self.marks,
        }
    }

    /// What becomes of a request. In a dry run it is admitted, whatever was
    /// decided.
    ///
    /// The reasons `passed`, in spite of which it was admitted before, are not
    /// asked again.
    pub(super) fn decide(
        &self,
        basis: Basis,
        passed: Reasons,
        head: RequestHead<'_>,
    ) -> Decision<'_> {
        let admitted = Decision::Admit(self.admission(basis, head));
        let reasons = basis.verdict.reasons().without(passed);
        if reasons.is_empty() || self.is_exempt(head) {
            return admitted;
        }
        let mut decision = admitted;
        for reason in reasons.iter() {
            match self.act(reason, basis, head) {
                // Nothing is held that is going to be refused.
                Some(refused @ Decision::Refuse(_)) => {
                    decision = refused;
                    break;
                }
                Some(held) if matches!(decision, Decision::Admit(_)) => decision = held,
                _ => {}
            }
        }
        if self.policy.dry_run {
            self.count_dry(decision, head);
            return admitted;
        }
        decision
    }

    /// What one reason makes of a request, or `None` if nothing.
    fn act(&self, reason: Reason, basis: Basis, head: RequestHead<'_>) -> Option<Decision<'_>> {
        match self.action(reason) {
            Action::Admit => None,
            Action::Refuse => Some(Decision::Refuse(reason)),
            Action::Shed(shed) => shed.sheds(head).then_some(Decision::Refuse(reason)),
            Action::Hold(hold) if basis.verdict.can_pass(reason) && has_runtime() => {
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

    fn count_dry(&self, decision: Decision<'_>, head: RequestHead<'_>) {
        match decision {
            Decision::Admit(_) => {}
            Decision::Refuse(reason) => self.count_refused(reason, head),
            Decision::Hold(reason, _) => self.count_held(reason),
        }
    }

    pub(super) fn count_held(&self, reason: Reason) {
        self.counts.count_held(reason, self.policy.dry_run);
    }

    pub(super) fn count_refused(&self, reason: Reason, head: RequestHead<'_>) {
        self.counts.count_refused(reason, self.policy.dry_run);
        let traffic = self.registry.traffic();
        let refused = if self.policy.dry_run {
            &traffic.dry_run_refused
        } else {
            &traffic.refused
        };
        refused.count(self.id, reason);
        #[cfg(feature = "tracing")]
        self.registry.log_refused(&self.episode, reason);
        log::refused(self.scope_name.as_ref(), reason, head, self.policy.dry_run);
    }

    /// Refuses a request: counts it and makes the response.
    pub(super) fn refuse(
        &self,
        reason: Reason,
        basis: Basis,
        head: RequestHead<'_>,
    ) -> ProbeResponse {
        self.count_refused(reason, head);
        let refusal = Refusal {
            reason,
            scope: self.scope_name.clone(),
            retry_after: self.policy.retry_after.pick(),
            version: basis.version,
        };
        let leaving = basis.verdict.phase() >= Phase::Draining;
        let responder = self.policy.responder.as_ref();
        let mut response = refusal::respond(refusal, head, leaving, responder);
        if self.marks && leaving {
            probe::fail_health_check(response.headers_mut());
        }
        response
    }

    /// Waits until the verdict is another than `seen`.
    pub(super) async fn changed(self: Arc<Self>, seen: Verdict) {
        let is_another = |verdict| (verdict != seen).then_some(());
        let changed = self
            .registry
            .wait_for(|data| is_another(data.verdict(self.id)));
        if changed.await.is_err() {
            // The registry has ended, so no verdict follows.
            std::future::pending::<()>().await;
        }
    }

    /// Waits for a turn among those let go after a hold for `reason`. `None` if
    /// there was none until `deadline`.
    pub(super) async fn turn(
        self: Arc<Self>,
        reason: Reason,
        deadline: Instant,
    ) -> Option<OwnedSemaphorePermit> {
        let release = self.release[reason].clone()?;
        let turn = tokio::time::timeout_at(deadline, release.acquire_owned());
        turn.await.ok()?.ok()
    }
}

/// Whether there is a tokio runtime, and so a clock to wait by. (That its
/// timers are enabled cannot be asked.)
pub(super) fn has_runtime() -> bool {
    tokio::runtime::Handle::try_current().is_ok()
}
