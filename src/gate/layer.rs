use super::{
    action::Action,
    counts::GateCounts,
    gate::{Gate, Observes, Policy},
    head::RequestHead,
    refusal::{Refusal, RetryAfter},
    service::ReadinessService,
};
use crate::{
    probe::Probes,
    registry::{Readiness, Scope},
    state::Reason,
    traffic::ClassifyOutcome,
    unread::UnreadBody,
};
use bytes::Bytes;
use http::Response;
use std::{fmt, sync::Arc};
use tower_layer::Layer;

/// Answers probes and gates traffic by readiness; see the
/// [module documentation](crate::gate).
///
/// Cheap to clone. All services made by a layer share its room for waiting
/// requests and its [counts](Self::counts), however often a router applies it;
/// so do those of its clones, and of layers that are derived from it by
/// changing an action.
#[must_use = "a layer does nothing until it is applied"]
#[derive(Clone)]
pub struct ReadinessLayer {
    gate: Arc<Gate>,
}

impl ReadinessLayer {
    /// Answers the probes and gates traffic by the readiness of the process.
    pub fn new(readiness: &Readiness) -> Self {
        Self::build(readiness.into(), Some(readiness.into()), Policy::gating())
    }

    /// Gates traffic by the readiness of a scope and answers no probes: for a
    /// route or a nested router that needs what the rest can do without.
    pub fn gate(scope: impl Into<Scope>) -> Self {
        Self::build(scope.into(), None, Policy::gating())
    }

    /// Answers probes and lets all traffic through.
    pub fn probes(readiness: &Readiness) -> Self {
        Self::build(
            readiness.into(),
            Some(readiness.into()),
            Policy::admitting(),
        )
    }

    /// Answers these probes, in place of those that it answered.
    pub fn with_probes(self, probes: impl Into<Probes>) -> Self {
        let gate = &self.gate;
        let (scope, policy) = (gate.scope.clone(), gate.policy.clone());
        let counts = gate.counts.clone();
        Self {
            gate: Arc::new(Gate::new(scope, Some(probes.into()), policy, counts)),
        }
    }

    // === actions ===

    /// What becomes of a request while the scope is
    /// [starting](crate::Condition::Starting). By default it is refused.
    pub fn starting(self, action: Action) -> Self {
        self.action(Reason::Starting, action)
    }

    /// What becomes of a request while the scope is
    /// [failing](crate::Condition::Failing). By default it is refused, because
    /// the process said that *it* cannot serve.
    pub fn failing(self, action: Action) -> Self {
        self.action(Reason::Failing, action)
    }

    /// What becomes of a request while the process is
    /// [paused](Readiness::pause). By default it is admitted.
    pub fn paused(self, action: Action) -> Self {
        self.action(Reason::Paused, action)
    }

    /// What becomes of a request while the process is
    /// [draining](crate::Phase::Draining). By default it is admitted, because
    /// load balancers learn late that the process will stop.
    ///
    /// From draining on, HTTP/1 clients are asked by `connection: close` to
    /// open another connection, in the response to every request that is
    /// admitted from then on. Responses on their way already are left alone,
    /// as are upgrades, HTTP/2, and a `connection` header that is there.
    pub fn draining(self, action: Action) -> Self {
        self.action(Reason::Draining, action)
    }

    /// What becomes of a request while the server is
    /// [closing](crate::Phase::Closing). By default it is admitted.
    pub fn closing(self, action: Action) -> Self {
        self.action(Reason::Closing, action)
    }

    /// What becomes of a request once the process is
    /// [closed](crate::Phase::Closed). By default it is refused.
    pub fn closed(self, action: Action) -> Self {
        self.action(Reason::Closed, action)
    }

    /// What becomes of an admitted request while the inner service has no
    /// room for it (its `poll_ready` is pending). By default it waits for up
    /// to 5 seconds, together with at most 1,024 others, and is refused then.
    ///
    /// [`Action::Admit`] waits without bounds, as without this layer.
    pub fn when_saturated(self, action: Action) -> Self {
        self.action(Reason::Saturated, action)
    }

    // === the rest ===

    /// Refuses and holds nothing, but counts what it would have
    /// ([`Readiness::dry_run_refused`], [`GateCounts::dry_run_refused`]), and logs
    /// it as a refusal (at debug level, with `dry_run`).
    pub fn dry_run(self) -> Self {
        self.policy(|policy| policy.dry_run = true)
    }

    /// Counts the requests that it admits as [in flight](Readiness::in_flight),
    /// until the body of the response has ended. Do it in one layer of the
    /// process, the outermost; a request counts once for each.
    ///
    /// Every request that the end of the process is to wait for has to pass through
    /// such a layer, or to be [tracked](Readiness::track). A route outside of it, or
    /// a second server without one, is taken to have nothing in flight.
    ///
    /// [`Readiness::run`] and [`Readiness::drained`] then know when nothing is
    /// left to wait for, so that a connection which does nothing does not hold
    /// up the end of the process, and probes tell how much there still is. A
    /// request for an upgrade (one with an `upgrade` header, or CONNECT) carries an
    /// [`InFlightGuard`](crate::drain::InFlightGuard) in its extensions, for the
    /// connection to stay in flight once it is no request any more.
    ///
    /// It allocates nothing but for such upgrades, and threads do not wait for
    /// each other.
    pub fn count_in_flight(self) -> Self {
        let flights = &self.gate.scope.readiness().registry().traffic().flights;
        flights.begin();
        self.policy(|policy| policy.counts_in_flight = true)
    }

