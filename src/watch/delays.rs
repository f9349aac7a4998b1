use std::{collections::VecDeque, time::Duration};

/// The delays that were measured last.
#[derive(Debug)]
pub(super) struct Delays {
    window: usize,
    measured: VecDeque<Duration>,
}

impl Delays {
    /// Keeps this many.
    pub(super) fn new(window: usize) -> Self {
        Self {
            window,
            measured: VecDeque::with_capacity(window),
        }
    }

    pub(super) fn push(&mut self, delay: Duration) {
        if self.measured.len() == self.window {
            self.measured.pop_front();
        }
        self.measured.push_back(delay);
    }

    pub(super) fn is_full(&self) -> bool {
        self.measured.len() == self.window
    }

    /// The shortest delay that `percent` of all do not exceed (the nearest
    /// rank), or zero if there is none.
    pub(super) fn percentile(&self, percent: usize) -> Duration {
        let mut sorted: Vec<_> = self.measured.iter().copied().collect();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        if rank > sorted.len() {
            return Duration::ZERO;
        }
        *sorted.select_nth_unstable(rank - 1).1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(range: std::ops::RangeInclusive<u64>) -> Delays {
        let mut delays = Delays::new(100);
        range.for_each(|millis| delays.push(Duration::from_millis(millis)));
        delays
    }

    #[test]
    fn percentiles_are_by_the_nearest_rank() {
        let delays = millis(1..=100);
        assert_eq!(delays.percentile(50), Duration::from_millis(50));
        assert_eq!(delays.percentile(99), Duration::from_millis(99));
        assert_eq!(millis(7..=7).percentile(50), Duration::from_millis(7));
        assert_eq!(Delays::new(100).percentile(99), Duration::ZERO);
    }

    #[test]
    fn the_oldest_make_room() {
        let delays = millis(1..=150);
        assert!(delays.is_full());
        assert_eq!(delays.percentile(1), Duration::from_millis(51));
        assert!(!millis(1..=99).is_full());
    }
}
