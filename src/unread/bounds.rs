use crate::registry::{SettingError, waited};
use std::time::Duration;

/// The bounds within which a [`ReadinessLayer`](crate::ReadinessLayer) reads the
/// body of a request that it refuses or that asks for a probe.
///
/// The layer reads and drops such a body, so that the client gets the whole answer
/// and loses no later request; see [the module
/// documentation](crate::gate#the-body-of-a-refused-request).
///
/// | | default | |
/// |---|---|---|
/// | [`drain_silence`](UnreadBodyBuilder::drain_silence) | 300 ms | without a byte, before the answer |
/// | [`drain_time`](UnreadBodyBuilder::drain_time) | 2 s | in all, before the answer |
/// | [`drain_bytes`](UnreadBodyBuilder::drain_bytes) | 64 MiB | before the answer |
/// | [`linger_silence`](UnreadBodyBuilder::linger_silence) | 5 s | without a byte, after the answer |
/// | [`linger_time`](UnreadBodyBuilder::linger_time) | 30 s | in all, after the answer |
/// | [`max_lingering`](UnreadBodyBuilder::max_lingering) | 1,024 | bodies of a layer that are read after their answers |
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
/// let bounds = UnreadBody::builder()
///     .drain_time(Duration::from_secs(1))
///     .max_lingering(100)
///     .build()?;
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) drain_silence: Duration,
    pub(super) drain_time: Duration,
    pub(super) drain_bytes: u64,
    pub(super) linger_silence: Duration,
    pub(super) linger_time: Duration,
    pub(super) max_lingering: usize,
}

impl UnreadBody {
    /// Configures the bounds, beginning with the defaults.
    pub fn builder() -> UnreadBodyBuilder {
        UnreadBodyBuilder(Bounds {
            drain_silence: Duration::from_millis(300),
            drain_time: Duration::from_secs(2),
            drain_bytes: 64 << 20,
            linger_silence: Duration::from_secs(5),
            linger_time: Duration::from_secs(30),
            max_lingering: 1_024,
        })
    }

    /// Leaves bodies unread, so that hyper closes the connection where the body has
    /// not arrived in whole. Meant for servers that read unread bodies themselves.
    pub fn ignore() -> Self {
        Self(None)
    }
}

/// The default bounds.
impl Default for UnreadBody {
    fn default() -> Self {
        Self(Some(Self::builder().0))
    }
}

/// Configures an [`UnreadBody`].
#[must_use = "a builder does nothing until it builds"]
#[derive(Clone, Debug)]
pub struct UnreadBodyBuilder(Bounds);

impl UnreadBodyBuilder {
    /// Sets how long the layer waits for the next bytes before it answers.
    pub fn drain_silence(mut self, silence: Duration) -> Self {
        self.0.drain_silence = silence;
        self
    }

    /// Sets how long the layer reads in all before it answers. The answer to a slow
    /// upload is late by at most this time.
    pub fn drain_time(mut self, time: Duration) -> Self {
        self.0.drain_time = time;
        self
    }

    /// Sets how many bytes the layer reads before it answers. A request whose body
    /// announces more is answered at once, and its body read after that.
    pub fn drain_bytes(mut self, bytes: u64) -> Self {
        self.0.drain_bytes = bytes;
        self
    }

    /// Sets how long a body that is read after its answer may pause.
    pub fn linger_silence(mut self, silence: Duration) -> Self {
        self.0.linger_silence = silence;
        self
    }

    /// Sets how long the layer reads a body in all after its answer.
    pub fn linger_time(mut self, time: Duration) -> Self {
        self.0.linger_time = time;
        self
    }

    /// Sets how many bodies all services of a layer together read after their
    /// answers at the same time. A further body is dropped with its answer. With
    /// zero, every body is.
    pub fn max_lingering(mut self, max_lingering: usize) -> Self {
        self.0.max_lingering = max_lingering;
        self
    }

    /// Builds the bounds.
    ///
    /// # Errors
    ///
    /// When a time is shorter than 1 millisecond or longer than ten minutes. (Use
    /// [`UnreadBody::ignore`] to leave bodies unread.)
    pub fn build(self) -> Result<UnreadBody, SettingError> {
        waited("`drain_silence` of unread bodies", self.0.drain_silence)?;
        waited("`drain_time` of unread bodies", self.0.drain_time)?;
        waited("`linger_silence` of unread bodies", self.0.linger_silence)?;
        waited("`linger_time` of unread bodies", self.0.linger_time)?;
        Ok(UnreadBody(Some(self.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_zero_and_beyond_ten_minutes_are_errors() {
        type Set = fn(UnreadBodyBuilder, Duration) -> UnreadBodyBuilder;
        for (name, set) in [
            ("drain_silence", UnreadBodyBuilder::drain_silence as Set),
            ("drain_time", UnreadBodyBuilder::drain_time),
            ("linger_silence", UnreadBodyBuilder::linger_silence),
            ("linger_time", UnreadBodyBuilder::linger_time),
        ] {
            let build = |time| set(UnreadBody::builder(), time).build();
            for time in [Duration::ZERO, Duration::from_secs(601)] {
                let error = build(time).unwrap_err().to_string();
                assert!(error.contains(name), "{error}");
                assert!(error.contains(&format!("{time:?}")), "{error}");
            }
            let longest = build(Duration::from_secs(600)).unwrap();
            assert_ne!(longest, UnreadBody::default());
        }
    }
}
