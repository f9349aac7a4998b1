use std::time::Instant;

/// The times of two clocks, read together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    /// The clock of the current runtime, by which the deadlines are set.
    pub(crate) now: Instant,
    /// The real clock, which shows that the process was stopped.
    pub(crate) real: Instant,
    /// Whether they differ, because a test has paused the clock of the runtime.
    pub(crate) is_paused: bool,
}

impl Reading {
    pub(crate) fn take() -> Self {
        let before = Instant::now();
        let now = tokio::time::Instant::now().into_std();
        let real = Instant::now();
        Self {
            now,
            real,
            // A running clock shows a time between the two. A paused clock shows an
            // earlier time, or a later one if the test has advanced it.
            is_paused: !(before..=real).contains(&now),
        }
    }
}

#[cfg(all(test, not(tower_readiness_loom)))]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_clock_is_real_without_a_runtime() {
        assert!((0..1_000).all(|_| !Reading::take().is_paused));
    }

    #[tokio::test]
    async fn the_clock_is_real_until_a_test_pauses_it() {
        assert!((0..1_000).all(|_| !Reading::take().is_paused));
        tokio::time::pause();
        std::thread::sleep(Duration::from_millis(1));
        assert!(Reading::take().is_paused);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(Reading::take().is_paused);
    }
}
