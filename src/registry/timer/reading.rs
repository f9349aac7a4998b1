use std::time::Instant;

/// What two clocks show at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    /// The clock of the runtime here, by which everything is due.
    pub(crate) now: Instant,
    /// The real one, by which a process that was frozen is told.
    pub(crate) real: Instant,
    /// They differ: tests have paused the first.
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
            // A clock that runs is read in between. One that is paused stands
            // at an earlier moment, unless it was moved to a later one.
            is_paused: !(before..=real).contains(&now),
        }
    }
}

#[cfg(all(test, not(tower_readiness_loom)))]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_clock_is_real_where_there_is_no_runtime() {
        assert!((0..1_000).all(|_| !Reading::take().is_paused));
    }

    #[tokio::test]
    async fn a_clock_is_real_until_it_is_paused_and_wherever_it_is_moved_to() {
        assert!((0..1_000).all(|_| !Reading::take().is_paused));
        tokio::time::pause();
        std::thread::sleep(Duration::from_millis(1));
        assert!(Reading::take().is_paused);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(Reading::take().is_paused);
    }
}
