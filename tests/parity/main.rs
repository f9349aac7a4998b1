//! One truth on every surface: through random histories, each surface answers as the
//! truth table does.
#![cfg(unix)]
#![allow(
    unreachable_pub,
    reason = "the modules of a test export to each other alone"
)]

mod events;
#[path = "../support/folder.rs"]
mod folder;
mod grpc;
mod history;
mod lies;
mod members;
mod metrics;
mod mirrors;
mod page;
mod reference;
mod surfaces;

use futures_util::FutureExt;
use history::{Event, Process, Step, TTL, Turn, history};
use lies::{Answer, Lie};
use mirrors::WATCHDOG;
use proptest::{prelude::*, test_runner::TestRunner};
use reference::Reference;
use std::{collections::BTreeSet, mem::replace, num::NonZero, thread, time::Duration};
use surfaces::{Surface, surfaces};
use tokio::{runtime, task::yield_now, time::advance};
use tower_readiness::Readiness;

async fn pass(time: Duration, surfaces: &mut [Named]) {
    advance(time).await;
    // Two turns for each of the two tasks: the timer and the mirror to systemd.
    for _ in 0..4 {
        yield_now().await;
    }
    surfaces
        .iter_mut()
        .for_each(|(_, surface)| surface.receive());
}

type Named = (&'static str, Box<dyn Surface>);

/// Takes the steps, and returns for each lie the wrong answers after any of them, as
/// surface and column.
async fn wrong_answers<const N: usize>(
    surfaces: impl FnOnce(&Readiness, usize) -> Vec<Named>,
    history: &[Turn],
    lies: [Lie; N],
) -> [BTreeSet<String>; N] {
    let mut reference = Reference::new();
    let mut process = Process::new();
    let readiness = process.readiness.clone();
    let mut surfaces = surfaces(&readiness, history.len());
    let mut subscription = readiness.subscribe();
    subscription.changed().now_or_never().unwrap().unwrap();
    let mut wrong = lies.map(|_| BTreeSet::new());
    pass(WATCHDOG, &mut surfaces).await;
    for (step, asks_slow) in history {
        let before = readiness.snapshot();
        if let Step::Entry(silent, Event::FallSilent) = *step {
            // The timer may notice a heartbeat, and silence, a quarter of the TTL late.
            let rounds = 16 + 4 + 2;
            for _ in 0..rounds * usize::from(process.reporters[silent].is_some()) {
                process.heartbeats(silent);
                pass(TTL / 16, &mut surfaces).await;
            }
        }
        let is_taken = process.take(*step);
        let mut past = reference.clone();
        if is_taken || step.may_be_refused() {
            let after = reference.after(*step);
            assert_eq!(is_taken, after.is_some(), "{step:?}");
            past = replace(&mut reference, after.unwrap_or(past));
        }
        if is_taken {
            pass(WATCHDOG, &mut surfaces).await;
        }

        // Each change, and nothing else, is published under a larger version and wakes
        // subscribers.
        let after = readiness.snapshot();
        assert!(after.version() >= before.version());
        assert!(after.phase() >= before.phase());
        assert!(after.verdict().has_started() >= before.verdict().has_started());
        let is_changed = subscription.changed().now_or_never().is_some();
        assert_eq!(is_changed, after.version() > before.version());
        assert!(is_changed || after.verdict() == before.verdict());

        for (surface, asked) in &mut surfaces {
            if *asks_slow || !asked.is_slow() {
                for (column, is) in asked.verdicts() {
                    let is_true = reference.is(column);
                    let answer = Answer {
                        surface,
                        column,
                        is,
                        past: &past,
                        now: &reference,
                    };
                    for (lie, wrong) in lies.iter().zip(&mut wrong) {
                        if lie(&answer) != is_true {
                            wrong.insert(format!("{surface}: {column:?}"));
                        }
                    }
                }
            }
        }
    }
    wrong
}

fn runtime() -> runtime::Runtime {
    let mut builder = runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().unwrap()
}

#[test]
fn every_surface_follows_the_truth_table() {
    let cases = std::env::var("PROPTEST_CASES");
    let cases: u32 = cases.map_or(250, |cases| cases.parse().unwrap());
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let cases_each = cases.div_ceil(u32::try_from(threads).unwrap());
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| follow_the_truth_table(cases_each));
        }
    });
}

fn follow_the_truth_table(cases: u32) {
    let config = ProptestConfig {
        cases,
        source_file: Some(file!()),
        ..ProptestConfig::default()
    };
    let runtime = runtime();
    let outcome = TestRunner::new(config).run(&history(), |history| {
        let wrong = wrong_answers(surfaces, &history, [lies::TRUTH]);
        let [wrong] = runtime.block_on(wrong);
        prop_assert!(wrong.is_empty(), "{wrong:?}");
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}
