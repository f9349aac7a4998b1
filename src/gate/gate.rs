use super::{
    action::Action,
    counts::{GateCounts, WaitSlot},
    head::RequestHead,
    hold::Hold,
    refusal::{Responder, RetryAfter},
    shed::Predicate,
};
use crate::{
    probe::Probes,
    registry::{Registry, Scope},
    response::Answer,
    state::{AdmitFlag, PerReason, Reason, ScopeId, Verdict},
    sync::{OwnedSemaphorePermit, Semaphore},
    traffic::{ClassifyOutcome, InFlightGuard, ShardedCounters},
    unread::UnreadBodies,
};
use http::{Method, Request, header::UPGRADE};
use http_body::Body;
use std::sync::Arc;
use tokio::time::Instant;

/// The settings of a layer, and what the gates of layers derived from it share.
#[derive(Clone)]
pub(super) struct GateSettings {
    pub(super) scope: Scope,
    pub(super) probes: Option<Probes>,
    pub(super) counts: GateCounts,
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

impl GateSettings {
    pub(super) fn gating(scope: Scope) -> Self {
        Self {
            actions: PerReason::from_fn(|reason| match reason {
                Reason::Closed | Reason::Starting | Reason::Failing => Action::Refuse,
                Reason::Closing | Reason::Draining | Reason::Paused => Action::Admit,
                Reason::Saturated => Action::Hold(Hold::while_saturated()),
            }),
            closes_connections: true,
            ..Self::admitting(scope)
        }
    }

    pub(super) fn admitting(scope: Scope) -> Self {
        Self {
            scope,
            probes: None,
            counts: GateCounts::default(),
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
    pub(super) settings: GateSettings,
    /// `None` for the process as a whole.
    pub(super) scope_name: Option<Arc<str>>,
    #[cfg(feature = "tracing")]
    pub(super) episode: Arc<crate::traffic::RefusalEpisode>,
    /// The registry of the scope, to save the request path one pointer.
    pub(super) registry: Arc<Registry>,
    pub(super) id: ScopeId,
    open: AdmitFlag,
    /// Whether admitted requests need an [`InFlightGuard`]: to count in flight, to
    /// observe their outcomes, or to mark their responses.
    pub(super) tracks: bool,
    /// Whether responses get Envoy's header while the process drains.
    pub(super) marks: bool,
    observed: Option<Arc<ShardedCounters>>,
    /// For each hold, the permits of the requests that are released at a time.
    release: PerReason<Option<Arc<Semaphore>>>,
}

impl Gate {
    pub(super) fn new(mut settings: GateSettings) -> Self {
        let release = PerReason::from_fn(|reason| match &settings.actions[reason] {
            Action::Hold(hold) => {
                let permits = hold.release.min(Semaphore::MAX_PERMITS);
                Some(Arc::new(Semaphore::new(permits)))
            }
            _ => None,
        });
        let registry = Arc::clone(settings.scope.readiness().registry());
        let id = settings.scope.id();
        let observed = settings.observes.as_ref().map(|observes| {
            let classifier = match observes {
                OutcomeClassifier::BuiltIn => None,
                OutcomeClassifier::Custom(classifier) => Some(classifier),
            };
            registry.observe(id, settings.counts_in_flight, classifier)
        });
        registry.background().start();
        if settings.envoy_headers {
            settings.probes = settings.probes.map(Probes::with_envoy_headers);
        }
        let marks = settings.envoy_headers
            || settings
                .probes
                .as_ref()
                .is_some_and(Probes::has_envoy_headers);
        Self {
            scope_name: registry.read(|data| data.scope_name(id).cloned()),
            #[cfg(feature = "tracing")]
            episode: registry.episode(id, settings.dry_run),
            open: registry.admit_flag(id),
            registry,
            id,
            tracks: settings.counts_in_flight || observed.is_some() || marks,
            marks,
            observed,
            release,
            settings,
        }
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
        self.is_open() && !self.settings.probes.as_ref().is_some_and(may_be_probe)
    }

    /// Answers a probe, or returns `None` if the path of the request is not a
    /// probe's.
    pub(super) fn answer_probe<B>(&self, request: &Request<B>) -> Option<Answer> {
        self.settings.probes.as_ref()?.answer(request)
    }

    /// Delays `answer` until the body of its request is read, where the connection
    /// depends on it.
    #[inline]
    pub(super) fn read_before<B>(&self, answer: Answer, request: Request<B>) -> Answer
    where
        B: Body + Send + 'static,
    {
        self.settings.unread.read_before(answer, request)
    }

    /// Returns the guard of an admitted request: it observes the outcome if the
    /// request was admitted while ready, and counts the request as in flight, as
    /// far as the layer does either. A guard that does neither only shows whether
    /// the process drains.
    #[inline]
    pub(super) fn enter(&self, head: RequestHead<'_>, ready: bool) -> Option<InFlightGuard> {
        let traffic = self.registry.traffic();
        // A watch of gRPC's health service lasts as long as its client.
        let counts = !head.is_grpc_health();
        match &self.observed {
            Some(observed) if ready && counts => Some(observed.enter()),
            _ if self.settings.counts_in_flight && counts => Some(if ready {
                traffic.flights.enter()
            } else {
                traffic.flights.enter_recorded()
            }),
            _ => self.marks.then(|| traffic.uncounted.enter()),
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
        let counts = |_: &&InFlightGuard| self.settings.counts_in_flight;
        let Some(in_flight) = in_flight.filter(counts) else {
            return;
        };
        if request.headers().contains_key(UPGRADE) || request.method() == Method::CONNECT {
            request.extensions_mut().insert(in_flight.clone());
        }
    }

    /// Takes a wait slot, or returns `None` if all are taken.
    pub(super) fn take_slot(&self, reason: Reason, hold: &Hold) -> Option<WaitSlot> {
        let waiting = self.registry.traffic().waiting.enter_recorded();
        let counts = &self.settings.counts;
        counts.take_slot(reason, hold.max_waiting, waiting, self.registry.meters())
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

/// The registry frees the classifier, which may hold a handle of the registry.
impl Drop for Gate {
    fn drop(&mut self) {
        let Some(OutcomeClassifier::Custom(classifier)) = &self.settings.observes else {
            return;
        };
        if let Some(observed) = self.observed.take() {
            let outcomes = &self.registry.traffic().outcomes;
            outcomes.release(
                self.id,
                self.settings.counts_in_flight,
                classifier,
                observed,
            );
        }
    }
}
