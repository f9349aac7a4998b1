//! Spares the subsystems of a process that was frozen, such as by SIGSTOP, so that
//! they do not all turn stale when it goes on.

use super::silence::{CHECKS_IN_A_TTL, Caller, Silence};
use std::time::{Duration, Instant};

/// How late the timer may be and still count as on time: tokio's timers have a
/// resolution of 1 ms.
pub(super) const TIMER_SLACK: Duration = Duration::from_millis(2);

impl Silence {
    /// Gives the subsystem a new ttl if the check comes so `late` after the planned time
    /// that the process was stopped or its runtime is starved: the reporter may be late
    /// for the same reason.
    ///
    /// The subsystem gets it only once, since otherwise a runtime that is always late
    /// would hide every missing heartbeat. Afterwards only the time by which the timer
    /// was late does not count. (A reader is not late: it comes at any time.)
    pub(super) fn spare_frozen(&mut self, now: Instant, late: Duration, caller: Caller) {
        // The silence may have begun after the planned time.
        let late = late.min(now.saturating_duration_since(self.since));
        if late <= self.ttl / CHECKS_IN_A_TTL + TIMER_SLACK {
            return;
        }
        if !self.spared {
            self.spared = true;
            self.until = now + self.ttl;
        } else if caller != Caller::Reader {
            self.until += late;
        }
    }
}
