//! What a report costs the subsystem that makes it.
//!
//! `cargo bench --bench report`. `change` alternates between two states, so
//! every report publishes a snapshot; `repeat` says the same again, and
//! `repeat_with_ttl` where silence counts. With two threads, each `heartbeat`
//! is that of a reporter of its own.

use divan::{AllocProfiler, Bencher};
use futures_util::FutureExt;
use std::{
    hint::black_box,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};
use tower_readiness::{Readiness, Reporter, Subsystem};

#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

const SUBSYSTEMS: [usize; 5] = [4, 16, 100, 1_000, 10_000];

fn main() {
    divan::Divan::from_args()
        .sample_size(100)
        .sample_count(200)
        .main();
}

fn reporters(count: usize) -> Vec<Reporter> {
    reporters_of(count, |name| Subsystem::new(name))
}

fn with_ttl(name: &String) -> Subsystem {
    Subsystem::new(name).ttl(Duration::from_secs(60))
}

fn reporters_of(count: usize, declare: fn(&String) -> Subsystem) -> Vec<Reporter> {
    let names: Vec<_> = (0..count)
        .map(|index| format!("subsystem-{index}"))
        .collect();
    let readiness = names
        .iter()
        .fold(Readiness::builder(), |builder, name| {
            builder.subsystem(declare(name))
        })
        .build()
        .unwrap();
    names
        .iter()
        .map(|name| {
            let reporter = readiness.reporter(name).unwrap();
            reporter.ready();
            reporter
        })
        .collect()
}

#[divan::bench(args = SUBSYSTEMS)]
fn repeat(bencher: Bencher<'_, '_>, subsystems: usize) {
    let reporters = reporters(subsystems);
    let reporter = &reporters[subsystems / 2];
    bencher.bench_local(|| reporter.ready());
}

#[divan::bench(args = SUBSYSTEMS)]
fn change(bencher: Bencher<'_, '_>, subsystems: usize) {
    let reporters = reporters(subsystems);
    let reporter = &reporters[subsystems / 2];
    let mut up = true;
    bencher.bench_local(|| {
        up = !up;
        if up {
            reporter.ready();
        } else {
            reporter.failing("connection refused");
        }
    });
}

#[divan::bench(args = [4, 1_000])]
fn repeat_with_ttl(bencher: Bencher<'_, '_>, subsystems: usize) {
    let reporters = reporters_of(subsystems, with_ttl);
    let reporter = &reporters[subsystems / 2];
    bencher.bench_local(|| reporter.ready());
}

#[divan::bench(threads = [1, 2])]
fn heartbeat(bencher: Bencher<'_, '_>) {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static THREAD: usize = THREADS.fetch_add(1, Ordering::Relaxed));

    let reporters = reporters_of(16, with_ttl);
    bencher.bench(|| {
        let thread = THREAD.with(|thread| *thread);
        reporters[thread % reporters.len()].heartbeat();
    });
}

/// What a heartbeat that reads a clock would cost at least.
#[divan::bench(threads = [1, 2])]
fn clock_reading(bencher: Bencher<'_, '_>) {
    bencher.bench(|| black_box(Instant::now()));
}

/// The nearest thing that exists: tonic-health's reporter, which keeps each
/// service by itself and adds nothing up.
#[divan::bench(args = SUBSYSTEMS)]
fn tonic_health_change(bencher: Bencher<'_, '_>, services: usize) {
    use tonic_health::ServingStatus;

    let (reporter, _server) = tonic_health::server::health_reporter();
    let names: Vec<_> = (0..services)
        .map(|index| format!("service-{index}"))
        .collect();
    let set = |name: &str, up: bool| {
        let status = if up {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        let set = reporter.set_service_status(name, status);
        assert!(set.now_or_never().is_some(), "nobody else holds its lock");
    };
    for name in &names {
        set(name, true);
    }
    let name = &names[services / 2];
    let mut up = true;
    bencher.bench_local(|| {
        up = !up;
        set(name, up);
    });
}
