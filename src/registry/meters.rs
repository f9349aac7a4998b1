use crate::{
    meters::{Counter, Durations},
    state::Published,
};
#[cfg(feature = "metrics")]
use crate::{
    meters::{LastDuration, StartDuration},
    state::{Data, Phase},
};
use std::time::Duration;

/// The number of subsystems that have series of their own, by default.
#[cfg(feature = "metrics")]
const SERIES_FOR: usize = 200;

/// The counters and times of a registry that metrics alone show.
#[allow(dead_code, reason = "each feature records its own events")]
#[derive(Default)]
pub(crate) struct Meters {
    /// How long requests were held or waited for room.
    pub(crate) holds: Durations,
    /// The answers of probes.
    #[cfg(feature = "gate")]
    pub(crate) probes: ProbeCounts,
    /// The connections that admin listeners have evicted.
    pub(crate) admin_evictions: Counter,
    /// The connections that have been told to end at a moment of their own.
    pub(crate) connections_retired: Counter,
    /// The messages to systemd that could not be sent.
    pub(crate) systemd_errors: Counter,
    /// The termination messages that could not be written.
    pub(crate) termination_errors: Counter,
    /// The time until the start latch of the process closed.
    #[cfg(feature = "metrics")]
    pub(crate) start: StartDuration,
    /// How late tasks of the watched runtime are polled: half of them, and 99 in 100.
    #[cfg(feature = "metrics")]
    pub(crate) runtime_delays: [LastDuration; 2],
    /// The first slots, whose subsystems have series of their own. Set by the builder.
    #[cfg(feature = "metrics")]
    pub(super) series_for: Option<usize>,
}

impl Meters {
    /// Records a change before it is published.
    pub(super) fn record(&self, published: &Published) {
        #[cfg(feature = "metrics")]
        {
            let (before, after) = (&published.before, &published.after);
            if before.phase == Phase::Starting {
                self.record_start(after);
            }
            for slot in published.touched.iter() {
                if let (Some(before), Some(after)) = (before.views.get(slot), after.views.get(slot))
                {
                    // Two subsystems may follow each other in a slot.
                    if std::sync::Arc::ptr_eq(before.declaration(), after.declaration()) {
                        after.declaration().meters.record(before, after);
                    }
                }
            }
        }
        #[cfg(not(feature = "metrics"))]
        let _ = published;
    }

    /// Records the end of the start, if this snapshot has ended it.
    #[cfg(feature = "metrics")]
    pub(super) fn record_start(&self, after: &Data) {
        if after.process.started {
            self.start.end();
        }
    }

    /// Records the newest delays of the watched runtime.
    pub(crate) fn record_runtime_delays(&self, half: Duration, slow: Duration) {
        #[cfg(feature = "metrics")]
        for (last, delay) in self.runtime_delays.iter().zip([half, slow]) {
            last.set(delay);
        }
        #[cfg(not(feature = "metrics"))]
        let _ = (half, slow);
    }

    /// The number of the first slots whose subsystems have series of their own.
    #[cfg(feature = "metrics")]
    pub(crate) fn series_for(&self) -> usize {
        self.series_for.unwrap_or(SERIES_FOR)
    }
}

crate::debug::fields!(Meters);

#[cfg(feature = "gate")]
pub(crate) use self::probes::ProbeCounts;

#[cfg(feature = "gate")]
mod probes {
    use crate::{meters::Counter, wire::Probe};
    use http::StatusCode;

    /// The statuses that probes answer with.
    const STATUSES: [(StatusCode, &str); 5] = [
        (StatusCode::OK, "200"),
        (StatusCode::BAD_REQUEST, "400"),
        (StatusCode::NOT_FOUND, "404"),
        (StatusCode::METHOD_NOT_ALLOWED, "405"),
        (StatusCode::SERVICE_UNAVAILABLE, "503"),
    ];

    /// Counts the answers of probes, by probe and status.
    #[derive(Default)]
    pub(crate) struct ProbeCounts([[Counter; STATUSES.len()]; Probe::ALL.len()]);

    impl ProbeCounts {
        pub(crate) fn count(&self, probe: Probe, status: StatusCode) {
            let index = STATUSES.iter().position(|(known, _)| *known == status);
            if let Some(index) = index {
                self.0[probe as usize][index].increment();
            }
        }

        #[cfg(feature = "metrics")]
        pub(crate) fn iter(&self) -> impl Iterator<Item = (Probe, &'static str, u64)> {
            Probe::ALL.iter().flat_map(move |&probe| {
                let counts = STATUSES.iter().zip(&self.0[probe as usize]);
                counts.map(move |((_, status), count)| (probe, *status, count.get()))
            })
        }
    }
}
