//! The outcomes of the requests of one arm.

use crate::report::thousands;
use std::{collections::BTreeMap, fmt, time::Duration};

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cause {
    /// No connection to the balancer.
    Unconnected,
    /// The connection ended before an answer began.
    Closed,
    /// The connection ended within the answer.
    CutShort,
    /// The body is not that of one run of a handler for this request.
    WrongBody,
    /// Made by the balancer, which had no replica for the request, or lost it.
    Balancer(u16),
    /// Refused by the gate of the service.
    Gate(String),
    /// Made by a handler.
    Application(u16),
    Timeout,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unconnected => f.write_str("no connection"),
            Self::Closed => f.write_str("closed unanswered"),
            Self::CutShort => f.write_str("cut short"),
            Self::WrongBody => f.write_str("wrong body"),
            Self::Balancer(status) => write!(f, "{status} by balancer"),
            Self::Gate(reason) => write!(f, "503 by gate ({reason})"),
            Self::Application(status) => write!(f, "{status} by handler"),
            Self::Timeout => f.write_str("timeout"),
        }
    }
}

/// The outcome of one request.
pub(crate) struct Outcome {
    /// When the request was due, from the beginning of the load.
    pub(crate) due: Duration,
    /// How late the request left.
    pub(crate) lag: Duration,
    /// From the time when the request was due to the end of its answer.
    pub(crate) latency: Duration,
    pub(crate) what: What,
    pub(crate) failure: Option<(Cause, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct What {
    pub(crate) protocol: &'static str,
    pub(crate) kind: &'static str,
    /// A plain request, whose latency counts; other kinds take time by themselves.
    pub(crate) quick: bool,
    /// Needs the database, which is down, so it is counted apart.
    pub(crate) apart: bool,
}

#[derive(Clone, Copy, Default)]
pub(crate) struct Second {
    pub(crate) sent: u32,
    pub(crate) succeeded: u32,
}

#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) sent: u64,
    pub(crate) failed: BTreeMap<Cause, u64>,
    pub(crate) apart_sent: u64,
    pub(crate) apart_failed: u64,
    pub(crate) latency: Quantiles,
    pub(crate) lag: Quantiles,
    pub(crate) seconds: Vec<Second>,
    /// The first failures, one line each.
    examples: Vec<String>,
}

impl Tally {
    const EXAMPLES: usize = 20;

    pub(crate) fn add(&mut self, outcome: Outcome) {
        let Outcome { due, lag, what, .. } = outcome;
        self.lag.add(lag);
        if what.apart {
            self.apart_sent += 1;
            self.apart_failed += u64::from(outcome.failure.is_some());
            return;
        }
        self.sent += 1;
        let index = due.as_secs() as usize;
        if self.seconds.len() <= index {
            self.seconds.resize(index + 1, Second::default());
        }
        let second = &mut self.seconds[index];
        second.sent += 1;
        let Some((cause, detail)) = outcome.failure else {
            second.succeeded += 1;
            if what.quick {
                self.latency.add(outcome.latency);
            }
            return;
        };
        if self.examples.len() < Self::EXAMPLES {
            let What { protocol, kind, .. } = what;
            self.examples.push(format!(
                "{kind} over {protocol}, due at {:.3} s, after {:.3} s: {cause}: {detail}",
                due.as_secs_f64(),
                outcome.latency.as_secs_f64(),
            ));
        }
        *self.failed.entry(cause).or_default() += 1;
    }

    pub(crate) fn failures(&self) -> u64 {
        self.failed.values().sum()
    }

    /// In percent.
    pub(crate) fn success(&self) -> f64 {
        100.0 - 100.0 * self.failures() as f64 / self.sent.max(1) as f64
    }

    pub(crate) fn examples(&self) -> String {
        format!("the first failures:\n  {}\n", self.examples.join("\n  "))
    }

    pub(crate) fn causes(&self) -> String {
        let causes = self.failed.iter();
        let causes: Vec<_> = causes
            .map(|(cause, n)| format!("{} × {cause}", thousands(*n)))
            .collect();
        causes.join(", ")
    }
}

/// Durations, to the microsecond.
#[derive(Default)]
pub(crate) struct Quantiles(Vec<u32>);

impl Quantiles {
    pub(crate) fn add(&mut self, duration: Duration) {
        let micros = u32::try_from(duration.as_micros()).unwrap_or(u32::MAX);
        self.0.push(micros);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The median, the 99th of a hundred and the largest, in milliseconds.
    pub(crate) fn summary(&mut self) -> [f64; 3] {
        self.0.sort_unstable();
        let last = self.0.len().saturating_sub(1);
        [0.5, 0.99, 1.0].map(|quantile| {
            let index = (last as f64 * quantile).round() as usize;
            f64::from(self.0.get(index).copied().unwrap_or(0)) / 1000.0
        })
    }
}
