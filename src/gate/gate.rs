use super::{
    action::{Action, Hold, Predicate},
    admission::Admission,
    counts::{GateCounts, WaitSlot},
    head::RequestHead,
    log,
    refusal::{self, Refusal, Responder, RetryAfter},
};
use crate::{
    probe::{self, Probes},
    registry::{Registry, Scope},
    response::OwnResponse,
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

/// The settings of a layer.
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
    pub(super) observes: Option<OutcomeClassifier>,
    pub(super) envoy_headers: bool,
}

/// The classifier of the outcomes that a layer observes.
#[derive(Clone)]
pub(super) enum OutcomeClassifier {
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

/// The state that all services of a layer share.
pub(super) struct Gate {
    pub(super) scope: Scope,
    /// `None` for the process as a whole.
    scope_name: Option<Arc<str>>,
    #[cfg(feature = "tracing")]
    episode: Arc<crate::traffic::Episode>,
    /// The registry of `scope`, to save the request path one pointer.
    registry: Arc<Registry>,
    id: ScopeId,
    open: AdmitFlag,
    pub(super) probes: Option<Probes>,
    pub(super) policy: Policy,
    pub(super) counts: GateCounts,
    /// Whether admitted requests need an [`InFlightGuard`]: to count in flight, to
    /// observe their outcomes, or to mark their responses.
    pub(super) tracks: bool,
    /// Whether responses get Envoy's header while the process drains.
    pub(super) marks: bool,
    /// The counters of requests that are admitted while ready, if the layer
    /// observes outcomes.
    observed: Option<Arc<ShardedCounters>>,
    /// For each reason to hold, the permits of requests that are released at the
    /// same time.
    release: PerReason<Option<Arc<Semaphore>>>,
}

/// The decision on a request.
#[derive(Clone, Copy)]
pub(super) enum Decision<'g> {
    Admit(Admission),
    Refuse(Reason),
    Hold(Reason, &'g Hold),
}

/// The state of the registry that a decision is based on.
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
                OutcomeClassifier::BuiltIn => None,
                OutcomeClassifier::Custom(classifier) => Some(classifier),
            };
            registry.observe(id, policy.counts_in_flight, classifier)
        });
        registry.background().start();
        let probes = match probes {
            Some(probes) if policy.envoy_headers => Some(probes.with_envoy_headers()),
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

    /// Whether the layer passes a request for `path` on at once: the path is not a
    /// probe's, and no reason holds.
    ///
    /// Not generic and not inlined, so that the rest of the admit path is small
    /// enough to be inlined in the user's crate.
    pub(super) fn is_fast_path(&self, path: &str) -> bool {
        let may_be_probe = |probes: &Probes| probes.may_answer(path);
        self.is_open() && !self.probes.as_ref().is_some_and(may_be_probe)
    }

    /// Returns the guard of an admitted request: it observes the outcome if the
    /// request was admitted while ready, and counts the request as in flight, as
    /// far as the layer does either. A guard that does neither only shows whether
    /// the process drains.
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

    /// Puts a clone of its guard into the extensions of a request whose connection
    /// may be upgraded. The handler keeps it, because Tower does not see the
    /// upgraded connection.
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

    /// Records a request that is admitted although reasons hold, and that is not
    /// exempt: while the process drains it is a late arrival.
    pub(super) fn record_admitted(&self, basis: Basis) {
        // The gate of a named scope is inside of the process's gate, which has
        // recorded the request already.
        if basis.verdict.phase() >= Phase::Draining && self.id == ScopeId::Process {
            self.registry.traffic().drain_clock.arrived();
        }
    }

    /// Takes a wait slot, or returns `None` if all are taken.
    pub(super) fn take_slot(&self, reason: Reason, hold: &Hold) -> Option<WaitSlot> {
        let waiting = self.registry.traffic().waiting.enter_recorded();
        self.counts.take_slot(reason, hold.max_waiting, waiting)
    }

    /// Starts the background tasks of the registry, which do not run yet if the
    /// layer was made outside of a runtime.
    pub(super) fn start_background(&self) {
        self.registry.background().start();
    }

    /// The current state of the registry.
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

    /// Decides on a request. In a dry run, counts the decision and admits the
    /// request.
    ///
    /// `passed` are the reasons in spite of which the request was admitted before;
    /// they are not considered again.
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
            match self.decide_for(reason, basis, head) {
                // A refusal for any reason outweighs a hold.
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

    /// The decision for one reason, or `None` if its action admits the request.
    fn decide_for(
        &self,
        reason: Reason,
        basis: Basis,
        head: RequestHead<'_>,
    ) -> Option<Decision<'_>> {
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
    ) -> OwnResponse {
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

    /// Waits until the verdict differs from `seen`.
    pub(super) async fn verdict_changed(self: Arc<Self>, seen: Verdict) {
        let differs = |verdict| (verdict != seen).then_some(());
        let changed = self
            .registry
            .wait_for(|data| differs(data.verdict(self.id)));
        if changed.await.is_err() {
            // The registry has closed, so the verdict is final.
            std::future::pending::<()>().await;
        }
    }

    /// Waits for a permit to be released after a hold for `reason`. Returns `None`
    /// if none was free until `deadline`.
    pub(super) async fn acquire_release(
        self: Arc<Self>,
        reason: Reason,
        deadline: Instant,
    ) -> Option<OwnedSemaphorePermit> {
        let release = self.release[reason].clone()?;
        let permit = tokio::time::timeout_at(deadline, release.acquire_owned());
        permit.await.ok()?.ok()
    }
}

/// Whether the caller is in a tokio runtime, and so can wait for a timer. (tokio
/// has no function to ask whether its timers are enabled.)
pub(super) fn has_runtime() -> bool {
    tokio::runtime::Handle::try_current().is_ok()
}
