use std::time::{Duration, Instant};

/// How often the timer reads the heartbeat counter in a ttl.
pub(super) const CHECKS_IN_A_TTL: u32 = 4;

/// How late the timer may be and still count as on time: tokio's timers have a
/// resolution of 1 ms.
pub(super) const TIMER_SLACK: Duration = Duration::from_millis(2);

/// The caller of [`TtlWatch::check`](super::ttl_watch::TtlWatch::check).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// The timer task, which sleeps until the next deadline. If it comes late, its
    /// runtime was stuck.
    TtlTimer,
    /// The timer thread, which planned to come at this time of the real clock.
    Thread { planned: Instant },
    /// A reader, which may come at any time.
    Reader,
}

/// The time since the last heartbeat.
#[derive(Debug)]
pub(super) struct Silence {
    pub(super) ttl: Duration,
    /// The last count of heartbeats, and since when it has not changed.
    pub(super) seen: u64,
    pub(super) since: Instant,
    /// When the ttl has passed.
    pub(super) until: Instant,
    /// The last value of the witness.
    pub(super) progress: Option<u64>,
    /// The ttl has passed, but the witness shows progress.
    pub(super) late: bool,
    /// The subsystem got a new ttl once, and has sent no heartbeat since.
    pub(super) spared: bool,
    /// The ttl has passed, and the subsystem is stale.
    pub(super) over: bool,
}

impl Silence {
    /// Spares the subsystems of a process that was frozen, such as by SIGSTOP, so that they do
    /// not all turn stale when it goes on.
    ///
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
