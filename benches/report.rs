//! The cost of a report for its subsystem.
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
    divan::main();
}

fn reporters(count: usize) -> Vec<Reporter> {
    reporters_of(count, |name| Subsystem::new(name))
}

fn with_ttl(name: &String) -> Subsystem {
    Subsystem::new(name).ttl(Duration::from_secs(60))
}

fn reporters_of(count: usize, declare: fn(&String) -> Subsystem) -> Vec<Reporter> {
    registry_of(count, declare).1
}

fn registry_of(count: usize, declare: fn(&String) -> Subsystem) -> (Readiness, Vec<Reporter>) {
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
    let reporters = names
        .iter()
        .map(|name| {
            let reporter = readiness.reporter(name).unwrap();
            reporter.ready();
            reporter
        })
        .collect();
    (readiness, reporters)
}

#[divan::bench(args = SUBSYSTEMS, sample_size = 100, sample_count = 200)]
fn repeat(bencher: Bencher<'_, '_>, subsystems: usize) {
    let reporters = reporters(subsystems);
    let reporter = &reporters[subsystems / 2];
    bencher.bench_local(|| reporter.ready());
}

#[divan::bench(args = SUBSYSTEMS, sample_size = 100, sample_count = 200)]
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

/// With a subscriber that writes each line to nowhere. A reason that changes alone
/// is a line at `debug`, for lines above that are bounded.
#[cfg(feature = "tracing")]
#[divan::bench(args = ["debug", "info"])]
fn change_logged(bencher: Bencher<'_, '_>, level: &str) {
    let level: tracing_subscriber::filter::LevelFilter = level.parse().unwrap();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(std::io::sink)
        .with_max_level(level)
        .finish();
    let _logs = tracing::subscriber::set_default(subscriber);
    let reporters = reporters(16);
    let reporter = &reporters[8];
    let mut first = true;
    bencher.bench_local(|| {
        first = !first;
        reporter.failing(if first { "refused" } else { "timeout" });
    });
}

/// The registry has held 50,000 subsystems that have retired since.
#[divan::bench(args = [0, 50_000], sample_size = 100, sample_count = 200)]
fn change_after_a_peak(bencher: Bencher<'_, '_>, peak: usize) {
    let readiness = Readiness::builder().allow_empty().build().unwrap();
    let reporter = readiness.add(Subsystem::new("storage")).unwrap();
    let many: Vec<_> = (0..peak)
        .map(|index| readiness.add(Subsystem::new(format!("tenant-{index}"))))
        .collect();
    many.into_iter().for_each(|tenant| tenant.unwrap().retire());
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

/// As many tasks of a runtime wait for the next snapshot when it is published.
#[divan::bench(args = [0, 100, 10_000, 100_000], sample_size = 1, sample_count = 20)]
fn change_while_followed(bencher: Bencher<'_, '_>, followers: usize) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .unwrap();
    let (readiness, reporters) = registry_of(4, |name| Subsystem::new(name));
    let told = std::sync::Arc::new(AtomicUsize::new(0));
    for _ in 0..followers {
        let mut subscription = readiness.subscribe();
        let told = std::sync::Arc::clone(&told);
        runtime.spawn(async move {
            while subscription.changed().await.is_ok() {
                told.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let reports = std::cell::Cell::new(0);
    bencher
        .with_inputs(|| {
            while told.load(Ordering::Relaxed) < (reports.get() + 1) * followers {
                std::thread::sleep(Duration::from_millis(1));
            }
            // Now they wait again.
            std::thread::sleep(Duration::from_millis(5));
        })
        .bench_local_values(|()| {
            reports.set(reports.get() + 1);
            reporters[1].failing(reports.get().to_string());
        });
}

#[divan::bench(args = [4, 1_000], sample_size = 100, sample_count = 200)]
fn repeat_with_ttl(bencher: Bencher<'_, '_>, subsystems: usize) {
    let reporters = reporters_of(subsystems, with_ttl);
    let reporter = &reporters[subsystems / 2];
    bencher.bench_local(|| reporter.ready());
}

#[divan::bench(threads = [1, 2], sample_size = 100, sample_count = 200)]
fn heartbeat(bencher: Bencher<'_, '_>) {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static THREAD: usize = THREADS.fetch_add(1, Ordering::Relaxed));

    let reporters = reporters_of(16, with_ttl);
    bencher.bench(|| {
        let thread = THREAD.with(|thread| *thread);
        reporters[thread % reporters.len()].heartbeat();
    });
}

/// The least that a heartbeat with a clock reading would cost.
#[divan::bench(threads = [1, 2], sample_size = 100, sample_count = 200)]
fn clock_reading(bencher: Bencher<'_, '_>) {
    bencher.bench(|| black_box(Instant::now()));
}

/// The nearest thing that exists: tonic-health's reporter, which keeps each
/// service by itself and adds nothing up.
#[divan::bench(args = SUBSYSTEMS, sample_size = 100, sample_count = 200)]
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
        assert!(set.now_or_never().is_some(), "no other task holds its lock");
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
