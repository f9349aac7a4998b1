//! The families about subsystems.

use super::{
    family::{
        Descriptor,
        MetricKind::{Counter, Gauge, Histogram},
        SampleValue,
    },
    source::{Entry, Source},
};
use crate::state::{State, SubsystemView};

pub(super) const FAMILIES: &[Entry] = &[
    (
        Descriptor {
            name: "readiness_subsystems",
            kind: Gauge,
            unit: None,
            labels: &["state"],
            help: "The number of subsystems in a state, those without series included.",
        },
        |source, samples| {
            let mut counts = [0; State::ALL.len()];
            for view in source.data.views.iter() {
                counts[view.state() as usize] += 1;
            }
            for (state, count) in State::ALL.iter().zip(counts) {
                samples.add([state.as_str().into()], SampleValue::Integer(count));
            }
        },
    ),
    (
        Descriptor {
            name: "readiness_group_members",
            kind: Gauge,
            unit: None,
            labels: &["group", "state"],
            help: "The number of members of a group in a state.",
        },
        |source, samples| {
            for view in source.subsystems() {
                let name = &view.declaration().name;
                for (counts, state) in view
                    .members()
                    .into_iter()
                    .flat_map(|counts| State::ALL.iter().map(move |state| (counts, state)))
                {
                    let labels = [name.into(), state.as_str().into()];
                    let count = counts.in_state(*state) as u64;
                    samples.add(labels, SampleValue::Integer(count));
                }
            }
        },
    ),
    (
        Descriptor {
            name: "readiness_subsystem_state",
            kind: Gauge,
            unit: None,
            labels: &["subsystem", "state"],
            help: "Whether a subsystem is in a state.",
        },
        |source, samples| {
            for view in source.subsystems() {
                let name = &view.declaration().name;
                for state in State::ALL {
                    let labels = [name.into(), state.as_str().into()];
                    samples.add_flag(labels, *state == view.state());
                }
            }
        },
    ),
    (
        Descriptor {
            name: "readiness_subsystem_transitions_total",
            kind: Counter,
            unit: None,
            labels: &["subsystem", "to"],
            help: "How often a subsystem has entered a state.",
        },
        |source, samples| {
            for view in source.subsystems() {
                let declaration = view.declaration();
                for state in State::ALL {
                    let labels = [(&declaration.name).into(), state.as_str().into()];
                    let entered = declaration.meters.entered(*state);
                    samples.add(labels, SampleValue::Integer(entered));
                }
            }
        },
    ),
    (
        Descriptor {
            name: "readiness_subsystem_last_report_timestamp_seconds",
            kind: Gauge,
            unit: Some("seconds"),
            labels: &["subsystem"],
            help: "When the reporter or the check of a subsystem reported last, in seconds since \
                   1970, or 0 if none has. Heartbeats do not count.",
        },
        |source, samples| {
            for view in source.subsystems() {
                let declaration = view.declaration();
                let at = declaration.meters.last_report.get().as_secs_f64();
                samples.add([(&declaration.name).into()], SampleValue::Float(at));
            }
        },
    ),
    (
        Descriptor {
            name: "readiness_subsystem_startup_duration_seconds",
            kind: Gauge,
            unit: Some("seconds"),
            labels: &["subsystem"],
            help: "How long a subsystem took from its declaration until it was up for the first \
                   time, or has taken so far.",
        },
        |source, samples| {
            for view in source.subsystems() {
                let declaration = view.declaration();
                let duration = declaration.meters.start.get().as_secs_f64();
                samples.add([(&declaration.name).into()], SampleValue::Float(duration));
            }
        },
    ),
    (
        Descriptor {
            name: "readiness_check_duration_seconds",
            kind: Histogram,
            unit: Some("seconds"),
            labels: &["subsystem"],
            help: "How long the runs of the check of a subsystem took.",
        },
        |source, samples| {
            for view in source.subsystems() {
                let declaration = view.declaration();
                if declaration.checked {
                    let (count, sum) = declaration.meters.checks.get();
                    let sum = sum.as_secs_f64();
                    let value = SampleValue::Histogram { count, sum };
                    samples.add([(&declaration.name).into()], value);
                }
            }
        },
    ),
];

impl Source<'_> {
    /// The subsystems that have series of their own. By slot, so that the end of one
    /// subsystem gives none to another.
    fn subsystems(&self) -> impl Iterator<Item = &SubsystemView> {
        let slots = self.registry.meters().series_for();
        self.data.views.first(slots).map(|view| &**view)
    }
}
