use std::time::Duration;
use thiserror::Error;

/// The bounds within which a [`ReadinessLayer`](crate::ReadinessLayer) reads the
/// body of an HTTP/1 request that it refuses or that asks for a probe.
///
/// The layer reads and drops such a body, so that the client gets the whole answer
/// and loses no later request; see [the module
/// documentation](crate::gate#the-body-of-a-refused-request).
///
/// | | default | |
/// |---|---|---|
/// | [`drain_silence`](Self::drain_silence) | 300 ms | without a byte, before the answer |
/// | [`drain_time`](Self::drain_time) | 2 s | in all, before the answer |
/// | [`drain_bytes`](Self::drain_bytes) | 64 MiB | before the answer |
/// | [`linger_silence`](Self::linger_silence) | 5 s | without a byte, after the answer |
/// | [`linger_time`](Self::linger_time) | 30 s | in all, after the answer |
/// | [`max_lingering`](Self::max_lingering) | 1,024 | bodies of a layer that are read after their answers |
///
/// The silence before the answer is longer than the 44 ms after which nginx
/// sends the second packet of a request. The times after the answer are those
/// of nginx's `lingering_timeout` and `lingering_time`.
///
/// ```
/// # use std::time::Duration;
/// # use tower_readiness::{Readiness, ReadinessLayer, Subsystem};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let readiness = Readiness::builder().subsystem(Subsystem::new("storage")).build()?;
/// use tower_readiness::gate::UnreadBody;
///
/// let bounds = UnreadBody::new()
///     .drain_time(Duration::from_secs(1))?
///     .max_lingering(100);
/// let layer = ReadinessLayer::new(&readiness).unread_body(bounds);
/// # Ok(())
/// # }
/// ```
///
/// Time is tokio's. Outside of a tokio runtime, and on one whose timers are not
/// enabled, the layer drops the bytes that have arrived and does not wait for more.
/// tokio reports disabled timers by a panic, which the layer catches; a program
/// that aborts on panics uses [`ignore`](Self::ignore) on such a runtime.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadBody(pub(super) Option<Bounds>);

/// Why a bound of [`UnreadBody`] is not valid.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnreadBodyError {
    /// The time is zero, which would cut off every body that has not arrived yet.
    #[error("a time of zero reads nothing; use `UnreadBody::ignore()` to leave bodies unread")]
    NoTime,
    /// The time is longer than ten minutes.
    #[error("a body is read for at most {} seconds, not {time:?}", Bounds::LONGEST.as_secs())]
    LongTime {
        /// The time that was given.
        time: Duration,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) drain_silence: Duration,
    pub(super) drain_time: Duration,
    pub(super) drain_bytes: u64,
    pub(super) linger_silence: Duration,
    pub(super) linger_time: Duration,
    pub(super) max_lingering: usize,
}

impl Bounds {
    const LONGEST: Duration = Duration::from_secs(600);

    const DEFAULT: Self = Self {
        drain_silence: Duration::from_millis(300),
        drain_time: Duration::from_secs(2),
        drain_bytes: 64 * 1024 * 1024,
        linger_silence: Duration::from_secs(5),
        linger_time: Duration::from_secs(30),
        max_lingering: 1_024,
    };
}

impl UnreadBody {
    /// Returns the default bounds.
    pub fn new() -> Self {
        Self(Some(Bounds::DEFAULT))
    }

    /// Leaves bodies unread, so that hyper closes the connection where the body has
    /// not arrived in whole. Meant for servers that read unread bodies themselves.
    ///
    /// Setting a bound afterwards has no effect.
    pub fn ignore() -> Self {
        Self(None)
    }

    /// Sets how long the layer waits for the next bytes before it answers.
    ///
    /// # Errors
    ///
    /// [`NoTime`](UnreadBodyError::NoTime) for zero, and
    /// [`LongTime`](UnreadBodyError::LongTime) for more than ten minutes. The
    /// same holds for the other times.
    pub fn drain_silence(self, silence: Duration) -> Result<Self, UnreadBodyError> {
        self.time(silence, |bounds| &mut bounds.drain_silence)
    }

    /// Sets how long the layer reads in all before it answers. The answer to a slow
    /// upload is late by at most this time.
    ///
    /// # Errors
    ///
    /// Those of [`drain_silence`](Self::drain_silence).
    pub fn drain_time(self, time: Duration) -> Result<Self, UnreadBodyError> {
        self.time(time, |bounds| &mut bounds.drain_time)
    }

    /// Sets how many bytes the layer reads before it answers. A request whose body
    /// announces more is answered at once, and its body read after that.
    pub fn drain_bytes(self, bytes: u64) -> Self {
        self.set(|bounds| bounds.drain_bytes = bytes)
    }

    /// Sets how long a body that is read after its answer may pause.
    ///
    /// # Errors
    ///
    /// Those of [`drain_silence`](Self::drain_silence).
    pub fn linger_silence(self, silence: Duration) -> Result<Self, UnreadBodyError> {
        self.time(silence, |bounds| &mut bounds.linger_silence)
    }

    /// Sets how long the layer reads a body in all after its answer.
    ///
    /// # Errors
    ///
    /// Those of [`drain_silence`](Self::drain_silence).
    pub fn linger_time(self, time: Duration) -> Result<Self, UnreadBodyError> {
        self.time(time, |bounds| &mut bounds.linger_time)
    }

    /// Sets how many bodies all services of a layer together read after their
    /// answers at the same time. A further body is dropped with its answer. With
    /// zero, every body is.
    pub fn max_lingering(self, max_lingering: usize) -> Self {
        self.set(|bounds| bounds.max_lingering = max_lingering)
    }

    fn time(
        self,
        time: Duration,
        field: impl FnOnce(&mut Bounds) -> &mut Duration,
    ) -> Result<Self, UnreadBodyError> {
        if time.is_zero() {
            return Err(UnreadBodyError::NoTime);
        }
        if time > Bounds::LONGEST {
            return Err(UnreadBodyError::LongTime { time });
        }
        Ok(self.set(|bounds| *field(bounds) = time))
    }

    fn set(self, change: impl FnOnce(&mut Bounds)) -> Self {
        Self(self.0.map(|mut bounds| {
            change(&mut bounds);
            bounds
        }))
    }
}

impl Default for UnreadBody {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_zero_and_beyond_ten_minutes_are_errors() {
        type Set = fn(UnreadBody, Duration) -> Result<UnreadBody, UnreadBodyError>;
        for set in [
            UnreadBody::drain_silence as Set,
            UnreadBody::drain_time,
            UnreadBody::linger_silence,
            UnreadBody::linger_time,
        ] {
            let set = |time| set(UnreadBody::new(), time);
            assert_eq!(set(Duration::ZERO), Err(UnreadBodyError::NoTime));
            let time = Duration::from_secs(601);
            assert_eq!(set(time), Err(UnreadBodyError::LongTime { time }));
            assert_ne!(set(Duration::from_secs(600)).unwrap(), UnreadBody::new());
        }
    }
}
