use std::{
    io::{self, ErrorKind},
    time::{Duration, Instant},
};

/// The time by which an exchange has to be over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    /// `None` if the deadline is beyond the range of `Instant`.
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

    /// Returns the timeout that the deadline was made with.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Returns the time that is left, or `TimedOut` instead of zero: sockets
    /// reject zero as a timeout.
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
    fn an_expired_deadline_is_an_error() {
        let error = Deadline::after(Duration::ZERO).left().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }

    #[test]
    fn a_deadline_beyond_the_range_of_instants_never_expires() {
        assert_eq!(Deadline::after(Duration::MAX).left().unwrap(), None);
    }

    #[test]
    fn the_time_left_is_at_most_the_timeout() {
        let hour = Duration::from_secs(3_600);
        let left = Deadline::after(hour).left().unwrap().unwrap();
        assert!(left <= hour && !left.is_zero());
    }
}
