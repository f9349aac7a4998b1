use metrics::{Label, counter, gauge};
use tower_readiness::{
    Readiness,
    observe::metrics::{MetricKind, SampleValue},
};

/// Sets all metrics of the recorder to their present values. Call it every few
/// seconds, from a task or from the handler that renders the recorder.
pub fn push(readiness: &Readiness) {
    for family in readiness.families() {
        let name = family.name();
        for sample in family.samples() {
            let labels: Vec<_> = sample
                .labels()
                .map(|(key, value)| Label::new(key, value.to_owned()))
                .collect();
            match (family.kind(), sample.value()) {
                (MetricKind::Counter, SampleValue::Integer(value)) => {
                    counter!(name, labels).absolute(value);
                }
                (_, SampleValue::Integer(value)) => gauge!(name, labels).set(value as f64),
                // The facade has no counters of fractions.
                (_, SampleValue::Float(value)) => gauge!(name, labels).set(value),
                (_, SampleValue::Histogram { count, sum }) => {
                    counter!(format!("{name}_count"), labels.clone()).absolute(count);
                    gauge!(format!("{name}_sum"), labels).set(sum);
                }
                _ => {}
            }
        }
    }
}
