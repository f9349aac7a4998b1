use super::{
    action::Action,
    counts::GateCounts,
    gate::{Gate, GateSettings, OutcomeClassifier},
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
use std::sync::Arc;
use tower_layer::Layer;

/// Answers probes and gates traffic by readiness; see the
/// [module documentation](crate::gate).
///
/// Cheap to clone. All services made by a layer share its wait slots and its
/// [counts](Self::counts), however often a router applies it. The services of its
/// clones, and of layers that a setter derives from it, share them too.
#[must_use = "a layer does nothing until it is applied"]
#[derive(Clone)]
pub struct ReadinessLayer {
    gate: Arc<Gate>,
}

impl ReadinessLayer {
    /// Answers the probes and gates traffic by the readiness of the process.
    pub fn new(readiness: &Readiness) -> Self {
        Self::gate(readiness).with_probes(readiness)
    }

    /// Gates traffic by the readiness of a scope and answers no probes: for a
    /// route or a nested router that depends on subsystems which other routes do
    /// not need.
    pub fn gate(scope: impl Into<Scope>) -> Self {
        Self::build(GateSettings::gating(scope.into()))
    }

    /// Answers probes and lets all traffic through.
    pub fn probes(readiness: &Readiness) -> Self {
        Self::build(GateSettings::admitting(readiness.into())).with_probes(readiness)
    }

    /// Replaces the probes that the layer answers.
    pub fn with_probes(self, probes: impl Into<Probes>) -> Self {
        self.set(|settings| settings.probes = Some(probes.into()))
    }

    // === actions ===

    /// Sets the action for requests while the scope is
    /// [starting](crate::Condition::Starting). The default refuses.
    pub fn when_starting(self, action: Action) -> Self {
        self.action(Reason::Starting, action)
    }

    /// Sets the action for requests while the scope is
    /// [failing](crate::Condition::Failing). The default refuses, because the
    /// process reported that *it* cannot serve.
    pub fn when_failing(self, action: Action) -> Self {
        self.action(Reason::Failing, action)
    }

    /// Sets the action for requests while the process is
    /// [paused](Readiness::pause). The default admits.
    pub fn when_paused(self, action: Action) -> Self {
        self.action(Reason::Paused, action)
    }

    /// Sets the action for requests while the process is
    /// [draining](crate::Phase::Draining). The default admits, because load
    /// balancers learn late that the process will stop.
    ///
    /// The responses to HTTP/1 requests that are admitted from draining on carry
    /// `connection: close`, so that clients open another connection. The layer
    /// leaves alone responses to earlier requests, responses that begin an upgrade or a
    /// tunnel, HTTP/2, and a `connection` header of the application.
    pub fn when_draining(self, action: Action) -> Self {
        self.action(Reason::Draining, action)
    }

    /// Sets the action for requests while the server is
    /// [closing](crate::Phase::Closing). The default admits.
    pub fn when_closing(self, action: Action) -> Self {
        self.action(Reason::Closing, action)
    }

    /// Sets the action for requests once the process is
    /// [closed](crate::Phase::Closed). The default refuses.
    pub fn when_closed(self, action: Action) -> Self {
        self.action(Reason::Closed, action)
    }

    /// Sets the action for admitted requests while the inner service has no room
    /// (its `poll_ready` is pending). By default at most 1,024 requests wait, each
    /// for up to 5 seconds, and are refused then.
    ///
    /// [`Action::Admit`] waits without bounds, as without this layer.
    pub fn when_saturated(self, action: Action) -> Self {
        self.action(Reason::Saturated, action)
    }

    // === other settings ===

    /// Admits every request, but counts each that it would have refused or held
    /// ([`Readiness::dry_run_refused`], [`GateCounts::dry_run_refused`]), and logs
    /// it as a refusal (at debug level, with `dry_run`). A request that would have been
    /// refused counts once, whatever changes while it waits for room in the inner service.
    pub fn dry_run(self) -> Self {
        self.set(|settings| settings.dry_run = true)
    }

    /// Counts the requests that it admits as [in flight](Readiness::in_flight),
    /// until the body of the response has ended. Do it in one layer of the
    /// process, the outermost; a request counts once for each such layer.
    ///
    /// The end of the process waits only for requests that pass through such a
    /// layer or are [tracked](Readiness::track). A route outside of it, or a second
    /// server without such a layer, counts as having nothing in flight.
    ///
    /// [`Readiness::run`] and [`Readiness::drained`] complete once the count is
    /// zero, so that an idle connection does not hold up the end of the process,
    /// and probes show the count. A request for an upgrade (with an `upgrade`
    /// header, or CONNECT) carries an
    /// [`InFlightGuard`](crate::drain::InFlightGuard) in its extensions, with
    /// which the handler keeps the upgraded connection in flight.
    ///
    /// Counting allocates only for such upgrades and for pieces of a body of 64 KiB or
    /// more, and threads do not wait for each other.
    pub fn count_in_flight(self) -> Self {
        let flights = &self.gate.registry.traffic().flights;
        flights.begin();
        self.set(|settings| settings.counts_in_flight = true)
    }

    /// Counts how many of the requests that it admits while its scope is
    /// ready fail nevertheless, for [`Readiness::drift`] and [`Scope::drift`].
    /// Do it in one layer of each scope; a request counts once for each such layer.
    ///
    /// [Readiness drift](crate::gate#readiness-drift) lists which outcomes count,
    /// and as what. Observing allocates only for pieces of a body of 64 KiB or more, and
    /// threads do not wait for each other.
    pub fn observe_outcomes(self) -> Self {
        self.set(|settings| settings.observes = Some(OutcomeClassifier::BuiltIn))
    }

    /// Observes outcomes like [`observe_outcomes`](Self::observe_outcomes), where
    /// `classifier` decides which responses are failures: a function, a
    /// [`ClassifyOutcome`], or a classifier of tower-http's.
    ///
    /// Make the layer once and clone it. Each call allocates counters, which are
    /// freed with the classifier once the layer and its requests are dropped; the
    /// registry keeps their totals. If a request is dropped last, they are freed at the
    /// next sample, within five seconds, or by [`drift`](Readiness::drift). A
    /// `Readiness` in the classifier keeps the registry open until then.
    pub fn observe_outcomes_with(self, classifier: impl ClassifyOutcome) -> Self {
        let classifier = Arc::new(classifier);
        self.set(|settings| settings.observes = Some(OutcomeClassifier::Custom(classifier)))
    }

    /// Always admits the requests for which `exempt` returns `true`. The layer
    /// calls it on the request path, and only while there is a reason to hesitate.
    ///
    /// gRPC's own health service is always exempt: `POST` with a gRPC content type
    /// to `/grpc.health.v1.Health/Check`, `/Watch` or `/List`.
    pub fn exempt(self, exempt: impl Fn(RequestHead<'_>) -> bool + Send + Sync + 'static) -> Self {
        self.set(|settings| settings.exempt = Some(Arc::new(exempt)))
    }

    /// Sets the delay after which refused clients should retry.
    pub fn retry_after(self, retry_after: RetryAfter) -> Self {
        self.set(|settings| settings.retry_after = retry_after)
    }

    /// Adds `x-envoy-immediate-health-check-fail` to every response once the
    /// process drains: to those of the application, to refusals and to probes.
    /// An Envoy that checks health actively takes the host out at the next
    /// response to any request, rather than at its next check; its own health check
    /// filter does the same. Envoy's other header is for
    /// [probes](crate::probe::ProbesBuilder::envoy_headers), and this method sets it as well.
    pub fn envoy_headers(self) -> Self {
        self.set(|settings| settings.envoy_headers = true)
    }

    /// Lets `responder` change or replace the response of a refusal. It gets the
    /// refusal, the head of the request, and the default response.
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
        self.set(|settings| settings.responder = Some(Arc::new(responder)))
    }

    /// Sets how far the layer reads the body of a request that it refuses,
    /// or that asks for a probe.
    pub fn unread_body(self, bounds: UnreadBody) -> Self {
        self.set(|settings| settings.unread.bounds = bounds)
    }

    /// Returns the numbers of requests that the gates of this layer have refused and
    /// held.
    pub fn counts(&self) -> GateCounts {
        self.gate.settings.counts.clone()
    }

    pub(super) fn shared(&self) -> &Arc<Gate> {
        &self.gate
    }

    fn action(self, reason: Reason, action: Action) -> Self {
        self.set(|settings| settings.actions[reason] = action)
    }

    fn set(self, change: impl FnOnce(&mut GateSettings)) -> Self {
        let mut settings = self.gate.settings.clone();
        change(&mut settings);
        Self::build(settings)
    }

    fn build(settings: GateSettings) -> Self {
        Self {
            gate: Arc::new(Gate::new(settings)),
        }
    }
}

impl<S> Layer<S> for ReadinessLayer {
    type Service = ReadinessService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ReadinessService::new(inner, Arc::clone(&self.gate))
    }
}

