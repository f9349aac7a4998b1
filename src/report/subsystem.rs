use crate::state::Role;

/// A part of the process that reports for itself, as declared.
///
/// Required unless another role is chosen; the role chosen last holds.
///
/// ```
/// use tower_readiness::Subsystem;
///
/// Subsystem::new("listener"); // the process cannot serve without it
/// Subsystem::new("database").shared(); // every replica depends on the same one
/// Subsystem::new("cache").optional(); // nice to have
/// Subsystem::new("event-loop").vital(); // if it dies, restart the process
/// ```
#[must_use = "a subsystem has to be declared or added"]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subsystem {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) vital: bool,
}

impl Subsystem {
    /// A [required](Role::Required) subsystem.
    ///
    /// The name is 1 to 128 of `A-Z a-z 0-9 . _ -`; it is checked where the
    /// subsystem is put to use.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            role: Role::Required,
            vital: false,
        }
    }

    /// Gives it the role [`Role::Shared`].
    pub fn shared(self) -> Self {
        Self {
            role: Role::Shared,
            vital: false,
            ..self
        }
    }

    /// Gives it the role [`Role::Optional`].
    pub fn optional(self) -> Self {
        Self {
            role: Role::Optional,
            vital: false,
            ..self
        }
    }

    /// Makes it required, and more: while it is [dead](crate::State::Dead) or
    /// [stale](crate::State::Stale) liveness is red, so a supervisor restarts
    /// the process. Nothing else makes liveness red.
    ///
    /// For what a restart mends and nothing else does. Never for something
    /// outside the process.
    pub fn vital(self) -> Self {
        Self {
            role: Role::Required,
            vital: true,
            ..self
        }
    }
}
