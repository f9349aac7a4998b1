//! The families about requests.

use super::family::{
    Descriptor,
    MetricKind::{Counter, Gauge, Histogram},
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

pub(super) const FAMILIES: &[Descriptor] = &[
    Descriptor {
        name: "readiness_requests_total",
        kind: Counter,
        labels: &["scope", "outcome", "reason"],
        help: "Requests that the gates of a scope did not admit at once. A held request is \
               admitted or refused later. Scopes overlap, so do not add them up.",
        read: |source, samples| {
            let traffic = source.registry.traffic();
            for (scope, name) in source.scopes() {
                for (outcome, dry_run, of_gate) in OUTCOMES {
                    for reason in Reason::ALL {
                        let labels = [name.clone(), outcome.into(), reason.as_str().into()];
                        let count = traffic.gates(dry_run).get(scope, of_gate, *reason);
                        samples.add_count(labels, count);
                    }
                }
            }
        },
    },
    Descriptor {
        name: "readiness_requests_in_flight",
        kind: Gauge,
        labels: &[],
        help: "Requests and tracked work in flight.",
        read: |source, samples| {
            if let Some(count) = source.registry.traffic().flights.count() {
                // `usize` has 64 bits at most.
                samples.add_count([], count as u64);
            }
        },
    },
    Descriptor {
        name: "readiness_hold_duration_seconds",
        kind: Histogram,
        labels: &[],
        help: "How long requests were held or waited for room, with any outcome.",
        read: |source, samples| {
            samples.add_times([], source.registry.meters().holds.get());
        },
    },
    Descriptor {
        name: "readiness_drift_requests_total",
        kind: Counter,
        labels: &["scope", "outcome"],
        help: "Requests that were admitted while their scope was ready, and have ended. \
               Scopes overlap, so do not add them up.",
        read: |source, samples| {
            let outcomes = &source.registry.traffic().outcomes;
            for (scope, name) in source.scopes() {
                if let Some(totals) = outcomes.totals(scope, source.now) {
                    for (outcome, count) in
                        [("answered", totals.answered), ("failed", totals.failed)]
                    {
                        let labels = [name.clone(), outcome.into()];
                        samples.add_count(labels, count);
                    }
                }
            }
        },
    },
    Descriptor {
        name: "readiness_drift_refusing_seconds_total",
        kind: Counter,
        labels: &["scope"],
        help: "For how long the gates of a scope refused although the checks of its \
               subsystems passed.",
        read: |source, samples| {
            let outcomes = &source.registry.traffic().outcomes;
            for (scope, name) in source.scopes() {
                if let Some(totals) = outcomes.totals(scope, source.now) {
                    samples.add_time([name], totals.refusing);
                }
            }
        },
    },
    Descriptor {
        name: "readiness_probes_total",
        kind: Counter,
        labels: &["probe", "status"],
        help: "Answers to probes, by the status of HTTP.",
        read: |source, samples| {
            #[cfg(feature = "gate")]
            for (probe, status, count) in source.registry.meters().probes.iter() {
                let labels = [probe.as_str().into(), status.into()];
                samples.add_count(labels, count);
            }
            #[cfg(not(feature = "gate"))]
            let _ = (source, samples);
        },
    },
];
