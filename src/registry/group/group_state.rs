//! The state of a group, by the counts of its members.

use super::{share_or_number::Quorum, table::MAX_MEMBERS};
use crate::{
    registry::SettingError,
    state::{MemberCounts, State},
};

/// The thresholds of a group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Thresholds {
    pub(super) degraded_below: Quorum,
    pub(super) failing_below: Option<Quorum>,
    /// How far above a threshold the group recovers from it.
    pub(super) margin: Option<Quorum>,
    pub(super) at_least: usize,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            degraded_below: Quorum::Share(1.0),
            failing_below: None,
            margin: None,
            at_least: 0,
        }
    }
}

impl Thresholds {
    pub(super) fn validate(&self) -> Result<(), SettingError> {
        validate("degraded_below", self.degraded_below)?;
        for (what, quorum) in [
            ("failing_below", self.failing_below),
            ("recovery margin", self.margin),
            ("at_least", Some(Quorum::Members(self.at_least))),
        ] {
            quorum.map_or(Ok(()), |quorum| validate(what, quorum))?;
        }
        let (degraded, failing) = (self.degraded_below, self.failing_below);
        let in_order = match (degraded, failing) {
            (Quorum::Share(degraded), Some(Quorum::Share(failing))) => failing <= degraded,
            (Quorum::Members(degraded), Some(Quorum::Members(failing))) => failing <= degraded,
            // A share and a number compare only once the members are known.
            _ => true,
        };
        match failing {
            Some(failing) if !in_order => Err(SettingError::ThresholdOrder { degraded, failing }),
            _ => Ok(()),
        }
    }

    /// The state of a group, of which `previous` is the state before. `been_up` tells
    /// whether the group has been ready or degraded.
    pub(super) fn state(&self, counts: &MemberCounts, previous: State, been_up: bool) -> State {
        let (ready, total) = (counts.ready(), counts.total());
        let is_below = |threshold: Quorum, recovers: bool| {
            let needed = threshold.of(total);
            let margin = self.margin.filter(|_| recovers && been_up);
            let margin = margin.map_or(0, |margin| margin.of(total));
            // A group whose members are all ready recovers, however large the margin is.
            total > 0 && ready < (needed + margin).min(needed.max(total))
        };
        let fails = |threshold| is_below(threshold, !previous.is_up());
        if ready < self.at_least || self.failing_below.is_some_and(fails) {
            let waits = counts.in_state(State::Starting) + ready == total;
            return if waits && !been_up {
                State::Starting
            } else {
                State::Failing
            };
        }
        if is_below(self.degraded_below, previous != State::Ready) {
            State::Degraded
        } else {
            State::Ready
        }
    }
}