crate::debug::fields!(ReadinessLayer, |this| {
    scope: this.gate.settings.scope,
    probes: this.gate.settings.probes,
    dry_run: this.gate.settings.dry_run,
});

#[cfg(test)]
mod tests {
    use super::*;

    /// A new reason does not compile here without its setter.
    #[test]
    fn each_reason_has_a_setter_of_its_own() {
        let readiness = Readiness::builder().allow_empty().build().unwrap();
        for reason in Reason::ALL {
            let set = match reason {
                Reason::Closed => ReadinessLayer::when_closed,
                Reason::Starting => ReadinessLayer::when_starting,
                Reason::Failing => ReadinessLayer::when_failing,
                Reason::Closing => ReadinessLayer::when_closing,
                Reason::Draining => ReadinessLayer::when_draining,
                Reason::Paused => ReadinessLayer::when_paused,
                Reason::Saturated => ReadinessLayer::when_saturated,
            };
            // A layer that only answers probes admits for every reason.
            let layer = set(ReadinessLayer::probes(&readiness), Action::Refuse);
            let actions = layer.gate.settings.actions.iter();
            let refused = actions.filter(|(_, action)| matches!(action, Action::Refuse));
            assert!(refused.map(|(reason, _)| reason).eq([*reason]), "{reason}");
        }
    }
}
