use super::vocabulary::{Condition, Phase, Reason};
use std::fmt;

/// A question that a verdict answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aspect {
    /// Whether the start latch has closed.
    Startup,
    Liveness,
    Readiness,
}

impl Aspect {
    /// The word for an answer.
    pub(crate) const fn word(self, is_green: bool) -> &'static str {
        match (self, is_green) {
            (Self::Startup, true) => "started",
            (Self::Startup, false) => "not started",
            (Self::Liveness, true) => "live",
            (Self::Liveness, false) => "not live",
            (Self::Readiness, true) => "ready",
            (Self::Readiness, false) => "not ready",
        }
    }
}

/// The inputs of a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) condition: Condition,
    /// The start latch.
    pub(crate) started: bool,
    pub(crate) phase: Phase,
    pub(crate) paused: bool,
    /// A vital subsystem is dead or stale, and not pending.
    pub(crate) vital_dead: bool,
}

/// The answers that follow from a snapshot, for traffic, probes and
/// supervisors.
///
/// The truth table, by [condition](Condition); the rows in italics change only
/// the cells that they fill:
///
/// | | traffic (default) | startup | liveness | readiness | healthy |
/// |---|---|---|---|---|---|
/// | starting | refuse | no | yes | no | no |
/// | ready, degraded | admit | yes, latched | yes | yes | yes |
/// | failing, after start | refuse | yes | yes | no | yes |
/// | *paused, draining, closing* | | | | no | |
/// | *closed* | refuse | | | no | |
/// | *a vital subsystem is dead or stale* | | | no | no | no |
///
/// Startup and healthy follow the start latch alone: while only a
/// [shared](crate::Role::Shared) dependency has never been up, they are green
/// although the condition is `starting`. A vital subsystem that is still
/// [pending](crate::SubsystemView::is_pending) does not make liveness red.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    facts: Facts,
    reasons: Reasons,
}

impl Verdict {
    /// Collects the reasons. All surfaces read their answers from the result.
    pub(crate) fn from_facts(facts: Facts) -> Self {
        let by_condition = match facts.condition {
            Condition::Ready | Condition::Degraded => None,
            Condition::Starting => Some(Reason::Starting),
            Condition::Failing => Some(Reason::Failing),
        };
        let by_phase = match facts.phase {
            Phase::Starting | Phase::Started => None,
            Phase::Draining => Some(Reason::Draining),
            Phase::Closing => Some(Reason::Closing),
            Phase::Closed => Some(Reason::Closed),
        };
        let by_pause = facts.paused.then_some(Reason::Paused);
        let reasons = [by_condition, by_phase, by_pause].into_iter().flatten();
        let reasons = reasons.fold(Reasons::NONE, Reasons::with);
        Self { facts, reasons }
    }

    /// Returns the condition that follows from the states of the subsystems.
    pub const fn condition(&self) -> Condition {
        self.facts.condition
    }

    /// Returns the phase of the process.
    pub const fn phase(&self) -> Phase {
        self.facts.phase
    }

    /// Returns the startup answer (`/startupz`): whether the start latch has closed.
    /// Once true it stays true.
    pub const fn has_started(&self) -> bool {
        self.facts.started
    }

    /// Returns the liveness answer (`/livez`): false only while a vital subsystem is
    /// dead or stale.
    pub const fn is_live(&self) -> bool {
        !self.facts.vital_dead
    }

    /// Returns the readiness answer (`/readyz`).
    pub const fn is_ready(&self) -> bool {
        self.reasons.is_empty() && self.is_live()
    }

    /// Returns the answer for a supervisor that *replaces* an unhealthy process, such
    /// as a container health check: started and live. It stays true while the
    /// process drains or fails, because replacing the process would not help.
    pub const fn is_healthy(&self) -> bool {
        self.has_started() && self.is_live()
    }

    pub(crate) const fn is_green(&self, aspect: Aspect) -> bool {
        match aspect {
            Aspect::Startup => self.has_started(),
            Aspect::Liveness => self.is_live(),
            Aspect::Readiness => self.is_ready(),
        }
    }

    /// Whether waiting for `reason` to pass can help. Phases never go back, and
    /// a scope that had not started when the process began to drain never
    /// starts.
    pub(crate) const fn can_pass(&self, reason: Reason) -> bool {
        match reason {
            Reason::Starting => self.has_started() || !self.is_leaving(),
            Reason::Failing | Reason::Paused | Reason::Saturated => true,
            Reason::Draining | Reason::Closing | Reason::Closed => false,
        }
    }

    const fn is_leaving(&self) -> bool {
        matches!(
            self.phase(),
            Phase::Draining | Phase::Closing | Phase::Closed
        )
    }

    /// Returns the reasons for a gate to hold or refuse a request; empty if the gate
    /// admits at once.
    pub const fn reasons(&self) -> Reasons {
        self.reasons
    }
}

/// A set of [`Reason`]s, iterated in their order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Reasons(u8);

impl Reasons {
    pub(crate) const NONE: Self = Self(0);

    #[cfg(feature = "gate")]
    pub(crate) const ALL: Self = Self(u8::MAX);

    pub(crate) const fn with(self, reason: Reason) -> Self {
        Self(self.0 | Self::bit(reason))
    }

    const fn bit(reason: Reason) -> u8 {
        const { assert!(Reason::ALL.len() <= u8::BITS as usize) };
        1 << reason as u8
    }

