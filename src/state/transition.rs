use super::{
    view::Moment,
    vocabulary::{Condition, Phase, State},
};
use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

/// A change of a state, a condition or the phase, or the begin or end of a pause, as
/// [`Readiness::history`](crate::Readiness::history) returns it.
#[derive(Clone, Debug)]
pub struct Transition {
    pub(crate) version: u64,
    pub(crate) kind: TransitionKind,
    pub(crate) reason: Option<Arc<str>>,
    pub(crate) at: Moment,
    pub(crate) lasted: Duration,
    pub(crate) refused: u64,
}

/// The subject of a [`Transition`], and its values before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransitionKind {
    /// The state of a subsystem.
    Subsystem {
        /// The name of the subsystem.
        name: Arc<str>,
        /// The former state; `None` if the subsystem was added.
        from: Option<State>,
        /// The new state; `None` if the subsystem was retired.
        to: Option<State>,
    },
    /// The condition of a named scope.
    Scope {
        /// The name of the scope.
        name: Arc<str>,
        /// The former condition.
        from: Condition,
        /// The new condition.
        to: Condition,
    },
    /// The condition of the process.
    Process {
        /// The former condition.
        from: Condition,
        /// The new condition.
        to: Condition,
    },
    /// The phase of the process.
    Phase {
        /// The former phase.
        from: Phase,
        /// The new phase.
        to: Phase,
    },
    /// The begin or the end of a pause.
    Pause {
        /// Whether the process is paused now.
        paused: bool,
    },
}

impl Transition {
    /// Returns the [version](crate::Snapshot::version) of the snapshot that it was
    /// published with. One version can have several transitions: of a subsystem, and
    /// of each scope whose condition follows.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Returns what changed, with the values before and after.
    pub fn kind(&self) -> &TransitionKind {
        &self.kind
    }

    /// Returns the reason of the new state of a subsystem, or of the pause: at most
    /// 1 KiB, possibly with line breaks.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// Returns when it happened, by the wall clock.
    pub fn at(&self) -> SystemTime {
        self.at.wall
    }

    /// Returns how long ago it was at `now`, by the monotonic clock. Zero if `now` is
    /// earlier.
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.at.monotonic)
    }

    /// Returns how long the former value lasted, by the monotonic clock. Zero if a
    /// subsystem was added.
    pub fn lasted(&self) -> Duration {
        self.lasted
    }

    /// Returns how many requests the gates refused while the former value lasted; of a
    /// scope, its own gates.
    pub fn refused(&self) -> u64 {
        self.refused
    }
}

impl TransitionKind {
    /// Returns the word for the kind, as in the JSON of the status probe.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Subsystem { .. } => "subsystem",
            Self::Scope { .. } => "scope",
            Self::Process { .. } => "process",
            Self::Phase { .. } => "phase",
            Self::Pause { .. } => "pause",
        }
    }

    /// Returns the name of the subsystem or scope.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Subsystem { name, .. } | Self::Scope { name, .. } => Some(name),
            Self::Process { .. } | Self::Phase { .. } | Self::Pause { .. } => None,
        }
    }

    /// Returns the words for the values before and after.
    pub fn words(&self) -> (Option<&'static str>, Option<&'static str>) {
        match self {
            Self::Subsystem { from, to, .. } => (from.map(State::as_str), to.map(State::as_str)),
            Self::Scope { from, to, .. } | Self::Process { from, to } => {
                (Some(from.as_str()), Some(to.as_str()))
            }
            Self::Phase { from, to } => (Some(from.as_str()), Some(to.as_str())),
            Self::Pause { paused } => {
                let word = |paused| Some(if paused { "paused" } else { "not paused" });
                (word(!*paused), word(*paused))
            }
        }
    }
}
