//! The families about subsystems.

use super::family::{
    Descriptor,
    MetricKind::{Counter, Gauge, Histogram},
    Source,
};
use crate::state::{State, SubsystemView};

pub(super) const FAMILIES: &[Descriptor] = &[
    Descriptor {
        name: "readiness_subsystems",
        kind: Gauge,
        labels: &["state"],
        help: "The number of subsystems in a state, those without series included.",
        read: |source, samples| {
            let mut counts = [0; State::ALL.len()];
            for view in source.data.views.iter() {
                counts[view.state() as usize] += 1;
            }
            for (state, count) in State::ALL.iter().zip(counts) {
                samples.add_count([state.as_str().into()], count);
            }
        },
    },
    Descriptor {
        name: "readiness_group_members",
        kind: Gauge,
        labels: &["group", "state"],
        help: "The number of members of a group in a state.",
        read: |source, samples| {
            for view in source.subsystems() {
                let name = &view.declaration().name;
                for (counts, state) in view
                    .members()
                    .into_iter()
                    .flat_map(|counts| State::ALL.iter().map(move |state| (counts, state)))
                {
                    let labels = [name.into(), state.as_str().into()];
                    let count = counts.in_state(*state) as u64;
                    samples.add_count(labels, count);
                }
            }
        },
    },
    Descriptor {
        name: "readiness_subsystem_state",
        kind: Gauge,
        labels: &["subsystem", "state"],
        help: "Whether a subsystem is in a state.",
        read: |source, samples| {
            for view in source.subsystems() {
                let name = &view.declaration().name;
                for state in State::ALL {
                    let labels = [name.into(), state.as_str().into()];
                    samples.add_flag(labels, *state == view.state());
                }
            }
        },
    },
    Descriptor {
        name: "readiness_subsystem_transitions_total",
        kind: Counter,
        labels: &["subsystem", "to"],
        help: "How often a subsystem has entered a state.",
        read: |source, samples| {
            for view in source.subsystems() {
                let declaration = view.declaration();
                for state in State::ALL {
                    let labels = [(&declaration.name).into(), state.as_str().into()];
                    let entered = declaration.meters.entered(*state);
                    samples.add_count(labels, entered);
                }
            }
        },
    },
    Descriptor {
        name: "readiness_subsystem_last_report_timestamp_seconds",
        kind: Gauge,
        labels: &["subsystem"],
        help: "When the reporter or the check of a subsystem reported last, in seconds since \
               1970, or 0 if none has. Heartbeats do not count.",
        read: |source, samples| {
            for view in source.subsystems() {
                let declaration = view.declaration();
                let at = declaration.meters.last_report.get();
                samples.add_time([(&declaration.name).into()], at);
            }
        },
    },
    Descriptor {
        name: "readiness_subsystem_startup_duration_seconds",
        kind: Gauge,
        labels: &["subsystem"],
        help: "How long a subsystem took from its declaration until it was up for the first \
               time, or has taken so far.",
        read: |source, samples| {
            for view in source.subsystems() {
                let declaration = view.declaration();
                let duration = declaration.meters.start.get();
                samples.add_time([(&declaration.name).into()], duration);
            }
        },
    },
    Descriptor {
        name: "readiness_check_duration_seconds",
        kind: Histogram,
        labels: &["subsystem"],
        help: "How long the runs of the check of a subsystem took.",
        read: |source, samples| {
            for view in source.subsystems() {
                let declaration = view.declaration();
                if declaration.is_checked() {
                    let times = declaration.meters.checks.get();
                    samples.add_times([(&declaration.name).into()], times);
                }
            }
        },
    },
];

impl Source<'_> {
    /// The subsystems that have series of their own. By slot, so that the end of one
    /// subsystem gives none to another.
    fn subsystems(&self) -> impl Iterator<Item = &SubsystemView> {
        let slots = self.registry.meters().series_for();
        self.data.views.first(slots).map(|view| &**view)
    }
}
