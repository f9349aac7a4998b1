//! Counters and times that metrics alone show. Without the feature `metrics` they
//! take no room, and to record an event does nothing.

#[cfg(feature = "metrics")]
use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};
#[cfg(feature = "metrics")]
use tokio::time::Instant;

/// The number of events of one kind.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    #[cfg(feature = "metrics")]
    count: AtomicU64,
}

impl Counter {
    #[cfg(feature = "tracing")]
    pub(crate) const fn new() -> Self {
        Self {
            #[cfg(feature = "metrics")]
            count: AtomicU64::new(0),
        }
    }

    #[inline]
    pub(crate) fn increment(&self) {
        #[cfg(feature = "metrics")]
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    #[cfg(feature = "metrics")]
    pub(crate) fn get(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

/// The number of activities that have ended, and the sum of their durations.
#[derive(Debug, Default)]
pub(crate) struct Durations {
    #[cfg(feature = "metrics")]
    count: AtomicU64,
    /// A `u64` holds 584 years of nanoseconds.
    #[cfg(feature = "metrics")]
    nanos: AtomicU64,
}

/// The beginning of an activity, for [`Durations`].
#[derive(Debug)]
pub(crate) struct Stopwatch {
    #[cfg(feature = "metrics")]
    since: Instant,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self {
            #[cfg(feature = "metrics")]
            since: Instant::now(),
        }
    }
}

impl Durations {
    /// Records the end of an activity.
    pub(crate) fn record(&self, stopwatch: &Stopwatch) {
        #[cfg(feature = "metrics")]
        {
            let nanos = stopwatch.since.elapsed().as_nanos();
            let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
            self.nanos.fetch_add(nanos, Ordering::Relaxed);
            self.count.fetch_add(1, Ordering::Relaxed);
        }
        #[cfg(not(feature = "metrics"))]
        let _ = stopwatch;
    }

    /// Returns the number of activities and the sum of their durations.
    #[cfg(feature = "metrics")]
    pub(crate) fn get(&self) -> (u64, Duration) {
        let count = self.count.load(Ordering::Relaxed);
        let sum = Duration::from_nanos(self.nanos.load(Ordering::Relaxed));
        (count, sum)
    }
}

/// When an event happened last, by the wall clock.
#[derive(Debug, Default)]
pub(crate) struct LastTime {
    /// In milliseconds since the Unix epoch. Zero until the first event.
    #[cfg(feature = "metrics")]
    millis: AtomicU64,
}

impl LastTime {
    pub(crate) fn set_now(&self) {
        #[cfg(feature = "metrics")]
        {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            let millis = u64::try_from(now.unwrap_or_default().as_millis());
            let millis = millis.unwrap_or(u64::MAX);
            self.millis.store(millis, Ordering::Relaxed);
        }
    }

    /// Returns the time since the Unix epoch, or zero if there was no event.
    #[cfg(feature = "metrics")]
    pub(crate) fn get(&self) -> Duration {
        Duration::from_millis(self.millis.load(Ordering::Relaxed))
    }
}

/// The newest value of a duration that is measured again and again.
#[derive(Debug, Default)]
#[cfg(feature = "metrics")]
pub(crate) struct LastDuration {
    /// In nanoseconds, plus 1. Zero until the first measurement.
    nanos: AtomicU64,
}

#[cfg(feature = "metrics")]
impl LastDuration {
    pub(crate) fn set(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.nanos.store(nanos.saturating_add(1), Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> Option<Duration> {
        let nanos = self.nanos.load(Ordering::Relaxed).checked_sub(1)?;
        Some(Duration::from_nanos(nanos))
    }
}

/// The duration of a start, from the creation of this value on.
#[derive(Debug)]
#[cfg(feature = "metrics")]
pub(crate) struct StartDuration {
    since: Instant,
    ended: OnceLock<Duration>,
}

#[cfg(feature = "metrics")]
impl Default for StartDuration {
    fn default() -> Self {
        Self {
            since: Instant::now(),
            ended: OnceLock::new(),
        }
    }
}

#[cfg(feature = "metrics")]
impl StartDuration {
    /// Ends the start. Later calls have no effect.
    pub(crate) fn end(&self) {
        let _ = self.ended.set(self.since.elapsed());
    }

    /// Returns how long the start took, or has taken so far.
    pub(crate) fn get(&self) -> Duration {
        let ended = self.ended.get().copied();
        ended.unwrap_or_else(|| self.since.elapsed())
    }
}
