//! The cost of a thousand checks that return at once, run every second.
//!
//! `cargo bench --bench checks --features check` lets them run for ten seconds
//! on a runtime of one thread, and prints the processor time of the process and
//! how far apart the runs of each check began. Without `--bench` (as `cargo
//! test` runs it) it takes a tenth of that.

use rustix::time::{ClockId, clock_gettime};
use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tower_readiness::{
    Readiness, Subsystem,
    check::{Check, Outcome},
};

const CHECKS: usize = 1_000;

fn main() {
    let full = std::env::args().any(|argument| argument == "--bench");
    let interval = Duration::from_millis(if full { 1_000 } else { 100 });
    let time = interval * 10;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    runtime.block_on(run(interval, time));
}

async fn run(interval: Duration, time: Duration) {
    // Allocated in advance, so that the bench does not measure its own allocations.
    let starts: Vec<_> = (0..CHECKS)
        .map(|_| Arc::new(Mutex::new(Vec::<Instant>::with_capacity(64))))
        .collect();
    let builder =
        starts
            .iter()
            .enumerate()
            .fold(Readiness::builder(), |builder, (index, starts)| {
                let starts = Arc::clone(starts);
                let subsystem = Subsystem::new(format!("dependency-{index}"));
                builder.subsystem(subsystem.check(Check::every(interval), move || {
                    starts.lock().unwrap().push(Instant::now());
                    std::future::ready(Outcome::ready())
                }))
            });
    let readiness = builder.build().expect("a thousand names");
    readiness.wait_ready().await.expect("it does not drain");

    let (cpu, began) = (cpu_time(), Instant::now());
    tokio::time::sleep(time).await;
    let (cpu, took) = (cpu_time() - cpu, began.elapsed());

    let mut apart: Vec<_> = starts
        .iter()
        .flat_map(|starts| {
            let starts = starts.lock().unwrap();
            let apart = starts.windows(2).map(|two| two[1] - two[0]);
            apart.collect::<Vec<_>>()
        })
        .collect();
    apart.sort_unstable();
    assert!(!apart.is_empty(), "nothing ran");
    let late = apart.iter().filter(|it| **it > interval.mul_f64(1.05));
    let core = cpu.as_secs_f64() / took.as_secs_f64();
    println!("{CHECKS} checks, each every {interval:?}, for {took:.1?}");
    println!("{} runs, {:.2} % of one core", apart.len(), core * 100.0);
    println!(
        "apart: {:.1?} to {:.1?}, median {:.1?}; {} by more than 5 % too far",
        apart[0],
        apart[apart.len() - 1],
        apart[apart.len() / 2],
        late.count()
    );
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).expect("time does not run backwards")
}
