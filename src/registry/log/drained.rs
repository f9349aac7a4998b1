//! The log line at the end of a drain.

use crate::{
    logging::event,
    state::{Phase, Published},
    traffic::Traffic,
};
use std::time::Duration;
use tracing::{Level, Span};

/// Remembers the work with which a drain began.
#[derive(Debug, Default)]
pub(super) struct DrainWork {
    /// The requests and jobs in flight when the drain began.
    begun_before: u64,
}

/// The end of a drain, in numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drained {
    /// From the beginning of the drain until the process closed.
    lasted: Duration,
    /// The requests and jobs in flight when the drain began, and the requests that were
    /// admitted since, without those cut off.
    served: u64,
    /// The requests that arrived late.
    late: u64,
    /// The requests and jobs in flight when the process closed; `None` if no layer
    /// counts requests.
    cut_off: Option<u64>,
}

impl DrainWork {
    /// Returns the numbers if this publication closes the process.
    pub(super) fn note(&mut self, published: &Published, traffic: &Traffic) -> Option<Drained> {
        let enters = |phase| published.before.phase < phase && phase <= published.after.phase;
        let arrivals = &traffic.arrivals;
        // `usize` has 64 bits at most.
        let in_flight = || traffic.flights.count().map(|count| count as u64);
        if enters(Phase::Draining) {
            // Requests that came between the begin and this moment count as arrivals.
            let before = in_flight().unwrap_or_default();
            self.begun_before = before.saturating_sub(arrivals.admitted());
        }
        if !enters(Phase::Closed) {
            return None;
        }
        let cut_off = in_flight();
        let all = self.begun_before + arrivals.admitted();
        Some(Drained {
            lasted: arrivals.since()?.elapsed(),
            // A job that began during the drain is in `cut_off` alone.
            served: all.saturating_sub(cut_off.unwrap_or_default()),
            late: arrivals.late(),
            cut_off,
        })
    }
}

impl Drained {
    pub(super) fn level(&self) -> Level {
        if self.late > 0 || self.cut_off.is_some_and(|count| count > 0) {
            Level::WARN
        } else {
            Level::INFO
        }
    }

    pub(super) fn emit(&self, version: u64, span: &Span) {
        let Self {
            served,
            late,
            cut_off,
            ..
        } = *self;
        let seconds = self.lasted.as_secs_f64();
        let cut = cut_off.map_or_else(|| "an unknown number".to_owned(), |count| count.to_string());
        let text =
            format!("drained in {seconds:.1} s: {served} served, {late} late, {cut} cut off");
        if self.level() == Level::WARN {
            event!(
                warn, "drained", span, version, seconds, served, late, cut_off, "{text}"
            );
        } else {
            event!(
                info, "drained", span, version, seconds, served, late, cut_off, "{text}"
            );
        }
    }
}
