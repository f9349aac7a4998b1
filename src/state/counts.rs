use super::vocabulary::Condition;
use std::ops::{AddAssign, SubAssign};

/// The number of members of a scope, by their effect on it.
///
/// Counts can be subtracted, so a report costs the same for any number of
/// subsystems, and a probe can leave some of them out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Members that hold up the start latch.
    pub(crate) absent: u32,
    /// Shared members that have never been up, and keep the condition at
    /// starting even after the latch has closed.
    pub(crate) awaited: u32,
    /// Members that count as failing once the scope has started.
    pub(crate) failing: u32,
    /// Members that degrade the scope.
    pub(crate) degraded: u32,
    /// Vital members that are dead or stale.
    pub(crate) vital_dead: u32,
    /// Checked members that are up.
    pub(crate) checked_up: u32,
    /// Checked members that are not up.
    pub(crate) checked_down: u32,
}

impl Counts {
    pub(crate) const fn condition(&self, started: bool) -> Condition {
        if !started || self.awaited > 0 {
            Condition::Starting
        } else if self.failing > 0 {
            Condition::Failing
        } else if self.degraded > 0 {
            Condition::Degraded
        } else {
            Condition::Ready
        }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.absent += other.absent;
        self.awaited += other.awaited;
        self.failing += other.failing;
        self.degraded += other.degraded;
        self.vital_dead += other.vital_dead;
        self.checked_up += other.checked_up;
        self.checked_down += other.checked_down;
    }
}

impl SubAssign for Counts {
    fn sub_assign(&mut self, other: Self) {
        self.absent -= other.absent;
        self.awaited -= other.awaited;
        self.failing -= other.failing;
        self.degraded -= other.degraded;
        self.vital_dead -= other.vital_dead;
        self.checked_up -= other.checked_up;
        self.checked_down -= other.checked_down;
    }
}

#[cfg(all(test, not(tower_readiness_loom)))]
mod tests {
    use super::*;

    #[test]
    fn each_number_is_added_and_subtracted() {
        let member = Counts {
            absent: 1,
            awaited: 2,
            failing: 3,
            degraded: 4,
            vital_dead: 5,
            checked_up: 6,
            checked_down: 7,
        };
        let mut counts = member;
        counts += member;
        assert_ne!(counts, member);
        counts -= member;
        assert_eq!(counts, member);
        counts -= member;
        assert_eq!(counts, Counts::default());
    }
}
