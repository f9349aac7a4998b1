use opentelemetry::{
    KeyValue,
    metrics::{AsyncInstrument, Meter},
};
use opentelemetry_sdk::metrics::{Instrument, Stream};
use tower_readiness::{
    Readiness,
    observe::metrics::{MetricKind, Sample, SampleValue},
};

/// Makes an observable instrument of each metric. The provider reads them when it
/// collects.
pub fn observe(readiness: &Readiness, meter: &Meter) {
    for family in readiness.families() {
        let name = family.name();
        match family.kind() {
            // OpenTelemetry observes no histograms.
            MetricKind::Histogram => {
                let count = |sample: &Sample| match sample.value() {
                    SampleValue::Histogram { count, .. } => count as f64,
                    _ => 0.0,
                };
                let callback = reads(readiness, name, count);
                let counter = meter.f64_observable_counter(format!("{name}_count"));
                counter.with_callback(callback).build();
                let callback = reads(readiness, name, number);
                let counter = meter.f64_observable_counter(format!("{name}_sum"));
                counter.with_unit("s").with_callback(callback).build();
            }
            MetricKind::Counter => {
                let counter = meter.f64_observable_counter(name);
                let counter = counter.with_description(family.help());
                counter
                    .with_callback(reads(readiness, name, number))
                    .build();
            }
            _ => {
                let gauge = meter.f64_observable_gauge(name);
                let gauge = gauge.with_description(family.help());
                gauge.with_callback(reads(readiness, name, number)).build();
            }
        }
    }
}

/// Returns a callback that observes the samples of one metric.
fn reads(
    readiness: &Readiness,
    name: &'static str,
    value: fn(&Sample) -> f64,
) -> impl Fn(&dyn AsyncInstrument<f64>) + Send + Sync + 'static {
    let readiness = readiness.clone();
    move |instrument| {
        let families = readiness.families();
        let family = families.iter().find(|family| family.name() == name);
        for sample in family.iter().flat_map(|family| family.samples()) {
            let labels = sample.labels();
            let labels: Vec<_> = labels
                .map(|(key, value)| KeyValue::new(key, value.to_owned()))
                .collect();
            instrument.observe(value(sample), &labels);
        }
    }
}

fn number(sample: &Sample) -> f64 {
    match sample.value() {
        SampleValue::Integer(value) => value as f64,
        SampleValue::Float(value) => value,
        SampleValue::Histogram { sum, .. } => sum,
        _ => 0.0,
    }
}

/// Lets a metric have 10,000 series. Without this view the SDK adds up all series
/// beyond 2,000, which 200 subsystems do not reach and 400 do.
pub fn view(instrument: &Instrument) -> Option<Stream> {
    if !instrument.name().starts_with("readiness_") {
        return None;
    }
    Stream::builder()
        .with_cardinality_limit(10_000)
        .build()
        .ok()
}
