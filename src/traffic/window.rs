use std::collections::VecDeque;
use tokio::time::{Duration, Instant};

/// The totals of a scope since it was first observed. They only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Totals {
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    /// For how long the gate refused while the subsystems' own checks passed.
    pub(crate) refusing: Duration,
}

impl Totals {
    fn since(self, earlier: Self) -> Self {
        Self {
            answered: self.answered.saturating_sub(earlier.answered),
            failed: self.failed.saturating_sub(earlier.failed),
            refusing: self.refusing.saturating_sub(earlier.refusing),
        }
    }
}

/// A sliding window over growing totals, made of samples of them.
///
/// The change within the window is the difference between the current totals and
/// an old sample. So several threads may take samples. After a late sample the
/// window is longer, and [`totals_over`](Self::totals_over) returns its length.
#[derive(Debug)]
pub(crate) struct OutcomeWindow {
    /// Oldest first and never empty. The first sample is at least as old as the
    /// window is long, or is the sample at the beginning.
    samples: VecDeque<(Instant, Totals)>,
}

impl OutcomeWindow {
    /// Five minutes smooth out a single slow scrape or retry, and still forget an
    /// incident while operators look at it.
    pub(crate) const LENGTH: Duration = Duration::from_secs(300);
    /// The time between samples. With 60 samples a window, it is too long by at most
    /// a sixtieth.
    pub(crate) const EVERY: Duration = Duration::from_secs(5);

    pub(crate) fn new(now: Instant, totals: Totals) -> Self {
        Self {
            samples: VecDeque::from([(now, totals)]),
        }
    }

    /// When the next sample is due.
    pub(crate) fn next_sample(&self) -> Instant {
        self.newest() + Self::EVERY
    }

    /// Adds `totals` as a sample, if a sample is due.
    pub(crate) fn sample(&mut self, now: Instant, totals: Totals) {
        if now < self.next_sample() {
            return;
        }
        self.samples.push_back((now, totals));
        while self
            .samples
            .get(1)
            .is_some_and(|(then, _)| *then + Self::LENGTH <= now)
        {
            self.samples.pop_front();
        }
    }

    /// The change of the totals in the last `length`, and the time that it really
    /// covers: longer after a late sample, and shorter in a young window.
    pub(crate) fn totals_over(
        &self,
        length: Duration,
        now: Instant,
        totals: Totals,
    ) -> (Totals, Duration) {
        let old = |sample: &&(Instant, Totals)| sample.0 + length <= now;
        let since = self.samples.iter().rev().find(old);
        let (then, earlier) = since
            .or(self.samples.front())
            .copied()
            .unwrap_or((now, totals));
        (totals.since(earlier), now.saturating_duration_since(then))
    }

    fn newest(&self) -> Instant {
        self.samples[self.samples.len() - 1].0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn answered(answered: u64) -> Totals {
        Totals {
            answered,
            ..Totals::default()
        }
    }

    /// One request is answered each second, and samples are taken when due.
    fn run(window: &mut OutcomeWindow, begin: Instant, seconds: std::ops::Range<u32>) {
        for second in seconds {
            window.sample(begin + SECOND * second, answered(second.into()));
        }
    }

    #[test]
    fn a_young_window_returns_its_length() {
        let begin = Instant::now();
        let mut window = OutcomeWindow::new(begin, answered(0));
        run(&mut window, begin, 0..8);
        let now = begin + 7 * SECOND;
        let (totals, length) = window.totals_over(OutcomeWindow::LENGTH, now, answered(7));
        assert_eq!((totals, length), (answered(7), 7 * SECOND));
    }

    #[test]
    fn samples_older_than_the_window_are_dropped() {
        let begin = Instant::now();
        let mut window = OutcomeWindow::new(begin, answered(0));
        run(&mut window, begin, 0..1_001);
        for second in 1_001..1_006 {
            let now = begin + SECOND * second;
            window.sample(now, answered(second.into()));
            let (totals, length) =
                window.totals_over(OutcomeWindow::LENGTH, now, answered(second.into()));
            assert!(
                length >= OutcomeWindow::LENGTH
                    && length < OutcomeWindow::LENGTH + OutcomeWindow::EVERY
            );
            assert_eq!(totals.answered, length.as_secs(), "one a second");
        }
        assert_eq!(window.samples.len(), 61);
    }

    #[test]
    fn totals_can_cover_a_part_of_the_window() {
        let begin = Instant::now();
        let mut window = OutcomeWindow::new(begin, answered(0));
        run(&mut window, begin, 0..1_001);
        let now = begin + 1_000 * SECOND;
        let (totals, length) = window.totals_over(60 * SECOND, now, answered(1_000));
        assert_eq!((totals, length), (answered(60), 60 * SECOND));
    }

    #[test]
    fn samples_that_are_not_due_change_nothing() {
        let begin = Instant::now();
        let mut window = OutcomeWindow::new(begin, answered(0));
        for millis in 0..4_999 {
            window.sample(begin + Duration::from_millis(millis), answered(millis));
        }
        assert_eq!(window.samples.len(), 1);
        assert_eq!(window.next_sample(), begin + OutcomeWindow::EVERY);
    }

    #[test]
    fn a_late_sample_makes_the_window_longer_not_wrong() {
        let begin = Instant::now();
        let mut window = OutcomeWindow::new(begin, answered(0));
        run(&mut window, begin, 0..401);
        // No sample is taken for an hour.
        let now = begin + 4_000 * SECOND;
        let late = window.totals_over(OutcomeWindow::LENGTH, now, answered(4_000));
        assert_eq!(late, (answered(3_600), 3_600 * SECOND));
        window.sample(now, answered(4_000));
        assert_eq!(
            window.totals_over(OutcomeWindow::LENGTH, now, answered(4_000)),
            late
        );
        let later = now + OutcomeWindow::LENGTH;
        let (totals, length) = window.totals_over(OutcomeWindow::LENGTH, later, answered(4_001));
        assert_eq!((totals, length), (answered(1), OutcomeWindow::LENGTH));
    }

    #[test]
    fn a_clock_that_reads_early_harms_nothing() {
        let begin = Instant::now() + 10 * SECOND;
        let mut window = OutcomeWindow::new(begin, answered(5));
        let early = begin - SECOND;
        window.sample(early, answered(4));
        let change = window.totals_over(OutcomeWindow::LENGTH, early, answered(4));
        assert_eq!(change, (answered(0), Duration::ZERO));
    }
}
