use super::{
    client::{Client, Kind, Outcome},
    error::{Fault, FaultKind, WiringError},
};
use crate::{
    probe::Probes,
    registry::Readiness,
    state::{Role, State, SubsystemView},
    testing::wait::explain,
    wire::Probe,
};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use std::fmt;
use tower_service::Service;

/// A path that no application has, to reach its fallback.
const NO_ROUTE: &str = "/readiness-wiring-check/no-route";

/// Configures the check of [`check_wired`](super::check_wired).
#[must_use = "a check does nothing until it runs"]
#[derive(Clone, Debug)]
pub struct WiringCheck {
    paths: Vec<String>,
    probes: Option<Vec<(String, Probe)>>,
    origin: HeaderValue,
}

impl WiringCheck {
    /// Returns a check of `/`, of a path without a route, and of the probes at their default
    /// paths.
    pub fn new() -> Self {
        Self {
            paths: vec!["/".to_owned(), NO_ROUTE.to_owned()],
            probes: None,
            origin: HeaderValue::from_static("https://origin.example"),
        }
    }

    /// Checks this path, too. Name the routes that the application adds last, and those of
    /// nested routers.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.paths.push(path.into());
        self
    }

    /// Checks probes that were moved.
    pub fn probes(mut self, probes: &Probes) -> Self {
        let paths = probes.paths();
        let paths = paths.map(|(path, probe)| (path.to_owned(), probe));
        self.probes = Some(paths.collect());
        self
    }

    /// Checks no probes, where an admin listener alone answers them.
    pub fn without_probes(mut self) -> Self {
        self.probes = Some(Vec::new());
        self
    }

    /// Sets the `origin` of cross-origin requests, `https://origin.example` by default. The
    /// check judges CORS only if the application allows this origin.
    pub fn origin(mut self, origin: HeaderValue) -> Self {
        self.origin = origin;
        self
    }

    /// Runs the check, as [`check_wired`](super::check_wired) does.
    ///
    /// # Errors
    ///
    /// As [`check_wired`](super::check_wired), and when a path is not valid.
    pub async fn run<S, R>(self, readiness: &Readiness, app: S) -> Result<(), WiringError>
    where
        S: Service<Request<Full<Bytes>>, Response = Response<R>>,
        S::Error: fmt::Display,
    {
        for path in &self.paths {
            if !path.starts_with('/') || path.parse::<Uri>().is_err() {
                let path = path.clone();
                return Err(WiringError::Path { path });
            }
        }
        let snapshot = readiness.snapshot();
        if !snapshot.verdict().is_ready() {
            let explanation = explain(&snapshot);
            return Err(WiringError::NotReady { explanation });
        }
        let mut subsystems = snapshot.subsystems();
        // A failure of a pending one does not count.
        let counts = |view: &&SubsystemView| view.role() == Role::Required && !view.is_pending();
        let required = subsystems.find(counts);
        let required = required.ok_or(WiringError::NothingRequired)?.name();

        let mut faults = Faults::default();
        let probes = self.probes.unwrap_or_else(|| {
            let paths = [Probe::Readiness, Probe::Liveness, Probe::Startup];
            paths.map(|it| (it.default_path().to_owned(), it)).into()
        });
        let mut client = Client::new(app, readiness, self.origin);
        for (path, _) in &probes {
            for kind in [Kind::Get, Kind::Head] {
                let outcome = client.send(kind, path).await;
                faults.check_probe(&outcome, StatusCode::OK, "ready");
            }
        }
        let mut ready = Vec::new();
        for path in &self.paths {
            for kind in [Kind::Script, Kind::Preflight] {
                ready.push(client.send(kind, path).await);
            }
        }

        let paused = readiness.pause("wiring check");
        for path in &self.paths {
            let outcome = client.send(Kind::Get, path).await;
            if outcome.gates > 1 {
                faults.add(FaultKind::GateUnderGate, outcome.describe("paused"));
            }
        }
        drop(paused);

        let failing = readiness.simulate(required, State::Failing, "wiring check");
        // The subsystem may have retired since.
        let _failing = failing.map_err(|_| WiringError::NothingRequired)?;
        for (path, probe) in &probes {
            let expected = match probe {
                Probe::Readiness => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::OK,
            };
            for (kind, expected) in [
                (Kind::Get, expected),
                (Kind::Head, expected),
                (Kind::Upload, StatusCode::METHOD_NOT_ALLOWED),
            ] {
                let outcome = client.send(kind, path).await;
                faults.check_probe(&outcome, expected, FAILING);
            }
        }
        let mut traffic = Traffic::default();
        let mut ready = ready.into_iter();
        for path in &self.paths {
            for kind in [Kind::Get, Kind::Head, Kind::Upload, Kind::Grpc] {
                let outcome = client.send(kind, path).await;
                traffic.check(&outcome, &mut faults);
            }
            for kind in [Kind::Script, Kind::Preflight] {
                let outcome = client.send(kind, path).await;
                let allowed = ready.next().is_some_and(|ready| ready.allows_origin());
                if allowed && outcome.was_refused && !outcome.allows_origin() {
                    faults.add(FaultKind::CorsInside, outcome.describe(FAILING));
                }
            }
        }
        traffic.finish(&mut faults);
        faults.into_result()
    }
}

impl Default for WiringCheck {
    fn default() -> Self {
        Self::new()
    }
}

const FAILING: &str = "failing";

/// The requests of applications while the process fails.
#[derive(Default)]
struct Traffic {
    any_refused: bool,
    not_refused: Vec<String>,
}

impl Traffic {
    fn check(&mut self, outcome: &Outcome, faults: &mut Faults) {
        let described = outcome.describe(FAILING);
        if outcome.was_refused {
            self.any_refused = true;
            if !outcome.shows_refusal() {
                faults.add(FaultKind::AnswersReplaced, described);
            }
        } else if outcome.is_denied() {
            faults.add(FaultKind::BehindAuthentication, described);
        } else {
            self.not_refused.push(described);
        }
    }

    /// Requests that pass beside a gate show another fault than those of an application
    /// without a gate.
    fn finish(self, faults: &mut Faults) {
        let kind = if self.any_refused {
            FaultKind::RoutesOutside
        } else {
            FaultKind::NotGated
        };
        for request in self.not_refused {
            faults.add(kind, request);
        }
    }
}

#[derive(Default)]
struct Faults(Vec<Fault>);

impl Faults {
    fn add(&mut self, kind: FaultKind, request: String) {
        match self.0.iter_mut().find(|fault| fault.kind == kind) {
            Some(fault) => fault.requests.push(request),
            None => self.0.push(Fault {
                kind,
                requests: vec![request],
            }),
        }
    }

    fn check_probe(&mut self, outcome: &Outcome, expected: StatusCode, state: &str) {
        // A layer outside may have made the response anew, without its extension. A refusal
        // has the status of a red probe.
        if outcome.status() == Some(expected) && !outcome.was_refused {
            return;
        }
        let kind = if outcome.is_denied() {
            FaultKind::BehindAuthentication
        } else if outcome.was_refused || outcome.status() == Some(StatusCode::NOT_FOUND) {
            FaultKind::ProbesMissing
        } else if outcome.is_probe_answer() || outcome.has_failed() {
            FaultKind::AnswersReplaced
        } else {
            FaultKind::ProbesSwallowed
        };
        self.add(kind, outcome.describe(state));
    }

    fn into_result(self) -> Result<(), WiringError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(WiringError::Faults { faults: self.0 })
        }
    }
}
