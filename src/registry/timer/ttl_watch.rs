use super::{
    frozen_process::{CHECKS_IN_A_TTL, Caller, Silence},
    heartbeat::Heartbeat,
};
use crate::state::Declaration;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Returns a value whose change shows that the runtime of a subsystem makes
/// progress.
pub(crate) type Witness = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Why the view of a subsystem changes, unless it has reported since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TtlEvent {
    /// Its ttl has passed without a heartbeat since this count.
    Silence { lasted: Duration, seen: u64 },
    /// Its ttl has passed, while its witness shows progress.
    Late { lasted: Duration },
    /// A heartbeat after its ttl had passed.
    Recovered,
    /// A deadline of its view.
    Time,
}

/// The deadlines of one subsystem: of its heartbeat, and of its view.
pub(super) struct TtlWatch {
    /// Identifies the subsystem, since another may take its slot later.
    pub(super) declaration: Arc<Declaration>,
    pub(super) heartbeat: Arc<Heartbeat>,
    /// When its view changes without a report.
    pub(super) due: Option<Instant>,
    /// Shows whether the runtime of the subsystem makes progress.
    pub(super) witness: Option<Witness>,
    silence: Option<Silence>,
}

impl TtlWatch {
    pub(super) fn new(declaration: Arc<Declaration>) -> Self {
        Self {
            declaration,
            heartbeat: Arc::new(Heartbeat::new()),
            due: None,
            witness: None,
            silence: None,
        }
    }

    fn progress(&self) -> Option<u64> {
        self.witness.as_ref().map(|witness| witness())
    }

    /// Expects a heartbeat in every `ttl` from `now` on, unless it does already.
    /// Without a `ttl`, it expects none.
    ///
    /// `is_stale` is the published state. If the state was set to another since,
    /// this starts a new ttl; otherwise the next missing heartbeat would never be
    /// found.
    pub(super) fn set_ttl(&mut self, ttl: Option<Duration>, is_stale: bool, now: Instant) {
        let Some(ttl) = ttl else {
            self.silence = None;
            return;
        };
        if !is_stale {
            self.silence.take_if(|silence| silence.over);
        }
        let (seen, progress) = (self.heartbeat.count(), self.progress());
        let silence = self.silence.get_or_insert(Silence {
            ttl,
            seen,
            since: now,
            until: now + ttl,
            progress,
            late: false,
            spared: false,
            over: false,
        });
        silence.over |= is_stale;
    }

    /// Checks for a heartbeat, `late` after the planned time.
    pub(super) fn check(
        &mut self,
        now: Instant,
        late: Duration,
        caller: Caller,
    ) -> Option<TtlEvent> {
        let (count, progress) = (self.heartbeat.count(), self.progress());
        let silence = self.silence.as_mut()?;
        if count != silence.seen {
            let was_over = silence.over;
            *silence = Silence {
                seen: count,
                since: now,
                until: now + silence.ttl,
                progress,
                late: false,
                spared: false,
                over: false,
                ..*silence
            };
            return was_over.then_some(TtlEvent::Recovered);
        }
        if silence.progress != progress {
            let lasted = now.saturating_duration_since(silence.since);
            let news = silence.over || (lasted >= silence.ttl && !silence.late);
            *silence = Silence {
                until: now + silence.ttl,
                progress,
                late: silence.late || news,
                over: false,
                ..*silence
            };
            return news.then_some(TtlEvent::Late { lasted });
        }
        if silence.over {
            return None;
        }
        silence.spare_frozen(now, late, caller);
        if now < silence.until {
            return None;
        }
        silence.over = true;
        Some(TtlEvent::Silence {
            lasted: now.saturating_duration_since(silence.since),
            seen: silence.seen,
        })
    }

    /// When to check next, after a check at `now`.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        let check = self.silence.as_ref().map(|silence| {
            let check = now + silence.ttl / CHECKS_IN_A_TTL;
            if silence.over {
                check
            } else {
                check.min(silence.until)
            }
        });
        check.into_iter().chain(self.due).min()
    }
}

#[cfg(all(test, not(tower_readiness_loom)))]
mod tests;
