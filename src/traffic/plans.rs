use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::time::Duration;

/// The times by which one shutdown plans the end of the process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// From the beginning of the drain until arrivals are late.
    pub(crate) late_after: Duration,
    /// The longest time from the beginning of the drain until the server has to stop
    /// accepting.
    pub(crate) longest_delay: Duration,
    /// From then until the requests still in flight are cut off.
    pub(crate) cap: Duration,
    /// From `Closed` until the shutdown stops waiting for a server that has nothing
    /// in flight.
    pub(crate) idle_grace: Duration,
}

/// Identifies a plan, to withdraw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PlanId(u64);

/// The plans of all shutdowns of a process.
#[derive(Debug, Default)]
pub(super) struct Plans(Mutex<List>);

#[derive(Debug, Default)]
struct List {
    /// In the order in which they were made.
    plans: Vec<Plan>,
    made: u64,
}

#[derive(Debug)]
struct Plan {
    id: PlanId,
    times: Times,
    /// Whether its shutdown was dropped while the process drained.
    abandoned: bool,
}

impl Plans {
    pub(super) fn add(&self, times: Times) -> PlanId {
        let mut list = self.lock();
        let id = PlanId(list.made);
        list.made += 1;
        list.plans.push(Plan {
            id,
            times,
            abandoned: false,
        });
        id
    }

    pub(super) fn remove(&self, id: PlanId) {
        self.lock().plans.retain(|plan| plan.id != id);
    }

    /// Makes a plan count only where all plans are abandoned.
    pub(super) fn abandon(&self, id: PlanId) {
        let mut list = self.lock();
        let plan = list.plans.iter_mut().find(|plan| plan.id == id);
        if let Some(plan) = plan {
            plan.abandoned = true;
        }
    }

    /// The times that count, or `None` without a plan. The delay is the shortest,
    /// because its shutdown completes first; the other times are those of the oldest
    /// plan.
    pub(super) fn times(&self) -> Option<Times> {
        let list = self.lock();
        let all_abandoned = list.plans.iter().all(|plan| plan.abandoned);
        let counting = list
            .plans
            .iter()
            .filter(|plan| all_abandoned || !plan.abandoned)
            .map(|plan| plan.times);
        counting.reduce(|first, other| Times {
            late_after: first.late_after.min(other.late_after),
            longest_delay: first.longest_delay.min(other.longest_delay),
            ..first
        })
    }

    fn lock(&self) -> MutexGuard<'_, List> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(delay: u64, cap: u64) -> Times {
        Times {
            late_after: Duration::from_secs(delay),
            longest_delay: Duration::from_secs(delay),
            cap: Duration::from_secs(cap),
            idle_grace: Duration::ZERO,
        }
    }

    /// The delay and the cap that count.
    fn counting(plans: &Plans) -> Option<(u64, u64)> {
        let times = plans.times()?;
        assert_eq!(times.late_after, times.longest_delay);
        Some((times.longest_delay.as_secs(), times.cap.as_secs()))
    }

    #[test]
    fn the_shortest_delay_counts_and_the_cap_of_the_first() {
        let plans = Plans::default();
        assert_eq!(counting(&plans), None);
        plans.add(times(5, 20));
        plans.add(times(3, 10));
        plans.add(times(7, 30));
        assert_eq!(counting(&plans), Some((3, 20)));
    }

    #[test]
    fn a_removed_plan_does_not_count() {
        let plans = Plans::default();
        let first = plans.add(times(1, 100));
        plans.add(times(5, 2));
        plans.remove(first);
        assert_eq!(counting(&plans), Some((5, 2)));
    }

    #[test]
    fn an_abandoned_plan_counts_where_there_is_no_other() {
        let plans = Plans::default();
        let first = plans.add(times(1, 100));
        plans.abandon(first);
        assert_eq!(counting(&plans), Some((1, 100)));
        let second = plans.add(times(5, 2));
        assert_eq!(counting(&plans), Some((5, 2)));
        plans.abandon(second);
        assert_eq!(counting(&plans), Some((1, 100)));
    }
}
