use crate::meters::{Durations, LastTime};
#[cfg(feature = "metrics")]
use crate::{
    meters::{Counter, StartDuration},
    state::{State, SubsystemView},
};

/// The counters and times of one subsystem that metrics alone show.
#[allow(dead_code, reason = "the feature `check` records the runs of checks")]
#[derive(Debug, Default)]
pub(crate) struct SubsystemMeters {
    /// When a reporter or a check reported last.
    pub(crate) last_report: LastTime,
    /// The runs of its check.
    pub(crate) checks: Durations,
    /// The time until it was up for the first time.
    #[cfg(feature = "metrics")]
    pub(crate) start: StartDuration,
    /// How often it has entered each state, in the order of [`State::ALL`].
    #[cfg(feature = "metrics")]
    entered: [Counter; State::ALL.len()],
}

#[cfg(feature = "metrics")]
impl SubsystemMeters {
    /// Records the change from one view of the subsystem to the next.
    pub(crate) fn record(&self, before: &SubsystemView, after: &SubsystemView) {
        if before.state() != after.state() {
            self.entered[after.state() as usize].increment();
        }
        if !before.has_been_up() && after.has_been_up() {
            self.start.end();
        }
    }

    /// Returns how often the subsystem has entered `state`.
    pub(crate) fn entered(&self, state: State) -> u64 {
        self.entered[state as usize].get()
    }
}
