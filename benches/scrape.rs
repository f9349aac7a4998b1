//! The cost of one scrape, by the number of subsystems.
//!
//! `cargo bench --bench scrape --features metrics`. `text_format` and `open_metrics`
//! render the body of `/metrics`, with a report in between, so that no two scrapes see
//! the same snapshot; 5,000 subsystems are beyond the 200 that have series of their own.
//! `families` reads the list alone. `report` is the report alone, and `report_beside`
//! the same while another thread scrapes without a pause.

use divan::{AllocProfiler, Bencher, counter::BytesCount};
use prometheus_client::{
    encoding::{prometheus_text, text},
    registry::Registry,
};
use std::{
    hint::black_box,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};
use tower_readiness::{Builder, Readiness, ReadinessLayer, Reporter, Subsystem};

#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

const SUBSYSTEMS: [usize; 3] = [16, 200, 5_000];

fn main() {
    divan::main();
}

fn process(subsystems: usize) -> (Readiness, Vec<Reporter>) {
    let name = |index| format!("subsystem-{index}");
    let declared = (0..subsystems).map(|index| Subsystem::new(name(index)));
    let readiness = declared
        .fold(Readiness::builder(), Builder::subsystem)
        .build()
        .unwrap();
    let reporters: Vec<_> = (0..subsystems)
        .map(|index| readiness.reporter(&name(index)).unwrap())
        .collect();
    reporters.iter().for_each(Reporter::ready);
    let _layer = ReadinessLayer::new(&readiness)
        .count_in_flight()
        .observe_outcomes();
    (readiness, reporters)
}

/// Alternates between two states, so that each report publishes a snapshot.
fn change(reporter: &Reporter, up: &mut bool) {
    *up = !*up;
    if *up {
        reporter.ready();
    } else {
        reporter.degraded("slow");
    }
}

#[divan::bench(args = SUBSYSTEMS)]
fn families(bencher: Bencher<'_, '_>, subsystems: usize) {
    let (readiness, _reporters) = process(subsystems);
    bencher.bench_local(|| readiness.families());
}

#[divan::bench(args = SUBSYSTEMS)]
fn text_format(bencher: Bencher<'_, '_>, subsystems: usize) {
    render(bencher, subsystems, |body, registry| {
        prometheus_text::encode(body, registry)
    });
}

#[divan::bench(args = SUBSYSTEMS)]
fn open_metrics(bencher: Bencher<'_, '_>, subsystems: usize) {
    render(bencher, subsystems, |body, registry| {
        text::encode(body, registry)
    });
}

fn render(
    bencher: Bencher<'_, '_>,
    subsystems: usize,
    encode: fn(&mut String, &Registry) -> std::fmt::Result,
) {
    let (readiness, reporters) = process(subsystems);
    let mut registry = Registry::default();
    readiness.register_metrics(&mut registry);
    let body = || {
        let mut body = String::new();
        encode(&mut body, &registry).unwrap();
        body
    };
    let mut up = true;
    let bencher = bencher.counter(BytesCount::new(body().len()));
    bencher
        .with_inputs(|| change(&reporters[0], &mut up))
        .bench_local_values(|()| body());
}

#[divan::bench(args = SUBSYSTEMS, sample_size = 100, sample_count = 200)]
fn report(bencher: Bencher<'_, '_>, subsystems: usize) {
    let (_readiness, reporters) = process(subsystems);
    let mut up = true;
    bencher.bench_local(|| change(&reporters[0], &mut up));
}

#[divan::bench(args = SUBSYSTEMS, sample_size = 100, sample_count = 200)]
fn report_beside(bencher: Bencher<'_, '_>, subsystems: usize) {
    let (readiness, reporters) = process(subsystems);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                drop(black_box(readiness.families()));
            }
        });
        let mut up = true;
        bencher.bench_local(|| change(&reporters[0], &mut up));
        stop.store(true, Ordering::Relaxed);
    });
}
