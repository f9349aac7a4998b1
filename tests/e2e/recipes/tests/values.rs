//! The values that each library has after a recipe has run.

use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::metrics::{
    InMemoryMetricExporter, PeriodicReader, SdkMeterProvider,
    data::{AggregatedMetrics, MetricData},
};
use std::collections::BTreeMap;
use tower_readiness::{
    Builder, Readiness, Subsystem,
    observe::metrics::{MetricKind, SampleValue},
};

/// By name and labels.
type Values = BTreeMap<(String, Vec<(String, String)>), f64>;

/// 400 subsystems, of which one is ready: 2,400 series of their states.
fn many() -> Readiness {
    let names = (0..400).map(|index| Subsystem::new(format!("tenant-{index}")));
    let builder = names.fold(Readiness::builder(), Builder::subsystem);
    let readiness = builder.metrics_for(400).build().unwrap();
    readiness.reporter("tenant-399").unwrap().leave_ready();
    readiness
}

fn expected(readiness: &Readiness) -> Values {
    let mut values = Values::new();
    for family in readiness.families() {
        for sample in family.samples() {
            let labels = sample.labels();
            let labels: Vec<_> = labels.map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
            let name = family.name().to_owned();
            match sample.value() {
                SampleValue::Integer(value) => {
                    values.insert((name, labels), value as f64);
                }
                SampleValue::Float(value) => {
                    values.insert((name, labels), value);
                }
                SampleValue::Histogram { count, sum } => {
                    assert_eq!(family.kind(), MetricKind::Histogram);
                    values.insert((format!("{name}_count"), labels.clone()), count as f64);
                    values.insert((format!("{name}_sum"), labels), sum);
                }
                other => panic!("{other:?}"),
            }
        }
    }
    without_times(values)
}

/// The values that do not change between two readings.
fn without_times(values: Values) -> Values {
    let is_fixed = |(name, _): &(String, _)| !name.contains("startup_duration");
    values
        .into_iter()
        .filter(|(key, _)| is_fixed(key))
        .collect()
}

fn observed(readiness: &Readiness, with_view: bool) -> Values {
    let exporter = InMemoryMetricExporter::default();
    let reader = PeriodicReader::builder(exporter.clone()).build();
    let mut builder = SdkMeterProvider::builder().with_reader(reader);
    if with_view {
        builder = builder.with_view(recipes::opentelemetry::view);
    }
    let provider = builder.build();
    recipes::opentelemetry::observe(readiness, &provider.meter("readiness"));
    provider.force_flush().unwrap();
    let mut values = Values::new();
    for resource in exporter.get_finished_metrics().unwrap() {
        for metric in resource.scope_metrics().flat_map(|scope| scope.metrics()) {
            let AggregatedMetrics::F64(data) = metric.data() else {
                panic!("{metric:?}");
            };
            let mut insert = |attributes: Vec<(String, String)>, value| {
                let before = values.insert((metric.name().to_owned(), attributes), value);
                assert_eq!(before, None);
            };
            let pair = |it: &opentelemetry::KeyValue| (it.key.to_string(), it.value.to_string());
            match data {
                MetricData::Gauge(gauge) => gauge
                    .data_points()
                    .for_each(|it| insert(it.attributes().map(pair).collect(), it.value())),
                MetricData::Sum(sum) => {
                    assert!(sum.is_monotonic(), "{}", metric.name());
                    sum.data_points()
                        .for_each(|it| insert(it.attributes().map(pair).collect(), it.value()));
                }
                other => panic!("{other:?}"),
            }
        }
    }
    without_times(values)
}

#[test]
fn opentelemetry_observes_every_value() {
    let readiness = many();
    let mut sorted = Values::new();
    for ((name, mut labels), value) in observed(&readiness, true) {
        labels.sort();
        sorted.insert((name, labels), value);
    }
    let mut all = Values::new();
    for ((name, mut labels), value) in expected(&readiness) {
        labels.sort();
        all.insert((name, labels), value);
    }
    assert_eq!(sorted.len(), all.len());
    assert!(sorted == all);
}

#[test]
fn opentelemetry_needs_the_view_for_more_than_2_000_series() {
    let states = |values: Values| {
        let of_states = |(name, _): &&(String, _)| name == "readiness_subsystem_state";
        values.keys().filter(of_states).count()
    };
    let readiness = many();
    assert_eq!(states(observed(&readiness, true)), 2_400);
    assert!(states(observed(&readiness, false)) <= 2_001);
}

#[test]
fn the_facade_gets_every_value() {
    let readiness = many();
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || {
        recipes::facade::push(&readiness);
        recipes::facade::push(&readiness);
    });
    let mut values = Values::new();
    for (key, _, _, value) in snapshotter.snapshot().into_vec() {
        let labels = key.key().labels();
        let labels = labels.map(|it| (it.key().to_owned(), it.value().to_owned()));
        let value = match value {
            DebugValue::Counter(value) => value as f64,
            DebugValue::Gauge(value) => value.into_inner(),
            DebugValue::Histogram(_) => panic!("{key:?}"),
        };
        values.insert((key.key().name().to_owned(), labels.collect()), value);
    }
    assert!(without_times(values) == expected(&readiness));
}
