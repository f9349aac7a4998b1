use std::collections::VecDeque;
use tokio::time::{Duration, Instant};

/// What has happened so far. Only ever grows.
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

/// Slides over totals that somebody else counts, by remembering what they were.
///
/// What happened lately is what there is now, less what there was then. So it
/// does not matter who takes samples, how many do, or whether one comes late:
/// the window is then longer, and says so.
#[derive(Debug)]
pub(crate) struct Window {
    /// Oldest first. The first is as old as the window is long, or older; or
    /// the beginning. Never empty.
    samples: VecDeque<(Instant, Totals)>,
}

impl Window {
    /// Five minutes smooth out what a single slow scrape or retry does, and
    /// still forget an incident while people look at it.
    pub(crate) const LENGTH: Duration = Duration::from_secs(300);
    /// 60 samples a window: it is longer than it should be by at most a
    /// sixtieth.
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

    /// Remembers what the totals are, if a sample is due.
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

    /// What has happened in the last `length`, or in as long as is known of;
    /// and how long that is.
    pub(crate) fn over(
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
    fn run(window: &mut Window, begin: Instant, seconds: std::ops::Range<u32>) {
        for second in seconds {
            window.sample(begin + SECOND * second, answered(second.into()));
        }
    }

    #[test]
    fn a_young_window_says_how_young_it_is() {
        let begin = Instant::now();
        let mut window = Window::new(begin, answered(0));
        run(&mut window, begin, 0..8);
        let now = begin + 7 * SECOND;
        let (totals, length) = window.over(Window::LENGTH, now, answered(7));
        assert_eq!((totals, length), (answered(7), 7 * SECOND));
    }

    #[test]
    fn what_is_older_than_the_window_is_forgotten() {
        let begin = Instant::now();
        let mut window = Window::new(begin, answered(0));
        run(&mut window, begin, 0..1_001);
        for second in 1_001..1_006 {
            let now = begin + SECOND * second;
            window.sample(now, answered(second.into()));
            let (totals, length) = window.over(Window::LENGTH, now, answered(second.into()));
            assert!(length >= Window::LENGTH && length < Window::LENGTH + Window::EVERY);
            assert_eq!(totals.answered, length.as_secs(), "one a second");
        }
        assert_eq!(window.samples.len(), 61);
    }

    #[test]
    fn part_of_the_window_can_be_looked_at() {
        let begin = Instant::now();
        let mut window = Window::new(begin, answered(0));
        run(&mut window, begin, 0..1_001);
        let now = begin + 1_000 * SECOND;
        let (totals, length) = window.over(60 * SECOND, now, answered(1_000));
        assert_eq!((totals, length), (answered(60), 60 * SECOND));
    }

    #[test]
    fn samples_that_are_not_due_change_nothing() {
        let begin = Instant::now();
        let mut window = Window::new(begin, answered(0));
        for millis in 0..4_999 {
            window.sample(begin + Duration::from_millis(millis), answered(millis));
        }
        assert_eq!(window.samples.len(), 1);
        assert_eq!(window.next_sample(), begin + Window::EVERY);
    }

    #[test]
    fn a_late_sample_makes_the_window_longer_not_wrong() {
        let begin = Instant::now();
        let mut window = Window::new(begin, answered(0));
        run(&mut window, begin, 0..401);
        // Nobody looks for an hour.
        let now = begin + 4_000 * SECOND;
        let looked = window.over(Window::LENGTH, now, answered(4_000));
        assert_eq!(looked, (answered(3_600), 3_600 * SECOND));
        window.sample(now, answered(4_000));
        assert_eq!(window.over(Window::LENGTH, now, answered(4_000)), looked);
        let later = now + Window::LENGTH;
        let (totals, length) = window.over(Window::LENGTH, later, answered(4_001));
        assert_eq!((totals, length), (answered(1), Window::LENGTH));
    }

    #[test]
    fn a_clock_that_reads_early_harms_nothing() {
        let begin = Instant::now() + 10 * SECOND;
        let mut window = Window::new(begin, answered(5));
        let early = begin - SECOND;
        window.sample(early, answered(4));
        let looked = window.over(Window::LENGTH, early, answered(4));
        assert_eq!(looked, (answered(0), Duration::ZERO));
    }
}
