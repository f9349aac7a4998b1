//! The list of metrics, and the forms in which they leave the process.

#[path = "../support/mod.rs"]
mod support;

mod endpoint;
mod list;
mod values;

use std::collections::BTreeMap;
use tower_readiness::{
    Readiness,
    observe::metrics::{Sample, SampleValue},
};

/// All samples of a family, by the values of their labels. A histogram has its count
/// and its sum.
fn family(readiness: &Readiness, name: &str) -> BTreeMap<String, Vec<f64>> {
    let families = readiness.families();
    let family = families.iter().find(|family| family.name() == name);
    let samples = family
        .unwrap_or_else(|| panic!("{name} is no family"))
        .samples();
    samples
        .iter()
        .map(|sample| (labels(sample), numbers(sample)))
        .collect()
}

/// The value of one sample, whose labels have these values.
fn value(readiness: &Readiness, name: &str, labels: &str) -> f64 {
    let family = family(readiness, name);
    match family.get(labels).map(Vec::as_slice) {
        Some([value]) => *value,
        other => panic!("{name} {labels}: {other:?} of {:?}", family.keys()),
    }
}

fn labels(sample: &Sample) -> String {
    let values: Vec<_> = sample.labels().map(|(_, value)| value).collect();
    values.join(" ")
}

fn numbers(sample: &Sample) -> Vec<f64> {
    match sample.value() {
        #[allow(clippy::cast_precision_loss)] // Tests count to a few thousand.
        SampleValue::Integer(value) => vec![value as f64],
        SampleValue::Float(value) => vec![value],
        #[allow(clippy::cast_precision_loss)]
        SampleValue::Histogram { count, sum } => vec![count as f64, sum],
        other => panic!("{other:?}"),
    }
}
