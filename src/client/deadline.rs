use std::{
    io::{self, ErrorKind},
    time::{Duration, Instant},
};

/// When an exchange has to be over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    /// `None` for one so far away that it cannot be told.
    at: Option<Instant>,
    timeout: Duration,
}

impl Deadline {
    pub(super) fn after(timeout: Duration) -> Self {
        Self {
            at: Instant::now().checked_add(timeout),
            timeout,
        }
    }

    /// What was given.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// How much of it is left: never nothing, which a socket would not take
    /// for a timeout.
    pub(super) fn left(&self) -> io::Result<Option<Duration>> {
        let Some(at) = self.at else { return Ok(None) };
        match at.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(ErrorKind::TimedOut.into()),
            left => Ok(Some(left)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_is_over() {
        let error = Deadline::after(Duration::ZERO).left().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }

    #[test]
    fn one_that_no_clock_reaches_is_never_over() {
        assert_eq!(Deadline::after(Duration::MAX).left().unwrap(), None);
    }

    #[test]
    fn what_is_left_is_no_more_than_what_was_given() {
        let hour = Duration::from_secs(3_600);
        let left = Deadline::after(hour).left().unwrap().unwrap();
        assert!(left <= hour && !left.is_zero());
    }
}
