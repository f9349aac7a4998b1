use super::paths;
use crate::state::{Aspect, vocabulary};

vocabulary! {
    /// A kind of probe.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum Probe {
        /// Whether the process has started. By default at `/startupz`.
        Startup = "startup",
        /// Whether the process should get traffic. By default at `/readyz`.
        Readiness = "readiness",
        /// Whether the process should keep running. By default at `/livez`.
        Liveness = "liveness",
        /// The same as liveness, under the path that many tools expect. By
        /// default at `/healthz`.
        Health = "health",
        /// All details. By default at `/statusz`. Always answered with 200: it
        /// is for people, not for a supervisor.
        Status = "status",
    }
}

impl Probe {
    /// The path at which the probe answers unless it is moved.
    pub const fn default_path(self) -> &'static str {
        match self {
            Self::Startup => paths::STARTUP,
            Self::Readiness => paths::READINESS,
            Self::Liveness => paths::LIVENESS,
            Self::Health => paths::HEALTH,
            Self::Status => paths::STATUS,
        }
    }

    /// The word for an answer: the first word of the text, and `status` in JSON.
    pub const fn word(self, is_green: bool) -> &'static str {
        self.aspect().word(is_green)
    }

    pub(crate) const fn aspect(self) -> Aspect {
        match self {
            Self::Startup => Aspect::Startup,
            Self::Readiness | Self::Status => Aspect::Readiness,
            Self::Liveness | Self::Health => Aspect::Liveness,
        }
    }
}
