//! The text that Prometheus scrapes.

use crate::{
    history::{Column, PHASES, subsystems},
    surfaces::{Surface, Verdicts, conditions, phases, states},
};
use prometheus_client::{encoding::prometheus_text, registry::Registry};
use std::collections::HashMap;
use tower_readiness::{Readiness, State};

pub struct Metrics(Registry);

impl Metrics {
    pub fn new(readiness: &Readiness) -> Self {
        let mut registry = Registry::default();
        readiness.register_metrics(&mut registry);
        Self(registry)
    }
}

impl Surface for Metrics {
    fn verdicts(&mut self) -> Verdicts {
        let mut text = String::new();
        prometheus_text::encode(&mut text, &self.0).unwrap();
        let values: HashMap<_, _> = text.lines().filter_map(|it| it.rsplit_once(' ')).collect();
        let known = |series: String| match values.get(&*series) {
            Some(&"1") => Some(true),
            Some(&"0") => Some(false),
            None => None,
            Some(other) => panic!("{series} is {other}"),
        };
        let is = |series: String| known(series.clone()).expect(&series);
        let probe = |scope: &str, probe: &str| {
            is(format!(
                r#"readiness_verdict{{scope="{scope}",probe="{probe}"}}"#
            ))
        };
        let mut verdicts = vec![
            (Column::Started, probe("readiness", "startup")),
            (Column::Live, probe("readiness", "liveness")),
            (Column::Live, probe("scope", "liveness")),
            (Column::Ready(0), probe("readiness", "readiness")),
            (Column::Ready(1), probe("scope", "readiness")),
        ];
        let shown = PHASES.map(|it| (it, is(format!(r#"readiness_phase{{phase="{it}"}}"#))));
        let shown = shown.into_iter().find(|(_, is_shown)| *is_shown);
        verdicts.extend(phases(shown.map_or("", |(phase, _)| phase.as_str())));
        for (index, scope) in ["readiness", "scope"].into_iter().enumerate() {
            let is_shown = |word: &str| {
                is(format!(
                    r#"readiness_condition{{scope="{scope}",condition="{word}"}}"#
                ))
            };
            verdicts.extend(conditions(index, is_shown));
        }
        for (index, name) in subsystems() {
            let is_in = |state: &State| {
                known(format!(
                    r#"readiness_subsystem_state{{subsystem="{name}",state="{state}"}}"#
                ))
            };
            let all = State::ALL.iter();
            let shown: Vec<_> = all.filter(|it| is_in(it) == Some(true)).collect();
            // All series of a subsystem exist, and exactly one is 1; or none exists.
            let exist = State::ALL.iter().filter(|it| is_in(it).is_some()).count();
            assert_eq!(exist, shown.len() * State::ALL.len(), "{name} is {shown:?}");
            verdicts.extend(states(index, shown.first().map(|it| it.as_str())));
        }
        verdicts
    }

    fn is_slow(&self) -> bool {
        true
    }
}
