//! Surfaces that lie: the test finds a lie about each column of each surface, so every
//! entry of the list of surfaces has an effect.

use crate::{
    Named,
    events::Events,
    history::{
        Column, DECLARED, ENTRIES, Event, GROUP, MEMBERS, PHASES, Process, SIMULATED, STATES, Step,
        Turn,
    },
    reference::Reference,
    runtime,
    surfaces::{Surface, surfaces},
    wrong_answers,
};
use serde_json::Value;
use std::{collections::BTreeSet, ops::Range};
use tower_readiness::{Phase, Readiness, State};

/// An answer of a surface, and the models before and after the step.
pub struct Answer<'a> {
    pub surface: &'static str,
    pub column: Column,
    pub is: bool,
    pub past: &'a Reference,
    pub now: &'a Reference,
}

/// What a surface answers instead.
pub type Lie = fn(&Answer<'_>) -> bool;

pub const TRUTH: Lie = |answer| answer.is;

/// A mistake that each surface could make: asked for the first column, it answers the
/// second.
const MISTAKES: [(&str, Column, Column); 17] = [
    // The startup latch is taken for health.
    ("snapshot", Column::Healthy, Column::Started),
    // The startup probe is not latched.
    ("probe, text", Column::Started, Column::Ready(0)),
    // Liveness restarts a process that starts.
    ("probe, verbose", Column::Live, Column::Healthy),
    // Readiness overlooks the pause, the drain and a vital subsystem.
    ("probe, JSON", Column::Ready(0), Column::Admitted(0)),
    // A process that drains refuses requests at once.
    ("gate", Column::Admitted(0), Column::Ready(0)),
    // The gate of the scope asks the process.
    ("gate, gRPC", Column::Admitted(1), Column::Admitted(0)),
    // A container is killed while it drains.
    ("health check", Column::Healthy, Column::Ready(0)),
    // An outage fails liveness.
    ("gRPC", Column::Live, Column::Ready(0)),
    // The alias of the scope answers for the process.
    ("gRPC, aliases", Column::Ready(1), Column::Ready(0)),
    // Streams end when the drain begins.
    (
        "gRPC, watch",
        Column::Since(Phase::Closing),
        Column::Since(Phase::Draining),
    ),
    // The alias of liveness answers for the startup.
    ("gRPC, watch of aliases", Column::Live, Column::Started),
    // Another subsystem is removed.
    ("events", Column::State(1, None), Column::State(0, None)),
    // Silence is shown as death.
    (
        "page",
        Column::State(0, Some(State::Stale)),
        Column::State(0, Some(State::Dead)),
    ),
    // A member is shown in the state of its group.
    (
        "members",
        Column::State(MEMBERS, Some(State::Ready)),
        Column::State(GROUP, Some(State::Ready)),
    ),
    // The condition of the scope is that of the process.
    (
        "metrics",
        Column::Condition(1, "failing"),
        Column::Condition(0, "failing"),
    ),
    // Pings wait for the start.
    ("systemd", Column::Live, Column::Healthy),
    // The last words forget the drain.
    ("last words", Column::Ready(0), Column::Admitted(0)),
];

/// Columns are judged one by one, so that one history shows for each column of each
/// surface whether a lie about it is found.
#[test]
fn no_surface_can_lie_about_a_column() {
    let mistaken: Lie = |answer| {
        let mut mistakes = MISTAKES.into_iter();
        let mistake = mistakes.find(|it| (it.0, it.1) == (answer.surface, answer.column));
        mistake.map_or(answer.is, |(.., instead)| answer.now.is(instead))
    };
    let late: Lie = |answer| answer.past.is(answer.column);
    let lies: [Lie; 6] = [TRUTH, |it| !it.is, |_| true, |_| false, late, mistaken];
    let wrong = runtime().block_on(wrong_answers(surfaces, &every_state(), lies));
    let [truth, all, green, red, late, mistaken] = wrong;
    assert_eq!(truth, BTreeSet::new());
    let surfaces = |wrong: &BTreeSet<String>| -> BTreeSet<String> {
        let names = wrong.iter().map(|it| it.split(": ").next().unwrap());
        names.map(str::to_owned).collect()
    };
    let names = runtime().block_on(async { super::surfaces(&Process::new().readiness, 0) });
    let names: BTreeSet<_> = names.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(surfaces(&all), names, "a surface answers no column");
    assert_eq!(green, all, "always green");
    // A group is never unknown.
    let is_possible = |it: &&String| !it.ends_with(&format!("State({GROUP}, None)"));
    let possible: BTreeSet<_> = all.iter().filter(is_possible).cloned().collect();
    let differ: Vec<_> = red.symmetric_difference(&possible).collect();
    assert!(differ.is_empty(), "always red: {differ:?}");
    assert_eq!(surfaces(&late), names, "the answer before the step");
    let mistakes = MISTAKES.map(|(surface, column, _)| format!("{surface}: {column:?}"));
    assert_eq!(mistaken, BTreeSet::from(mistakes));
    assert_eq!(surfaces(&mistaken), names, "a surface without a mistake");
}

/// What a client overlooks in a change.
type Bug = fn(&mut Value);

/// A client that does not apply a part of the changes is found.
#[test]
fn no_part_of_a_change_can_be_lost() {
    const BUGS: [(&str, Bug); 7] = [
        ("none", |_| {}),
        ("subsystems", |change| change["subsystems"] = Value::Null),
        ("scopes", |change| change["scopes"] = Value::Null),
        ("removed", |change| change["removed"] = Value::Null),
        ("verdicts", |change| change["verdicts"] = Value::Null),
        ("phase", |change| change["phase"] = Value::Null),
        ("condition", |change| change["condition"] = Value::Null),
    ];
    let clients = |readiness: &Readiness, _| -> Vec<Named> {
        let client = |bug| Box::new(Events::new(readiness, bug)) as Box<dyn Surface>;
        BUGS.map(|(part, bug)| (part, client(bug))).into()
    };
    let [wrong] = runtime().block_on(wrong_answers(clients, &every_state(), [TRUTH]));
    for (part, _) in BUGS {
        let is_found = wrong.iter().any(|it| it.starts_with(part));
        assert_eq!(is_found, part != "none", "{part}: {wrong:?}");
    }
}

/// A history in which each column is once true and once false, and that has what random
/// histories seldom have. The slow surfaces answer at the end of each batch.
fn every_state() -> Vec<Turn> {
    let each = |indices: Range<usize>, event| -> Vec<_> {
        indices.map(|index| Step::Entry(index, event)).collect()
    };
    let all = |event| each(0..MEMBERS, event);
    let members = |event| each(MEMBERS..ENTRIES.len(), event);
    let vital = |event| vec![Step::Entry(0, event)];
    let ready = all(Event::Report(State::Ready));
    let rare = (0..MEMBERS).flat_map(|index| {
        let events = [
            // The first of two reports decides how long both are held down.
            Event::Report(State::Failing),
            Event::Report(State::Starting),
            // A drop after silence does not make a dead subsystem better.
            Event::Report(State::Dead),
            Event::FallSilent,
            Event::Drop,
            Event::Claim,
            Event::Drop,
            Event::Claim,
        ];
        events.map(|event| Step::Entry(index, event))
    });
    let rare = rare.collect();
    let mut batches = vec![
        vec![Step::Advance(Phase::Started)],
        each(DECLARED..MEMBERS, Event::Add),
        members(Event::Add),
        ready.clone(),
    ];
    batches.extend(STATES.map(|it| members(Event::Report(it))));
    let half = MEMBERS..(MEMBERS + ENTRIES.len()) / 2;
    batches.push(each(half, Event::Report(State::Failing)));
    batches.extend(STATES.map(|it| all(Event::Report(it))));
    batches.extend(SIMULATED.map(|it| all(Event::Simulate(it))));
    batches.extend(SIMULATED.map(|_| all(Event::EndSimulation)));
    batches.extend([
        vital(Event::Simulate(State::Dead)),
        vital(Event::EndSimulation),
        vec![Step::Pause],
        vec![Step::Resume],
        all(Event::FallSilent),
        ready.clone(),
        rare,
        vital(Event::Retire),
        all(Event::Retire),
        members(Event::Retire),
        each(DECLARED..MEMBERS, Event::Add),
        members(Event::Add),
        // Tasks end in any order.
        vec![Step::Advance(Phase::Draining)],
        each(DECLARED..MEMBERS, Event::Drop),
        members(Event::Drop),
    ]);
    batches.extend(PHASES.map(|it| vec![Step::Advance(it)]));
    let turns = batches.into_iter().flat_map(|batch| {
        let last = batch.len() - 1;
        let steps = batch.into_iter().enumerate();
        steps.map(move |(index, step)| (step, index == last))
    });
    turns.collect()
}
