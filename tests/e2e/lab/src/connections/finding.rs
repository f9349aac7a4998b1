//! What became of the requests and the connections of one arm, and what is expected.

use super::{clients::Protocol, plan::Plan};
use crate::{
    kept::Departure,
    tally::{Quantiles, Tally},
};
use std::{collections::BTreeMap, time::Duration};

/// Of the connections of a replica that drains, the largest share that may leave within
/// any tenth of the delay, wherever it begins. Connections that are not used leave
/// evenly; the random pauses of the clients add to that.
pub(super) const SHARE_AT_MOST: f64 = 0.3;
/// Streams have no pauses.
pub(super) const STREAMS_AT_MOST: f64 = 0.25;
/// The control's, whose HTTP/2 connections leave together.
pub(super) const CONTROL_AT_LEAST: f64 = 0.8;
/// With fewer connections, a share says little. Of 240, half are on each of two replicas, give or
/// take what the order of their reconnects makes of it.
pub(super) const FEWEST: usize = 60;
/// HTTP/1 requests that may fail, as a share of the HTTP/1 connections that left: a
/// client may send in the instant in which its idle connection is closed.
pub(super) const HTTP1_LOSES_AT_MOST: f64 = 0.005;
/// The same where no answer announces the end in time.
pub(super) const HTTP1_LOSES_UNTOLD: f64 = 0.02;
/// HTTP/2 requests that may fail, as a share of all: hyper's client sometimes writes one
/// after it has acknowledged the first GOAWAY, so that the second one refuses it.
pub(super) const HTTP2_LOSES_AT_MOST: f64 = 0.000_2;

/// By how much the connections of one replica may exceed those of another, one maximum
/// age after the last drain.
pub(super) const UNEVEN_AT_MOST: f64 = 0.25;

pub(super) struct Finding {
    pub(super) plan: Plan,
    pub(super) drains: Vec<Drain>,
    pub(super) sides: Vec<Side>,
    /// The connections of each replica after the last drain, and later.
    pub(super) spread: [Vec<usize>; 2],
}

/// The drain of one replica.
pub(super) struct Drain {
    pub(super) slot: usize,
    pub(super) delay: Duration,
    /// SIGTERM, from the start.
    pub(super) at: Duration,
    /// From SIGTERM until the process had ended.
    pub(super) lasted: Duration,
}

/// What happened over one protocol.
pub(super) struct Side {
    pub(super) protocol: Protocol,
    pub(super) tally: Tally,
    pub(super) departures: Vec<Departure>,
    /// Requests that had to leave on another connection.
    pub(super) unsent: u64,
    /// Open connections at the end, by replica.
    pub(super) at_end: BTreeMap<String, u64>,
}

/// How the connections of one replica left.
pub(super) struct Leaving {
    pub(super) connections: usize,
    /// The largest share in any tenth of the delay.
    pub(super) largest: f64,
}

impl Drain {
    /// How the connections of this replica left, of those that left at all.
    fn leaving<'a>(&self, departures: impl Iterator<Item = &'a Departure>) -> Leaving {
        let replica = format!("s{} ", self.slot);
        let of_replica = departures.filter(|departure| {
            let pod = departure.pod.as_deref();
            pod.is_some_and(|pod| pod.starts_with(&replica))
        });
        let times: Vec<f64> = of_replica
            .map(|departure| departure.at)
            .filter(|at| *at >= self.at.as_secs_f64())
            .collect();
        Leaving {
            connections: times.len(),
            largest: largest_share(times, self.delay.as_secs_f64() / 10.0),
        }
    }
}

impl Side {
    pub(super) fn leaving(&self, drain: &Drain) -> Leaving {
        drain.leaving(self.departures.iter())
    }

    pub(super) fn announced(&self) -> usize {
        let announced = |departure: &&Departure| departure.announced;
        self.departures.iter().filter(announced).count()
    }