    /// Observes how many of the requests that it admits while its scope is
    /// ready fail nevertheless, for [`Readiness::drift`] and [`Scope::drift`].
    /// Do it in one layer of each scope; a request counts once for each.
    ///
    /// What has failed, and what does not count, is said
    /// [there](crate::gate#readiness-drift). It allocates nothing, and threads
    /// do not wait for each other.
    pub fn observe_outcomes(self) -> Self {
        self.policy(|policy| policy.observes = Some(Observes::BuiltIn))
    }

    /// Does the same, where `classifier` tells which responses are failures: a
    /// function, a [`ClassifyOutcome`], or one of tower-http's.
    ///
    /// Make the layer once and clone it. One that is made anew, as for each
    /// connection, takes counters of its own, which go once it and its requests
    /// are gone; what they counted stays.
    pub fn observe_outcomes_with(self, classifier: impl ClassifyOutcome) -> Self {
        let classifier = Arc::new(classifier);
        self.policy(|policy| policy.observes = Some(Observes::Custom(classifier)))
    }

    /// Always admits the requests that `exempt` picks. It is asked on the
    /// request path, and only while there is a reason to hesitate.
    ///
    /// gRPC's own health service is exempt without being asked for: `POST` with a
    /// gRPC content type to `/grpc.health.v1.Health/Check`, `/Watch` or `/List`.
    pub fn exempt(self, exempt: impl Fn(RequestHead<'_>) -> bool + Send + Sync + 'static) -> Self {
        self.policy(|policy| policy.exempt = Some(Arc::new(exempt)))
    }

    /// When refused clients are asked to come back.
    pub fn retry_after(self, retry_after: RetryAfter) -> Self {
        self.policy(|policy| policy.retry_after = retry_after)
    }

    /// Adds `x-envoy-immediate-health-check-fail` to every response once the
    /// process drains: to those of the application, to refusals and to probes.
    /// An Envoy that checks health actively takes the host out at the next
    /// response, whatever was asked for, rather than at its next check; its own
    /// health check filter does the same. Envoy's other header is for
    /// [probes](Probes::envoy_headers), which this asks as well.
    pub fn envoy_headers(self) -> Self {
        self.policy(|policy| policy.envoy_headers = true)
    }

    /// Lets `responder` change or replace the response of a refusal, which it
    /// is given together with the reason and the request.
    ///
    /// ```
    /// # use tower_readiness::{Readiness, ReadinessLayer, Subsystem};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let readiness = Readiness::builder().subsystem(Subsystem::new("storage")).build()?;
    /// use http::header::CONTENT_TYPE;
    ///
    /// let layer = ReadinessLayer::new(&readiness).respond_with(|refusal, _request, mut response| {
    ///     *response.body_mut() = format!(r#"{{"error":"{}"}}"#, refusal.reason()).into();
    ///     let json = http::HeaderValue::from_static("application/json");
    ///     response.headers_mut().insert(CONTENT_TYPE, json);
    ///     response
    /// });
    /// # Ok(())
    /// # }
    /// ```
    pub fn respond_with(
        self,
        responder: impl Fn(&Refusal, RequestHead<'_>, Response<Bytes>) -> Response<Bytes>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.policy(|policy| policy.responder = Some(Arc::new(responder)))
    }

    /// How far the body of an HTTP/1 request is read that is refused, or that
    /// asks for a probe.
    pub fn unread_body(self, bounds: UnreadBody) -> Self {
        self.policy(|policy| policy.unread.bounds = bounds)
    }

    /// What the gates of this layer have refused and held so far.
    pub fn counts(&self) -> GateCounts {
        self.gate.counts.clone()
    }

    fn action(self, reason: Reason, action: Action) -> Self {
        self.policy(|policy| policy.actions[reason] = action)
    }

    fn policy(self, change: impl FnOnce(&mut Policy)) -> Self {
        let Gate {
            scope,
            probes,
            policy,
            counts,
            ..
        } = &*self.gate;
        let mut policy = policy.clone();
        change(&mut policy);
        let gate = Gate::new(scope.clone(), probes.clone(), policy, counts.clone());
        Self {
            gate: Arc::new(gate),
        }
    }

    fn build(scope: Scope, probes: Option<Probes>, policy: Policy) -> Self {
        Self {
            gate: Arc::new(Gate::new(scope, probes, policy, GateCounts::default())),
        }
    }
}

impl<S> Layer<S> for ReadinessLayer {
    type Service = ReadinessService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ReadinessService::new(inner, Arc::clone(&self.gate))
    }
}

impl fmt::Debug for ReadinessLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadinessLayer")
            .field("scope", &self.gate.scope)
            .field("probes", &self.gate.probes)
            .field("dry_run", &self.gate.policy.dry_run)
            .finish_non_exhaustive()
    }
}
