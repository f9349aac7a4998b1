//! The families about requests.

use super::{
    family::{
        Descriptor,
        MetricKind::{Counter, Gauge, Histogram},
        SampleValue,
    },
    source::Entry,
};
use crate::{state::Reason, traffic::GateOutcome};

/// The outcomes of a layer, and of one in dry run.
const OUTCOMES: [(&str, bool, GateOutcome); 6] = [
    ("refused", false, GateOutcome::Refused),
    ("shed", false, GateOutcome::Shed),
    ("held", false, GateOutcome::Held),
    ("dry_run_refused", true, GateOutcome::Refused),
    ("dry_run_shed", true, GateOutcome::Shed),
    ("dry_run_held", true, GateOutcome::Held),
];

pub(super) const FAMILIES: &[Entry] = &[
    (
        Descriptor {
            name: "readiness_requests_total",
            kind: Counter,
            unit: None,
            labels: &["scope", "outcome", "reason"],
            help: "Requests that the gates of a scope did not admit at once. A held request is \
                   admitted or refused later. Scopes overlap, so do not add them up.",
        },
        |source, samples| {
            let traffic = source.registry.traffic();
            for (scope, name) in source.scopes() {
                for (outcome, dry_run, of_gate) in OUTCOMES {
                    for reason in Reason::ALL {
                        let labels = [name.clone(), outcome.into(), reason.as_str().into()];
                        let count = traffic.gates(dry_run).get(scope, of_gate, *reason);
                        samples.add(labels, SampleValue::Integer(count));
                    }
                }
            }
        },
    ),
    (
        Descriptor {
            name: "readiness_requests_in_flight",
            kind: Gauge,
            unit: None,
            labels: &[],
            help: "Requests and tracked work in flight.",
        },
        |source, samples| {
            if let Some(count) = source.registry.traffic().flights.count() {
                // `usize` has 64 bits at most.
                samples.add([], SampleValue::Integer(count as u64));
            }
        },
    ),
    (
        Descriptor {
            name: "readiness_hold_duration_seconds",
            kind: Histogram,
            unit: Some("seconds"),
            labels: &[],
            help: "How long requests were held or waited for room, with any outcome.",
        },
        |source, samples| {
            let (count, sum) = source.registry.meters().holds.get();
            let sum = sum.as_secs_f64();
            samples.add([], SampleValue::Histogram { count, sum });
        },
    ),
    (
        Descriptor {
            name: "readiness_drift_requests_total",
            kind: Counter,
            unit: None,
            labels: &["scope", "outcome"],
            help: "Requests that were admitted while their scope was ready, and have ended. \
                   Scopes overlap, so do not add them up.",
        },
        |source, samples| {
            let outcomes = &source.registry.traffic().outcomes;
            for (scope, name) in source.scopes() {
                if let Some(totals) = outcomes.totals(scope, source.now) {
                    for (outcome, count) in
                        [("answered", totals.answered), ("failed", totals.failed)]
                    {
                        let labels = [name.clone(), outcome.into()];
                        samples.add(labels, SampleValue::Integer(count));
                    }
                }
            }
        },
    ),
    (
        Descriptor {
            name: "readiness_drift_refusing_seconds_total",
            kind: Counter,
            unit: Some("seconds"),
            labels: &["scope"],
            help: "For how long the gates of a scope refused although the checks of its \
                   subsystems passed.",
        },
        |source, samples| {
            let outcomes = &source.registry.traffic().outcomes;
            for (scope, name) in source.scopes() {
                if let Some(totals) = outcomes.totals(scope, source.now) {
                    let refusing = totals.refusing.as_secs_f64();
                    samples.add([name], SampleValue::Float(refusing));
                }
            }
        },
    ),
    (
        Descriptor {
            name: "readiness_probes_total",
            kind: Counter,
            unit: None,
            labels: &["probe", "status"],
            help: "Answers to probes, by the status of HTTP.",
        },
        |source, samples| {
            #[cfg(feature = "gate")]
            for (probe, status, count) in source.registry.meters().probes.iter() {
                let labels = [probe.as_str().into(), status.into()];
                samples.add(labels, SampleValue::Integer(count));
            }
            #[cfg(not(feature = "gate"))]
            let _ = (source, samples);
        },
    ),
];
