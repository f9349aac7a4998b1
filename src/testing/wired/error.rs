use std::fmt;
use thiserror::Error;

/// Why an application failed a [`WiringCheck`](super::WiringCheck).
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum WiringError {
    /// The process was not ready when the check began.
    #[error("the process is not ready ({explanation}); let its reporters report ready first")]
    NotReady {
        /// The phase and the condition of the process, and which subsystems are the cause.
        explanation: String,
    },
    /// No subsystem is required and has come up, so the check cannot make the process fail.
    #[error(
        "no required subsystem has come up, so the check cannot simulate a failure; declare one"
    )]
    NothingRequired,
    /// A path is not valid.
    #[error("a request cannot have the path {path:?}; begin it with a slash, and escape the rest")]
    Path {
        /// The path that was given.
        path: String,
    },
    /// The application is wired wrongly.
    #[error("the application is wired wrongly:{}", lines(faults))]
    Faults {
        /// Each kind of fault once, with all requests that showed it.
        faults: Vec<Fault>,
    },
}

fn lines(faults: &[Fault]) -> String {
    faults.iter().map(|fault| format!("\n- {fault}")).collect()
}

/// A fault in the wiring of an application. Its text is the remedy and the requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub(super) kind: FaultKind,
    pub(super) requests: Vec<String>,
}

impl Fault {
    #[cfg(test)]
    pub(crate) fn for_test(kind: FaultKind, request: &str) -> Self {
        let requests = vec![request.to_owned()];
        Self { kind, requests }
    }

    /// Returns the kind of the fault.
    pub fn kind(&self) -> FaultKind {
        self.kind
    }

    /// Returns the requests that showed the fault, each with its response.
    pub fn requests(&self) -> impl Iterator<Item = &str> {
        self.requests.iter().map(String::as_str)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.kind.remedy(), self.requests.join(", "))
    }
}

/// The kind of a [`Fault`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// No layer answers probes at their paths.
    ProbesMissing,
    /// A route or a fallback answers probes in the layer's place.
    ProbesSwallowed,
    /// Authentication outside of the layer refuses probes or traffic.
    BehindAuthentication,
    /// A layer outside replaces refusals or red probes.
    AnswersReplaced,
    /// Some routes are outside of the gate.
    RoutesOutside,
    /// No request is refused while the process fails.
    NotGated,
    /// Refusals lack the CORS headers that other responses have.
    CorsInside,
    /// A request passes several gates of the process.
    GateUnderGate,
}

impl FaultKind {
    const fn remedy(self) -> &'static str {
        match self {
            Self::ProbesMissing => {
                "no layer answers the probes: add `ReadinessLayer::new(&readiness)` last, or set their paths"
            }
            Self::ProbesSwallowed => {
                "a route or a fallback answers the probes: add the layer last, to the outermost router"
            }
            Self::BehindAuthentication => {
                "authentication answers before the layer: put the layer outside of authentication"
            }
            Self::AnswersReplaced => {
                "a layer outside replaces the answers of the layer: let 503 pass there, or put it inside"
            }
            Self::RoutesOutside => {
                "the gate does not see some routes: add the layer after each route, nest, merge and fallback"
            }
            Self::NotGated => {
                "no request is refused while failing: add `ReadinessLayer::new(&readiness)`, not in dry run"
            }
            Self::CorsInside => {
                "refusals have no CORS headers, so scripts cannot read them: put CORS outside of the layer"
            }
            Self::GateUnderGate => {
                "several gates of the process decide on a request: keep only the outermost"
            }
        }
    }
}
