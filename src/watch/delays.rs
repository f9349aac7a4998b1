use std::{collections::VecDeque, iter::successors, time::Duration};

/// The delays of a task that asks for a turn at a fixed interval, over a window
/// of time.
///
/// While the task gets no turn, it cannot ask for the next. If only measured
/// delays counted, the longest delay would be one of many, however much of the
/// time it took; so the turns that were due meanwhile count as well.
#[derive(Debug)]
pub(super) struct Delays {
    every: Duration,
    window: usize,
    delays: VecDeque<Duration>,
}

impl Delays {
    /// Keeps the delays of the last `window` turns, which are due `every` so
    /// often.
    pub(super) fn new(window: usize, every: Duration) -> Self {
        Self {
            every,
            window,
            delays: VecDeque::with_capacity(window),
        }
    }

    /// Adds a turn that came this late, and all turns that were due meanwhile.
    /// Of a delay longer than the window, the beginning counts.
    pub(super) fn push(&mut self, late: Duration) {
        let all = successors(Some(late), |late| late.checked_sub(self.every));
        for delay in all.take(self.window) {
            if self.is_full() {
                self.delays.pop_front();
            }
            self.delays.push_back(delay);
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.delays.len() >= self.window
    }

    /// The shortest delay that `percent` of all do not exceed (the nearest
    /// rank), or zero if there is none.
    pub(super) fn percentile(&self, percent: usize) -> Duration {
        let mut sorted: Vec<_> = self.delays.iter().copied().collect();
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

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn delays() -> Delays {
        Delays::new(100, millis(200))
    }

    fn delays_of(range: std::ops::RangeInclusive<u64>) -> Delays {
        let mut delays = delays();
        range.for_each(|late| delays.push(millis(late)));
        delays
    }

    #[test]
    fn percentiles_are_by_the_nearest_rank() {
        let delays = delays_of(1..=100);
        assert_eq!(delays.percentile(50), millis(50));
        assert_eq!(delays.percentile(99), millis(99));
        assert_eq!(delays_of(7..=7).percentile(50), millis(7));
        assert_eq!(self::delays().percentile(99), Duration::ZERO);
    }

    #[test]
    fn the_oldest_delays_are_dropped() {
        let delays = delays_of(1..=150);
        assert!(delays.is_full());
        assert_eq!(delays.percentile(1), millis(51));
        assert!(!delays_of(1..=99).is_full());
    }

    #[test]
    fn turns_due_meanwhile_count_too() {
        let mut delays = delays();
        for late in [199, 650, 200] {
            delays.push(millis(late));
        }
        let all = [199, 650, 450, 250, 50, 200, 0].map(millis);
        assert_eq!(delays.delays, all);
    }

    #[test]
    fn delays_have_the_part_of_the_window_that_they_took() {
        let mut delays = delays();
        // For 18 seconds of 20.
        delays.push(millis(17_999));
        (0..10).for_each(|_| delays.push(millis(0)));
        assert!(delays.is_full());
        assert_eq!(delays.percentile(50), millis(7_999));
        assert_eq!(delays.percentile(99), millis(17_799));
    }

    #[test]
    fn a_delay_that_is_longer_than_the_window_takes_all_of_it() {
        let mut delays = delays();
        delays.push(Duration::MAX);
        assert!(delays.is_full());
        assert_eq!(delays.percentile(1), Duration::MAX - 99 * millis(200));
    }
}
