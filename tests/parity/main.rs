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
mod groups;
mod history;
mod page;
mod reference;
mod surfaces;

use events::Events;
use futures_util::FutureExt;
use history::{
    Column, DECLARED, Event, PHASES, Process, STATES, SUBSYSTEMS, Step, TTL, Turn, history,
};
use proptest::{prelude::*, test_runner::TestRunner};
use reference::Reference;
use serde_json::Value;
use std::{collections::BTreeSet, time::Duration};
use surfaces::{Surface, Verdicts, WATCHDOG, surfaces};
use tokio::{runtime, task::yield_now, time::advance};
use tower_readiness::{Readiness, State};

/// A surface whose answers pass through a lie.
struct Liar(Box<dyn Surface>, fn(bool) -> bool);

impl Surface for Liar {
    fn verdicts(&mut self) -> Verdicts {
        let verdicts = self.0.verdicts().into_iter();
        verdicts.map(|(column, is)| (column, self.1(is))).collect()
    }

    fn receive(&mut self) {
        self.0.receive();
    }

    fn is_slow(&self) -> bool {
        self.0.is_slow()
    }
}

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

/// Takes the steps and returns the wrong answers after any of them, as surface and
/// column.
async fn wrong_answers(history: &[Turn], lie: fn(bool) -> bool) -> BTreeSet<String> {
    wrong_answers_of(surfaces, history, lie).await
}

async fn wrong_answers_of(
    surfaces: impl FnOnce(&Readiness, usize) -> Vec<Named>,
    history: &[Turn],
    lie: fn(bool) -> bool,
) -> BTreeSet<String> {
    let mut reference = Reference::new();
    let mut process = Process::new();
    let readiness = process.readiness.clone();
    let surfaces = surfaces(&readiness, history.len()).into_iter();
    let mut surfaces: Vec<(_, Box<dyn Surface>)> = surfaces
        .map(|(name, surface)| (name, Box::new(Liar(surface, lie)) as _))
        .collect();
    let mut subscription = readiness.subscribe();
    subscription.changed().now_or_never().unwrap().unwrap();
    let mut wrong = BTreeSet::new();
    for (step, asks_slow) in history {
        let before = readiness.snapshot();
        if let Step::Subsystem(silent, Event::FallSilent) = *step {
            // The timer may notice a heartbeat, and silence, a quarter of the TTL late.
            let rounds = 16 + 4 + 2;
            let timed = (0..SUBSYSTEMS.len()).filter(|it| reference.is(Column::Timed(*it)));
            let timed: Vec<_> = timed.collect();
            for _ in 0..rounds * usize::from(timed.contains(&silent)) {
                for other in timed.iter().filter(|it| **it != silent) {
                    process.reporters[*other].as_ref().unwrap().heartbeat();
                }
                pass(TTL / 16, &mut surfaces).await;
            }
        }
        let is_taken = process.take(*step);
        if let Step::Reconfigure(index, edit) = *step {
            assert_eq!(is_taken, reference.allows(index, edit), "{step:?}");
        }
        if is_taken {
            reference.take(*step);
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

        pass(WATCHDOG, &mut surfaces).await;
        for (name, surface) in &mut surfaces {
            if *asks_slow || !surface.is_slow() {
                let verdicts = surface.verdicts().into_iter();
                let lies = verdicts.filter(|(column, is)| *is != reference.is(*column));
                wrong.extend(lies.map(|(column, _)| format!("{name}: {column:?}")));
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
    let config = ProptestConfig {
        cases: cases.map_or(500, |cases| cases.parse().unwrap()),
        source_file: Some(file!()),
        ..ProptestConfig::default()
    };
    let runtime = runtime();
    let outcome = TestRunner::new(config).run(&history(), |history| {
        let wrong = runtime.block_on(wrong_answers(&history, |is| is));
        prop_assert!(wrong.is_empty(), "{wrong:?}");
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

/// Columns are judged one by one, so that one history shows for each column of each
/// surface whether a lie about it is found.
#[test]
fn no_surface_can_lie_about_a_column() {
    let history = every_state();
    let run = |lie| runtime().block_on(wrong_answers(&history, lie));
    assert_eq!(run(|is| is), BTreeSet::new());
    let all = run(|is| !is);
    for (name, _) in runtime().block_on(async { surfaces(&Process::new().readiness, 0) }) {
        let mut columns = all.iter().filter(|it| it.starts_with(&format!("{name}: ")));
        assert!(columns.next().is_some(), "{name} answers no column");
    }
    assert_eq!(run(|_| true), all, "always green");
    assert_eq!(run(|_| false), all, "always red");
}

/// A client that does not apply a part of the changes is found.
#[test]
fn no_part_of_a_change_can_be_lost() {
    let history = every_state();
    let run = |bug| {
        let client = |readiness: &Readiness, _| {
            let events = Events::new(readiness, bug);
            vec![("events", Box::new(events) as Box<dyn Surface>)]
        };
        let wrong = wrong_answers_of(client, &history, |is| is);
        runtime().block_on(wrong)
    };
    assert_eq!(run(|_| {}), BTreeSet::new());
    let bugs: [fn(&mut Value); 6] = [
        |change| change["subsystems"] = Value::Null,
        |change| change["scopes"] = Value::Null,
        |change| change["removed"] = Value::Null,
        |change| change["verdicts"] = Value::Null,
        |change| change["phase"] = Value::Null,
        |change| change["condition"] = Value::Null,
    ];
    for bug in bugs {
        assert_ne!(run(bug), BTreeSet::new());
    }
}

/// A history in which each column is once true and once false.
fn every_state() -> Vec<Turn> {
    let each = |event| (0..SUBSYSTEMS.len()).map(move |index| Step::Subsystem(index, event));
    let mut steps: Vec<_> = (DECLARED..SUBSYSTEMS.len())
        .map(|index| Step::Subsystem(index, Event::Add))
        .collect();
    steps.extend(each(Event::Report(State::Ready)));
    for index in 0..SUBSYSTEMS.len() {
        let states = STATES.map(Event::Report).into_iter();
        let events = states.chain([
            Event::FallSilent,
            Event::Report(State::Ready),
            Event::Simulate(State::Degraded),
            Event::Simulate(State::Dead),
            Event::EndSimulation,
            Event::EndSimulation,
        ]);
        steps.extend(events.map(|event| Step::Subsystem(index, event)));
    }
    steps.extend([Step::Pause, Step::Resume]);
    steps.extend(each(Event::Retire));
    steps.extend(PHASES.map(Step::Advance));

    steps.into_iter().map(|step| (step, true)).collect()
}
