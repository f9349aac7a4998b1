use crate::{State, UnknownSubsystem};
use std::time::Duration;
use thiserror::Error;

/// Why a state cannot be simulated.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SimulateError {
    /// No subsystem has this name, or it has retired.
    #[error(transparent)]
    Unknown(#[from] UnknownSubsystem),
    /// The state is [`Ready`](State::Ready). A simulation can only make a state worse.
    #[error("ready cannot be simulated, since no state is better; let the reporter report it")]
    Ready,
}

/// Why a wait has failed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitForError {
    /// No subsystem has this name, or it has retired.
    #[error(transparent)]
    Unknown(#[from] UnknownSubsystem),
    /// The subsystem was in other states for the whole time.
    #[error("{name} is not {state} within {within:?}, but {explanation}")]
    State {
        /// The name of the subsystem.
        name: String,
        /// The state that was waited for.
        state: State,
        /// The time that the wait could take.
        within: Duration,
        /// The state and the reason of the subsystem at the end, and the phase, the condition
        /// and the causes of the process.
        explanation: String,
    },
    /// No snapshot satisfied the condition.
    #[error("no snapshot within {within:?} is as expected: {explanation}")]
    Condition {
        /// The time that the wait could take.
        within: Duration,
        /// The phase and the condition of the process at the end, and which subsystems are
        /// the cause.
        explanation: String,
    },
}
