//! The families about the process and its scopes.

use super::{
    family::{Descriptor, MetricKind::Counter, MetricKind::Gauge, MetricKind::Info, SampleValue},
    source::Entry,
};
use crate::state::{Aspect, Condition, Phase};

pub(super) const FAMILIES: &[Entry] = &[
    (
        Descriptor {
            name: "readiness_verdict",
            kind: Gauge,
            unit: None,
            labels: &["scope", "probe"],
            help: "Whether a probe of a scope is green. Liveness is that of the process.",
        },
        |source, samples| {
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
    ),
    (
        Descriptor {
            name: "readiness_condition",
            kind: Gauge,
            unit: None,
            labels: &["scope", "condition"],
            help: "Whether a scope is in a condition.",
        },
        |source, samples| {
            for (scope, name) in source.scopes() {
                let present = source.data.verdict(scope).condition();
                for condition in Condition::ALL {
                    let labels = [name.clone(), condition.as_str().into()];
                    samples.add_flag(labels, *condition == present);
                }
            }
        },
    ),
    (
        Descriptor {
            name: "readiness_phase",
            kind: Gauge,
            unit: None,
            labels: &["phase"],
            help: "Whether the process is in a phase.",
        },
        |source, samples| {
            for phase in Phase::ALL {
                samples.add_flag([phase.as_str().into()], *phase == source.data.phase);
            }
        },
    ),
    (
        Descriptor {
            name: "readiness_paused",
            kind: Gauge,
            unit: None,
            labels: &[],
            help: "Whether the process is paused.",
        },
        |source, samples| samples.add_flag([], source.data.pause.is_some()),
    ),
    (
        Descriptor {
            name: "readiness_startup_duration_seconds",
            kind: Gauge,
            unit: Some("seconds"),
            labels: &[],
            help: "How long the process took to start, or has taken so far.",
        },
        |source, samples| {
            let duration = source.registry.meters().start.get();
            samples.add([], SampleValue::Float(duration.as_secs_f64()));
        },
    ),
    (
        Descriptor {
            name: "readiness_runtime_delay_seconds",
            kind: Gauge,
            unit: Some("seconds"),
            labels: &["percentile"],
            help: "How late the watched runtime polls its tasks, over the last 10 seconds.",
        },
        |source, samples| {
            let delays = &source.registry.meters().runtime_delays;
            for (percentile, delay) in ["50", "99"].into_iter().zip(delays) {
                if let Some(delay) = delay.get() {
                    let delay = SampleValue::Float(delay.as_secs_f64());
                    samples.add([percentile.into()], delay);
                }
            }
        },
    ),
    (
        Descriptor {
            name: "readiness_admin_evictions_total",
            kind: Counter,
            unit: None,
            labels: &[],
            help: "Connections that admin listeners closed because others needed their slots.",
        },
        |source, samples| {
            let evictions = &source.registry.meters().admin_evictions;
            samples.add([], SampleValue::Integer(evictions.get()));
        },
    ),
    (
        Descriptor {
            name: "readiness_connections_retired_total",
            kind: Counter,
            unit: None,
            labels: &[],
            help: "Connections that were told to end at a moment of their own.",
        },
        |source, samples| {
            let retired = &source.registry.meters().connections_retired;
            samples.add([], SampleValue::Integer(retired.get()));
        },
    ),
    (
        Descriptor {
            name: "readiness_mirror_errors_total",
            kind: Counter,
            unit: None,
            labels: &["mirror"],
            help: "Messages that a mirror could not send or write.",
        },
        |source, samples| {
            let meters = source.registry.meters();
            for (mirror, errors) in [
                ("systemd", &meters.systemd_errors),
                ("termination", &meters.termination_errors),
            ] {
                samples.add([mirror.into()], SampleValue::Integer(errors.get()));
            }
        },
    ),
    (
        Descriptor {
            name: "readiness_log_lines_dropped_total",
            kind: Counter,
            unit: None,
            labels: &[],
            help: "Changes and lines that were not logged, because the log was not read in time.",
        },
        |_source, samples| {
            #[cfg(feature = "tracing")]
            samples.add([], SampleValue::Integer(crate::logging::lost()));
            #[cfg(not(feature = "tracing"))]
            let _ = samples;
        },
    ),
    (
        Descriptor {
            name: "readiness_build_info",
            kind: Info,
            unit: None,
            labels: &["version"],
            help: "The version of the crate tower-readiness.",
        },
        |_source, samples| {
            let version = env!("CARGO_PKG_VERSION");
            samples.add([version.into()], SampleValue::Integer(1));
        },
    ),
];
