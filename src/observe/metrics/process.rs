//! The families about the process and its scopes.

use super::family::{
    Descriptor,
    MetricKind::{Counter, Gauge, Info},
};
use crate::state::{Aspect, Condition, Phase};

pub(super) const FAMILIES: &[Descriptor] = &[
    Descriptor {
        name: "readiness_verdict",
        kind: Gauge,
        labels: &["scope", "probe"],
        help: "Whether a probe of a scope is green. Liveness is that of the process.",
        read: |source, samples| {
            for (scope, name) in source.scopes() {
                let verdict = source.data.verdict(scope);
                for (probe, aspect) in [
                    ("startup", Aspect::Startup),
                    ("readiness", Aspect::Readiness),
                    ("liveness", Aspect::Liveness),
                ] {
                    let is_green = verdict.is_green(aspect);
                    samples.add_flag([name.clone(), probe.into()], is_green);
                }
            }
        },
    },
    Descriptor {
        name: "readiness_condition",
        kind: Gauge,
        labels: &["scope", "condition"],
        help: "Whether a scope is in a condition.",
        read: |source, samples| {
            for (scope, name) in source.scopes() {
                let present = source.data.verdict(scope).condition();
                for condition in Condition::ALL {
                    let labels = [name.clone(), condition.as_str().into()];
                    samples.add_flag(labels, *condition == present);
                }
            }
        },
    },
    Descriptor {
        name: "readiness_phase",
        kind: Gauge,
        labels: &["phase"],
        help: "Whether the process is in a phase.",
        read: |source, samples| {
            for phase in Phase::ALL {
                samples.add_flag([phase.as_str().into()], *phase == source.data.phase);
            }
        },
    },
    Descriptor {
        name: "readiness_paused",
        kind: Gauge,
        labels: &[],
        help: "Whether the process is paused.",
        read: |source, samples| samples.add_flag([], source.data.pause.is_some()),
    },
    Descriptor {
        name: "readiness_startup_duration_seconds",
        kind: Gauge,
        labels: &[],
        help: "How long the process took to start, or has taken so far.",
        read: |source, samples| {
            samples.add_time([], source.registry.meters().start.get());
        },
    },
    Descriptor {
        name: "readiness_runtime_delay_seconds",
        kind: Gauge,
        labels: &["percentile"],
        help: "How late the watched runtime polls its tasks, over the last 10 seconds.",
        read: |source, samples| {
            let delays = &source.registry.meters().runtime_delays;
            for (percentile, delay) in ["50", "99"].into_iter().zip(delays) {
                if let Some(delay) = delay.get() {
                    samples.add_time([percentile.into()], delay);
                }
            }
        },
    },
    Descriptor {
        name: "readiness_admin_evictions_total",
        kind: Counter,
        labels: &[],
        help: "Connections that admin listeners closed because others needed their slots.",
        read: |source, samples| {
            let evictions = &source.registry.meters().admin_evictions;
            samples.add_count([], evictions.get());
        },
    },
    Descriptor {
        name: "readiness_connections_retired_total",
        kind: Counter,
        labels: &[],
        help: "Connections that were told to end at a moment of their own.",
        read: |source, samples| {
            let retired = &source.registry.meters().connections_retired;
            samples.add_count([], retired.get());
        },
    },
    Descriptor {
        name: "readiness_mirror_errors_total",
        kind: Counter,
        labels: &["mirror"],
        help: "Messages that a mirror could not send or write.",
        read: |source, samples| {
            let meters = source.registry.meters();
            for (mirror, errors) in [
                ("systemd", &meters.systemd_errors),
                ("termination", &meters.termination_errors),
            ] {
                samples.add_count([mirror.into()], errors.get());
            }
        },
    },
    Descriptor {
        name: "readiness_log_lines_dropped_total",
        kind: Counter,
        labels: &[],
        help: "Changes and lines that were not logged, because the log was not read in time.",
        read: |_source, samples| {
            #[cfg(feature = "tracing")]
            samples.add_count([], crate::logging::lost());
            #[cfg(not(feature = "tracing"))]
            let _ = samples;
        },
    },
    Descriptor {
        name: "readiness_build_info",
        kind: Info,
        labels: &["version"],
        help: "The version of the crate tower-readiness.",
        read: |_source, samples| {
            let version = env!("CARGO_PKG_VERSION");
            samples.add_count([version.into()], 1);
        },
    },
];