    #[cfg(feature = "gate")]
    pub(crate) const fn union(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    #[cfg(feature = "gate")]
    pub(crate) const fn intersection(self, others: Self) -> Self {
        Self(self.0 & others.0)
    }

    /// The reasons of this set that `others` does not contain.
    pub(crate) const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether the set contains `reason`.
    pub const fn contains(self, reason: Reason) -> bool {
        self.0 & Self::bit(reason) != 0
    }

    /// The reasons, in the order in which a gate looks up their actions.
    pub fn iter(self) -> impl Iterator<Item = Reason> {
        let all = Reason::ALL.iter().copied();
        all.filter(move |reason| self.contains(*reason))
    }
}

impl fmt::Debug for Reasons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONDITIONS: [Condition; 4] = [
        Condition::Starting,
        Condition::Ready,
        Condition::Degraded,
        Condition::Failing,
    ];
    const PHASES: [Phase; 5] = [
        Phase::Starting,
        Phase::Started,
        Phase::Draining,
        Phase::Closing,
        Phase::Closed,
    ];

    fn every_combination() -> impl Iterator<Item = Facts> {
        CONDITIONS.into_iter().flat_map(|condition| {
            PHASES.into_iter().flat_map(move |phase| {
                (0..8).map(move |bits| Facts {
                    condition,
                    started: bits & 1 != 0,
                    phase,
                    paused: bits & 2 != 0,
                    vital_dead: bits & 4 != 0,
                })
            })
        })
    }

    /// `(traffic refused by default, startup, live, ready, healthy)`
    fn row(verdict: Verdict) -> (bool, bool, bool, bool, bool) {
        let refused = [Reason::Closed, Reason::Starting, Reason::Failing]
            .into_iter()
            .any(|reason| verdict.reasons().contains(reason));
        (
            refused,
            verdict.has_started(),
            verdict.is_live(),
            verdict.is_ready(),
            verdict.is_healthy(),
        )
    }

    fn facts(condition: Condition, started: bool) -> Facts {
        Facts {
            condition,
            started,
            phase: if started {
                Phase::Started
            } else {
                Phase::Starting
            },
            paused: false,
            vital_dead: false,
        }
    }

    #[cfg(feature = "gate")]
    #[test]
    fn a_union_has_the_reasons_of_both_sets() {
        let [starting, failing] =
            [Reason::Starting, Reason::Failing].map(|reason| Reasons::NONE.with(reason));
        let both = starting.with(Reason::Failing);
        assert_eq!(both.union(starting), both);
        assert_eq!(starting.union(failing), both);
    }

    #[test]
    fn the_rows_by_condition() {
        let row_of = |condition, started| row(Verdict::from_facts(facts(condition, started)));
        assert_eq!(
            row_of(Condition::Starting, false),
            (true, false, true, false, false)
        );
        assert_eq!(
            row_of(Condition::Starting, true),
            (true, true, true, false, true)
        );
        assert_eq!(
            row_of(Condition::Ready, true),
            (false, true, true, true, true)
        );
        assert_eq!(
            row_of(Condition::Degraded, true),
            (false, true, true, true, true)
        );
        assert_eq!(
            row_of(Condition::Failing, true),
            (true, true, true, false, true)
        );
    }

    #[test]
    fn a_pause_turns_only_readiness_red() {
        for facts in every_combination().filter(|facts| !facts.paused) {
            let (refused, startup, live, _, healthy) = row(Verdict::from_facts(facts));
            let paused = Verdict::from_facts(Facts {
                paused: true,
                ..facts
            });
            assert_eq!(row(paused), (refused, startup, live, false, healthy));
            assert!(paused.reasons().contains(Reason::Paused));
        }
    }

    #[test]
    fn draining_and_closing_turn_readiness_red_and_only_closed_refuses() {
        for facts in every_combination().filter(|facts| facts.phase == Phase::Started) {
            let (refused, startup, live, _, healthy) = row(Verdict::from_facts(facts));
            for phase in [Phase::Draining, Phase::Closing] {
                let left = Verdict::from_facts(Facts { phase, ..facts });
                assert_eq!(row(left), (refused, startup, live, false, healthy));
            }
            let closed = Verdict::from_facts(Facts {
                phase: Phase::Closed,
                ..facts
            });
            assert_eq!(row(closed), (true, startup, live, false, healthy));
        }
    }

    #[test]
    fn a_dead_vital_subsystem_turns_all_but_startup_red_and_refuses_nothing() {
        for facts in every_combination().filter(|facts| !facts.vital_dead) {
            let (refused, startup, ..) = row(Verdict::from_facts(facts));
            let dead = Verdict::from_facts(Facts {
                vital_dead: true,
                ..facts
            });
            assert_eq!(row(dead), (refused, startup, false, false, false));
        }
    }

    #[test]
    fn a_ready_verdict_has_no_reasons() {
        for facts in every_combination() {
            let verdict = Verdict::from_facts(facts);
            if verdict.is_ready() {
                assert!(verdict.reasons().is_empty(), "{facts:?}");
            }
        }
    }

    #[test]
    fn reasons_come_in_the_order_of_their_severity() {
        let verdict = Verdict::from_facts(Facts {
            condition: Condition::Failing,
            started: true,
            phase: Phase::Closed,
            paused: true,
            vital_dead: false,
        });
        let reasons: Vec<_> = verdict.reasons().iter().collect();
        assert_eq!(reasons, [Reason::Closed, Reason::Failing, Reason::Paused]);
        assert_eq!(
            format!("{:?}", verdict.reasons()),
            "{Closed, Failing, Paused}"
        );
    }
}
