use super::vocabulary::Condition;
use std::ops::{AddAssign, SubAssign};

/// What the members of a scope add up to, as counts.
///
/// Counts can be taken back, so a report costs the same however many
/// subsystems there are, and a probe can leave some of them out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Holds up the start latch.
    pub(crate) absent: u32,
    /// Has never been up, and is waited for beyond the latch.
    pub(crate) awaited: u32,
    /// Counts as failing once started.
    pub(crate) failing: u32,
    /// Degrades.
    pub(crate) degraded: u32,
    /// A vital subsystem that is dead or stale.
    pub(crate) vital_dead: u32,
    /// Is checked, and up.
    pub(crate) checked_up: u32,
    /// Is checked, and not up.
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
