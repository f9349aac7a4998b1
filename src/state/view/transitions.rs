use super::{Declaration, LastReport, Moment, SubsystemView, damping::DampingProgress};
use crate::state::{
    text,
    vocabulary::{Claim, State},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// What a dropped reporter says.
const DROPPED: &str = "reporter dropped";

/// What one says that had reported ready: its owner may have meant to let go of a
/// subsystem that cannot fail any more.
const DROPPED_READY: &str = "reporter dropped; was ready; keep the reporter, or call leave_ready()";

impl SubsystemView {
    pub(crate) fn declared(declaration: Declaration, at: Moment) -> Self {
        let pending = !declaration.at_build;
        let pending_until = declaration.ready_within.filter(|_| pending);
        Self {
            pending,
            pending_until: pending_until.map(|time| at.monotonic + time),
            claim: if declaration.checked {
                Claim::Checked
            } else {
                Claim::Unclaimed
            },
            declaration: Arc::new(declaration),
            state: State::Starting,
            reason: None,
            masked_report: None,
            damped: None,
            attributes: None,
            holder_reported: false,
            ttl_armed: false,
            pushes: 0,
            been_up: false,
            since: at,
            transitions: 0,
        }
    }

    pub(crate) fn declaration(&self) -> &Arc<Declaration> {
        &self.declaration
    }

    // === reports ===

    /// Whether anything was ever reported of it.
    #[cfg(any(test, feature = "tracing", all(unix, feature = "systemd")))]
    pub(crate) fn has_reported(&self) -> bool {
        self.holder_reported || self.pushes > 0 || self.transitions > 0
    }

    fn last_report(&self) -> (State, Option<&str>) {
        match &self.masked_report {
            Some(report) => (report.state, report.reason.as_deref()),
            None => (self.state, self.reason()),
        }
    }

    /// Whether a report of `state` and `reason` would change nothing.
    pub(crate) fn is_repeat(&self, state: State, reason: Option<&str>) -> bool {
        self.holder_reported
            && !self.is_stale()
            // What a check has yet to repeat counts at once if it is reported.
            && !matches!(self.damped, Some(DampingProgress::Count { .. }))
            && self.last_report() == (state, reason)
    }

    /// What was reported, held down if it has to last before it counts.
    pub(crate) fn report(&self, state: State, reason: Option<&str>, at: Moment) -> Self {
        let next = self.with_push();
        match self.declaration.hold_down {
            Some(time) if self.goes_down(state) && state != State::Dead => {
                let until = match self.damped {
                    // It is down already, whatever it says of it.
                    Some(DampingProgress::Until(until)) => until,
                    _ => at.monotonic + time,
                };
                next.damp(state, reason, DampingProgress::Until(until))
            }
            _ => next.settle(state, reason, at),
        }
    }

    pub(super) fn is_stale(&self) -> bool {
        self.state == State::Stale
    }

    pub(super) fn goes_down(&self, state: State) -> bool {
        self.state.is_up() && !state.is_up()
    }

    pub(super) fn damp(
        self,
        state: State,
        reason: Option<&str>,
        progress: DampingProgress,
    ) -> Self {
        Self {
            masked_report: Some(LastReport {
                state,
                reason: reason.map(Arc::from),
            }),
            damped: Some(progress),
            ..self
        }
    }

    /// Makes a report count.
    pub(super) fn settle(self, state: State, reason: Option<&str>, at: Moment) -> Self {
        let changed = self.state != state;
        let pending = self.pending && !state.is_up();
        Self {
            state,
            reason: reason.map(Arc::from),
            masked_report: None,
            damped: None,
            been_up: self.been_up || state.is_up(),
            pending,
            pending_until: self.pending_until.filter(|_| pending),
            since: if changed { at } else { self.since },
            transitions: self.transitions + u64::from(changed),
            ..self
        }
    }

    /// Somebody other than the check has spoken.
    fn with_push(&self) -> Self {
        Self {
            holder_reported: true,
            ttl_armed: true,
            pushes: self.pushes + 1,
            ..self.clone()
        }
    }

    pub(crate) fn with_claim(&self, claim: Claim) -> Self {
        Self {
            claim,
            holder_reported: false,
            // A check goes on, whoever claims it or lets go.
            ttl_armed: self.ttl_armed && self.declaration.checked,
            ..self.clone()
        }
    }

    /// Reports ready for good.
    pub(crate) fn leave_ready(&self, at: Moment) -> Self {
        let left = self.with_push().settle(State::Ready, None, at);
        left.with_claim(Claim::LeftReady)
    }

    /// Its reporter went away without a word.
    ///
    /// While the process drains, tasks end in any order and that says
    /// nothing. Otherwise it is a report of its own, which never improves on
    /// the last one and keeps its reason.
    pub(crate) fn drop_reporter(&self, draining: bool, at: Moment) -> Self {
        let dropped = self.with_push().with_claim(Claim::Dropped);
        if draining {
            return dropped;
        }
        let (last_state, last_reason) = self.last_report();
        let state = if self.is_vital() || last_state == State::Dead {
            State::Dead
        } else {
            State::Failing
        };
        match last_reason {
            // Claimed and dropped again, without a report in between.
            Some(last) if last.starts_with(DROPPED) => dropped.settle(state, Some(last), at),
            Some(last) if matches!(last_state, State::Failing | State::Dead) => {
                let reason = format!("{DROPPED}; last report: {last}");
                let reason = text::cut(&reason, text::MAX_BYTES);
                dropped.settle(state, Some(reason), at)
            }
            _ if last_state == State::Ready => dropped.settle(state, Some(DROPPED_READY), at),
            _ => dropped.settle(state, Some(DROPPED), at),
        }
    }

    /// Its check does not run any more, so that nothing is known of it. `None`
    /// if that is no worse than what counts already.
    ///
    /// It is not listened for until the check has spoken again, unless a
    /// reporter speaks beside it.
    pub(crate) fn lose_check(&self, why: &str, at: Moment) -> Option<Self> {
        if matches!(self.state, State::Dead | State::Stale) || self.reason() == Some(why) {
            return None;
        }
        let mut next = self.clone();
        next.ttl_armed &= next.claim == Claim::Held;
        Some(next.settle(State::Failing, Some(why), at))
    }

    // === the passing of time ===

    /// For how long it may be silent, if somebody speaks for it now.
    pub(crate) fn active_ttl(&self) -> Option<Duration> {
        let has_reporting_owner = self.declaration.checked || self.claim == Claim::Held;
        self.declaration
            .ttl
            .filter(|_| self.ttl_armed && has_reporting_owner)
    }

    /// It has been silent for longer than it promised.
    pub(crate) fn become_stale(&self, silent_for: Duration, at: Moment) -> Self {
        let (state, reason) = self.last_report();
        let masked_report = LastReport {
            state,
            reason: reason.map(Arc::from),
        };
        let last = match reason {
            Some(reason) => format!("{state} ({reason})"),
            None => state.to_string(),
        };
        let silence = format!("silent for {silent_for:.0?}; last report: {last}");
        let silence = text::cut(&silence, text::MAX_BYTES);
        Self {
            masked_report: Some(masked_report),
            ..self.clone().settle(State::Stale, Some(silence), at)
        }
    }

    /// A sign of life ends its silence: what it said last holds again.
    pub(crate) fn end_staleness(&self, at: Moment) -> Option<Self> {
        let report = self.masked_report.clone().filter(|_| self.is_stale())?;
        Some(
            self.clone()
                .settle(report.state, report.reason.as_deref(), at),
        )
    }

    /// When time alone will change it.
    pub(crate) fn due(&self) -> Option<Instant> {
        let held_down = match self.damped {
            Some(DampingProgress::Until(until)) => Some(until),
            _ => None,
        };
        held_down.into_iter().chain(self.pending_until).min()
    }

    /// What has become of it by now, or `None` if it is as it was.
    pub(crate) fn pass_time(&self, at: Moment) -> Option<Self> {
        if self.due()? > at.monotonic {
            return None;
        }
        let mut next = self.clone();
        if let (Some(DampingProgress::Until(until)), Some(report)) =
            (self.damped, &self.masked_report)
        {
            if until <= at.monotonic {
                next = next.settle(report.state, report.reason.as_deref(), at);
            }
        }
        if next
            .pending_until
            .is_some_and(|until| until <= at.monotonic)
        {
            next.pending = false;
            next.pending_until = None;
        }
        Some(next)
    }
}
