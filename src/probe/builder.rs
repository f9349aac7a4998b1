use super::{error::ProbesError, probes::Probes, question::Detail, route::Routes};
use crate::{registry::Readiness, unread::UnreadBody, wire::Probe};

impl Probes {
    /// Configures probes.
    pub fn builder(readiness: &Readiness) -> ProbesBuilder {
        let probes = Self::new(readiness);
        let paths = probes.paths();
        let paths = paths
            .map(|(path, probe)| (path.to_owned(), probe))
            .collect();
        ProbesBuilder { probes, paths }
    }
}

/// Configures [`Probes`].
///
/// ```
/// # use tower_readiness::{Readiness, Subsystem, probe::{Probe, Probes}};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let readiness = Readiness::builder().subsystem(Subsystem::new("storage")).build()?;
/// let probes = Probes::builder(&readiness)
///     .path(Probe::Readiness, "/internal/ready")
///     .without(Probe::Status)
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a builder does nothing until it builds"]
pub struct ProbesBuilder {
    probes: Probes,
    paths: Vec<(String, Probe)>,
}

impl ProbesBuilder {
    /// Sets how much detail the answers contain. By default [`Detail::None`];
    /// an admin listener has another default.
    pub fn detail(mut self, detail: Detail) -> Self {
        self.probes.config().detail = Some(detail);
        self
    }

    /// Moves `probe` to `path`: an absolute path of printable ASCII characters,
    /// without a query, a fragment or a trailing `/`. No other probe can be there,
    /// nor below the readiness probe, where the names of subsystems and scopes are.
    pub fn path(mut self, probe: Probe, path: impl Into<String>) -> Self {
        self = self.without(probe);
        self.paths.push((path.into(), probe));
        self
    }

    /// Turns `probe` off.
    pub fn without(mut self, probe: Probe) -> Self {
        self.paths.retain(|(_, other)| *other != probe);
        self
    }

    /// Adds response headers for Envoy: `x-envoy-degraded` to the readiness probe
    /// while degraded, and, once the process drains,
    /// `x-envoy-immediate-health-check-fail` to every response, which removes the
    /// host before the next health check.
    ///
    /// A [`ReadinessLayer`](crate::ReadinessLayer) with these probes adds the
    /// latter to the responses of the application and to refusals as well, as
    /// Envoy's own health check filter does. Where another port serves the
    /// probes, call [`ReadinessLayer::envoy_headers`](crate::ReadinessLayer::envoy_headers).
    pub fn envoy_headers(mut self) -> Self {
        self.probes = self.probes.with_envoy_headers();
        self
    }

    /// Answers the readiness probe with 404 instead of 503 once the process
    /// drains, for HAProxy's `http-check disable-on-404`: the server gets no
    /// new sessions, and its existing sessions go on.
    pub fn not_found_while_draining(mut self) -> Self {
        self.probes.config().not_found_in_drain = true;
        self
    }

    /// Bounds how far the body of a request is read, where the probes are
    /// a service by themselves. A layer has
    /// [bounds of its own](crate::ReadinessLayer::unread_body).
    pub fn unread_body(mut self, bounds: UnreadBody) -> Self {
        self.probes.config().unread.bounds = bounds;
        self
    }

    /// Answers requests with `?wait` at once.
    pub fn without_wait(mut self) -> Self {
        self.probes = self.probes.max_waiting(0);
        self
    }

    /// Builds the probes.
    ///
    /// # Errors
    ///
    /// When a [path](Self::path) is not plain and absolute, or two probes share a
    /// path, or a probe is below the readiness probe.
    pub fn build(mut self) -> Result<Probes, ProbesError> {
        self.probes.config().routes = Routes::new(self.paths)?;
        Ok(self.probes)
    }
}