/// Checks a setting of the name `what`.
fn validate(what: &'static str, quorum: Quorum) -> Result<(), SettingError> {
    match quorum {
        Quorum::Share(given) if !(0.0..=1.0).contains(&given) => {
            Err(SettingError::Fraction { what, given })
        }
        Quorum::Members(given) if given > MAX_MEMBERS => Err(SettingError::TooManyMembers {
            what,
            given,
            most: MAX_MEMBERS,
        }),
        Quorum::Share(_) | Quorum::Members(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(ready: usize, starting: usize, failing: usize) -> MemberCounts {
        let mut counts = MemberCounts::default();
        for (state, count) in [
            (State::Ready, ready),
            (State::Starting, starting),
            (State::Failing, failing),
        ] {
            (0..count).for_each(|_| counts.add(state));
        }
        counts
    }

    fn shares() -> Thresholds {
        Thresholds {
            degraded_below: Quorum::Share(0.9),
            failing_below: Some(Quorum::Share(0.1)),
            ..Thresholds::default()
        }
    }

    #[test]
    fn a_threshold_itself_is_not_below_it() {
        let state = |ready| shares().state(&counts(ready, 0, 100 - ready), State::Ready, true);
        assert_eq!([90, 89].map(state), [State::Ready, State::Degraded]);
        assert_eq!([10, 9].map(state), [State::Degraded, State::Failing]);
    }

    #[test]
    fn numbers_count_members() {
        let thresholds = Thresholds {
            degraded_below: Quorum::Members(3),
            failing_below: Some(Quorum::Members(2)),
            ..Thresholds::default()
        };
        let state = |ready| thresholds.state(&counts(ready, 0, 50), State::Ready, true);
        assert_eq!(
            [3, 2, 1].map(state),
            [State::Ready, State::Degraded, State::Failing]
        );
    }

    #[test]
    fn an_empty_group_is_ready_unless_it_needs_members() {
        let empty = MemberCounts::default();
        let numbers = Thresholds {
            degraded_below: Quorum::Members(3),
            ..shares()
        };
        for thresholds in [Thresholds::default(), shares(), numbers] {
            assert_eq!(
                thresholds.state(&empty, State::Starting, false),
                State::Ready
            );
        }
        let needs = Thresholds {
            at_least: 2,
            ..shares()
        };
        assert_eq!(needs.state(&empty, State::Starting, false), State::Starting);
        assert_eq!(needs.state(&empty, State::Ready, true), State::Failing);
        let state = |ready| needs.state(&counts(ready, 0, 0), State::Ready, true);
        assert_eq!([1, 2].map(state), [State::Failing, State::Ready]);
    }

    #[test]
    fn a_group_that_was_never_up_starts_until_a_member_fails() {
        let state = |counts, been_up| shares().state(&counts, State::Starting, been_up);
        assert_eq!(state(counts(0, 5, 0), false), State::Starting);
        assert_eq!(state(counts(0, 4, 1), false), State::Failing);
        assert_eq!(state(counts(0, 5, 0), true), State::Failing);
    }

    #[test]
    fn with_a_margin_a_group_recovers_above_its_threshold() {
        let thresholds = Thresholds {
            margin: Some(Quorum::Share(0.05)),
            ..shares()
        };
        let after =
            |previous, ready| thresholds.state(&counts(ready, 0, 100 - ready), previous, true);
        assert_eq!(after(State::Ready, 90), State::Ready);
        assert_eq!(after(State::Degraded, 94), State::Degraded);
        assert_eq!(after(State::Degraded, 95), State::Ready);
        assert_eq!(after(State::Failing, 14), State::Failing);
        assert_eq!(after(State::Failing, 15), State::Degraded);
        let wide = Thresholds {
            margin: Some(Quorum::Share(1.0)),
            ..shares()
        };
        let all = wide.state(&counts(100, 0, 0), State::Degraded, true);
        assert_eq!(all, State::Ready);
        // The first time up needs no margin.
        let first = thresholds.state(&counts(10, 90, 0), State::Starting, false);
        assert_eq!(first, State::Degraded);
    }

    #[test]
    fn invalid_thresholds_are_named() {
        let invalid = |degraded_below, failing_below| {
            let thresholds = Thresholds {
                degraded_below,
                failing_below: Some(failing_below),
                ..Thresholds::default()
            };
            thresholds.validate().unwrap_err()
        };
        assert_eq!(
            invalid(Quorum::Share(1.1), Quorum::Share(0.1)),
            SettingError::Fraction {
                what: "degraded_below",
                given: 1.1
            }
        );
        assert!(matches!(
            invalid(Quorum::Share(0.9), Quorum::Share(f64::NAN)),
            SettingError::Fraction {
                what: "failing_below",
                ..
            }
        ));
        let swapped = [
            (Quorum::Share(0.1), Quorum::Share(0.9)),
            (Quorum::Members(1), Quorum::Members(2)),
        ];
        for (degraded, failing) in swapped {
            let error = SettingError::ThresholdOrder { degraded, failing };
            assert_eq!(invalid(degraded, failing), error);
        }
        assert_eq!(
            invalid(Quorum::Members(MAX_MEMBERS + 1), Quorum::Share(0.1)),
            SettingError::TooManyMembers {
                what: "degraded_below",
                given: MAX_MEMBERS + 1,
                most: MAX_MEMBERS,
            }
        );
        assert_eq!(shares().validate(), Ok(()));
        assert_eq!(
            validate("failing_below", Quorum::Members(MAX_MEMBERS)),
            Ok(())
        );
    }
}