    fn complaints(&self, plan: &Plan, drains: &[Drain]) -> Vec<String> {
        let mut complaints = Vec::new();
        let failures = self.tally.failures();
        if self.tally.sent == 0 {
            complaints.push("nothing was sent".to_owned());
        }
        let allowed = match self.protocol {
            Protocol::Http1 => {
                let share = if plan.tells_in_time() {
                    HTTP1_LOSES_AT_MOST
                } else {
                    HTTP1_LOSES_UNTOLD
                };
                share * self.departures.len() as f64
            }
            // A short arm may have less than one of them.
            Protocol::Http2 => (HTTP2_LOSES_AT_MOST * self.tally.sent as f64).max(1.0),
            _ => 0.0,
        };
        if !plan.is_control() && failures as f64 > allowed {
            complaints.push(format!("lost {}", self.tally.causes()));
        }
        let of_drains = drains.iter().map(|drain| self.leaving(drain).connections);
        let of_drains = of_drains.sum::<usize>();
        let others = self.departures.len() - of_drains;
        // On a connection that had no answer, nothing told which replica it had.
        if plan.max_age.is_none() && others as u64 > failures + self.unsent {
            complaints.push(format!(
                "{others} connections ended, though nothing drained"
            ));
        }
        for drain in drains {
            let Leaving {
                connections,
                largest,
            } = self.leaving(drain);
            let slot = drain.slot;
            if !self.protocol.is_stream() && connections < FEWEST {
                complaints.push(format!("s{slot} had {connections} connections only"));
            }
            // HTTP/1 connections leave with their next answer.
            let leaves_together = self.protocol != Protocol::Http1 && plan.is_control();
            if leaves_together && largest < CONTROL_AT_LEAST {
                complaints.push(format!(
                    "without a window, {:.1} % of s{slot} leave together, which is too few",
                    largest * 100.0
                ));
            }
        }
        // Each of its streams is broken, because no handler ends it.
        if self.protocol.is_stream() && plan.is_control() && failures < of_drains as u64 {
            complaints.push(format!("only {failures} streams were broken"));
        }
        complaints
    }
}

impl Finding {
    /// How the result differs from the expected one.
    pub(super) fn complaints(&self) -> Vec<String> {
        let plan = &self.plan;
        let of_side = |side: &Side| {
            let protocol = side.protocol.name();
            let complaints = side.complaints(plan, &self.drains).into_iter();
            complaints
                .map(|complaint| format!("{plan}, {protocol}: {complaint}"))
                .collect::<Vec<_>>()
        };
        let mut complaints: Vec<_> = self.sides.iter().flat_map(of_side).collect();
        for drain in &self.drains {
            let Leaving {
                connections,
                largest,
            } = self.leaving(drain);
            let slot = drain.slot;
            if connections < FEWEST {
                complaints.push(format!(
                    "{plan}: s{slot} had {connections} connections only"
                ));
            }
            let at_most = if plan.protocols[0].is_stream() {
                STREAMS_AT_MOST
            } else {
                SHARE_AT_MOST
            };
            if plan.spreads() && largest > at_most {
                let percent = largest * 100.0;
                complaints.push(format!("{plan}: of s{slot}, {percent:.1} % leave together"));
            }
        }
        let [_, later] = &self.spread;
        let is_uneven = unevenness(later) > UNEVEN_AT_MOST;
        if plan.max_age.is_some() && is_uneven {
            complaints.push(format!("{plan}: {later:?} connections are not even"));
        }
        if plan.is_control_of_age && !is_uneven {
            complaints.push(format!("{plan}: {later:?} connections are even"));
        }
        complaints
    }

    /// How all connections of a replica left.
    pub(super) fn leaving(&self, drain: &Drain) -> Leaving {
        drain.leaving(self.sides.iter().flat_map(|side| &side.departures))
    }

    /// How long the drains took.
    pub(super) fn lasted(&self) -> Quantiles {
        let mut lasted = Quantiles::default();
        for drain in &self.drains {
            lasted.add(drain.lasted);
        }
        lasted
    }
}

/// By how much the largest number exceeds the smallest, as a share of the smallest.
pub(super) fn unevenness(connections: &[usize]) -> f64 {
    let most = connections.iter().max().copied().unwrap_or_default() as f64;
    let fewest = connections.iter().min().copied().unwrap_or_default() as f64;
    (most - fewest) / fewest
}

/// Of `times`, the largest share within `span`, wherever it begins.
fn largest_share(mut times: Vec<f64>, span: f64) -> f64 {
    times.sort_by(f64::total_cmp);
    let together = times.iter().enumerate().map(|(first, begin)| {
        let within = times[first..].partition_point(|time| *time < begin + span);
        within as f64 / times.len() as f64
    });
    together.fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(times: &[f64], span: f64) -> f64 {
        largest_share(times.to_vec(), span)
    }

    #[test]
    fn the_span_begins_where_most_leave() {
        // Three of five between 0.9 and 1.4, though no half second from 0 has more than two.
        assert!((share(&[1.3, 0.2, 0.9, 1.1, 3.0], 0.5) - 0.6).abs() < 1e-9);
    }

    #[test]
    fn the_end_of_the_span_is_not_in_it() {
        assert!((share(&[0.0, 0.5, 1.0], 0.5) - 1.0 / 3.0).abs() < 1e-9);
    }

    #[test]
    fn all_in_one_instant_are_the_whole() {
        assert!((share(&[5.0; 7], 0.5) - 1.0).abs() < 1e-9);
        assert!(share(&[], 0.5).abs() < 1e-9);
    }
    #[test]
    fn unevenness_is_the_excess_over_the_smallest() {
        assert!((unevenness(&[125, 100]) - 0.25).abs() < 1e-9);
        assert!(unevenness(&[90, 90]).abs() < 1e-9);
        assert!(unevenness(&[90, 0]) > UNEVEN_AT_MOST);
    }
}
