use super::{Declaration, LastReport, Membership, Moment, SubsystemView, damping::DampingProgress};
use crate::state::{
    text,
    vocabulary::{Claim, Phase, Role, State},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// The reason after a drop of the reporter.
const DROPPED: &str = "reporter dropped";

/// The reason if the last report was ready: the owner may have meant to let go
/// of a subsystem that cannot fail any more.
const DROPPED_READY: &str = "reporter dropped; was ready; keep the reporter, or call leave_ready()";

impl SubsystemView {
    pub(crate) fn declared(membership: Membership, at: Moment) -> Self {
        let declaration = &membership.declaration;
        let pending = !declaration.at_build;
        let pending_until = declaration.ready_within.filter(|_| pending);
        Self {
            pending,
            pending_until: pending_until.map(|time| at.monotonic + time),
            claim: if declaration.is_checked() {
                Claim::Checked
            } else {
                Claim::Unclaimed
            },
            membership: Arc::new(membership),
            state: State::Starting,
            reason: None,
            masked_report: None,
            damped: None,
            attributes: None,
            members: None,
            reported_since_claim: false,
            ttl_armed: false,
            pushes: 0,
            been_up: false,
            since: at,
            transitions: 0,
            #[cfg(feature = "test-util")]
            simulations: Vec::new(),
            changed_in: 0,
        }
    }

    pub(crate) fn declaration(&self) -> &Arc<Declaration> {
        &self.membership.declaration
    }

    /// The view with another role, flag and scopes.
    pub(crate) fn with_membership(&self, role: Role, vital: bool, scopes: Vec<usize>) -> Self {
        let membership = Membership {
            declaration: Arc::clone(self.declaration()),
            role,
            vital,
            scopes: scopes.into(),
        };
        Self {
            membership: Arc::new(membership),
            ..self.clone()
        }
    }

    // === reports ===

    /// Whether any report ever came.
    pub(crate) fn has_reported(&self) -> bool {
        self.reported_since_claim || self.pushes > 0 || self.transitions > 0
    }

    fn last_report(&self) -> (State, Option<&str>) {
        match &self.masked_report {
            Some(report) => (report.state, report.reason.as_deref()),
            None => (self.state, self.reason.as_deref()),
        }
    }

    /// Whether a report of `state` and `reason` would change nothing.
    pub(crate) fn is_repeat(&self, state: State, reason: Option<&str>) -> bool {
        self.reported_since_claim
            && !self.is_stale()
            // A damped result of a check counts at once if a reporter reports
            // it.
            && !matches!(self.damped, Some(DampingProgress::Count { .. }))
            && self.last_report() == (state, reason)
    }

    /// Applies a report, held down if it has to last before it counts.
    pub(crate) fn report(&self, state: State, reason: Option<&str>, at: Moment) -> Self {
        let next = self.with_push();
        match self.declaration().hold_down {
            Some(time) if self.goes_down(state) && state != State::Dead => {
                let until = match self.damped {
                    // The time runs since the first report of being down.
                    Some(DampingProgress::Until(until)) => until,
                    _ => at.monotonic + time,
                };
                next.damp(state, reason, DampingProgress::Until(until))
            }
            _ => next.settle(state, reason, at),
        }
    }

    /// Whether the registry made it stale, whatever a test simulates.
    pub(crate) fn is_stale(&self) -> bool {
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

    /// Makes `state` and `reason` count.
    pub(super) fn settle(self, state: State, reason: Option<&str>, at: Moment) -> Self {
        let before = self.state();
        let next = Self {
            state,
            reason: reason.map(Arc::from),
            masked_report: None,
            damped: None,
            ..self
        };
        next.following(before, at)
    }

    /// Records what the state that counts changes, `before` having counted until `at`.
    pub(super) fn following(self, before: State, at: Moment) -> Self {
        let state = self.state();
        let changed = state != before;
        let pending = self.pending && !state.is_up();
        Self {
            been_up: self.been_up || state.is_up(),
            pending,
            pending_until: self.pending_until.filter(|_| pending),
            since: if changed { at } else { self.since },
            transitions: self.transitions + u64::from(changed),
            ..self
        }
    }

    /// Counts a report that did not come from the check.
    fn with_push(&self) -> Self {
        Self {
            reported_since_claim: true,
            ttl_armed: true,
            pushes: self.pushes + 1,
            ..self.clone()
        }
    }

    pub(crate) fn with_claim(&self, claim: Claim) -> Self {
        Self {
            claim,
            reported_since_claim: false,
            // A check goes on across changes of the claim.
            ttl_armed: self.ttl_armed && self.declaration().is_checked(),
            ..self.clone()
        }
    }

    /// Applies a last report of ready, and the end of the claim.
    pub(crate) fn leave_ready(&self, at: Moment) -> Self {
        let left = self.with_push().settle(State::Ready, None, at);
        left.with_claim(Claim::LeftReady)
    }

    /// Applies the drop of the reporter.
    ///
    /// While the process drains, tasks end in any order, so a drop changes no
    /// state. Otherwise the drop is a report of its own, which never improves
    /// on the last one and keeps its reason.
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

    /// Applies the end of the check: the subsystem fails with the reason `why`.
    /// `None` if it is dead or stale, or has not reported since it failed for this reason.
    ///
    /// The ttl is suspended until the check reports again, unless a reporter
    /// holds the subsystem too.
    #[cfg(any(test, feature = "check"))]
    pub(crate) fn lose_check(&self, why: &str, at: Moment) -> Option<Self> {
        let is_known = !self.reported_since_claim && self.reason.as_deref() == Some(why);
        if is_known || matches!(self.state, State::Dead | State::Stale) {
            return None;
        }
        let mut next = self.clone();
        next.reported_since_claim = false;
        next.ttl_armed &= next.claim == Claim::Held;
        Some(next.settle(State::Failing, Some(why), at))
    }

    // === the passing of time ===

    /// The ttl, if it applies now: after a report, while a check or a reporter
    /// owns the subsystem.
    pub(crate) fn active_ttl(&self) -> Option<Duration> {
        let has_owner = self.declaration().is_checked() || self.claim == Claim::Held;
        self.declaration()
            .ttl
            .filter(|_| self.ttl_armed && has_owner)
    }

    /// How often the timer expects a report or a heartbeat: in each active ttl, and from the
    /// check of a subsystem in any case, so that a check is found whose runtime is not driven.
    pub(crate) fn heartbeat_within(&self) -> Option<Duration> {
        if self.declaration().is_checked() {
            self.declaration().ttl
        } else {
            self.active_ttl()
        }
    }

    /// Makes the subsystem stale, after `silent_for` without a report or
    /// heartbeat.
    pub(crate) fn become_stale(&self, silent_for: Duration, at: Moment) -> Self {
        let last_report = self.last_report();
        let (state, reason) = match self.damped {
            // A result of a check that came too seldom does not count after the silence.
            Some(DampingProgress::Count { .. }) => (self.state, self.reason.as_deref()),
            _ => last_report,
        };
        let masked_report = LastReport {
            state,
            reason: reason.map(Arc::from),
        };
        let last = match last_report {
            (state, Some(reason)) => format!("{state} ({reason})"),
            (state, None) => state.to_string(),
        };
        let silence = format!("silent for {silent_for:.0?}; last report: {last}");
        let silence = text::cut(&silence, text::MAX_BYTES);
        Self {
            masked_report: Some(masked_report),
            ..self.clone().settle(State::Stale, Some(silence), at)
        }
    }

    /// Makes the last report count again, or returns `None` if the subsystem is
    /// not stale.
    pub(crate) fn end_staleness(&self, at: Moment) -> Option<Self> {
        let report = self.masked_report.clone().filter(|_| self.is_stale())?;
        Some(
            self.clone()
                .settle(report.state, report.reason.as_deref(), at),
        )
    }

    /// When time alone will change the view.
    pub(crate) fn due(&self) -> Option<Instant> {
        let held_down = match self.damped {
            Some(DampingProgress::Until(until)) => Some(until),
            _ => None,
        };
        held_down.into_iter().chain(self.pending_until).min()
    }

    /// The view at the moment `at`, or `None` if it is unchanged.
    ///
    /// A subsystem that is pending when the drain begins remains so: the task that brings it
    /// up may end before it has, since tasks then end in any order.
    pub(crate) fn pass_time(&self, phase: Phase, at: Moment) -> Option<Self> {
        let is_over = |until: Instant| until <= at.monotonic;
        let held_down = match (self.damped, &self.masked_report) {
            (Some(DampingProgress::Until(until)), report) if is_over(until) => report.as_ref(),
            _ => None,
        };
        let ends_pending = phase < Phase::Draining && self.pending_until.is_some_and(is_over);
        if held_down.is_none() && !ends_pending {
            return None;
        }
        let mut next = self.clone();
        if let Some(report) = held_down {
            next = next.settle(report.state, report.reason.as_deref(), at);
        }
        if ends_pending {
            next.pending = false;
            next.pending_until = None;
        }
        Some(next)
    }
}
