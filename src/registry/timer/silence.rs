use std::time::{Duration, Instant};

/// How often the timer reads the heartbeat counter in a ttl.
pub(super) const CHECKS_IN_A_TTL: u32 = 4;

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
