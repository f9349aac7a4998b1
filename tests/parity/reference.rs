//! The reference model: every rule, in a process that is too simple to be wrong. The other
//! files of this test take a real process through histories, and compare.

use super::history::{Column, DAMPED, DECLARED, ENTRIES, Event, GROUP, MEMBERS, Step};
use tower_readiness::Phase::{self, Closed, Started};
use tower_readiness::Role::{self, Informative, Required, Shared};
use tower_readiness::State::{self, Dead, Degraded, Failing, Ready, Stale, Starting};

/// From good to bad.
const ORDER: [State; 6] = [Ready, Degraded, Starting, Failing, Stale, Dead];

const REQUIRED: Option<Role> = Some(Required);

fn worst(states: &[State]) -> Option<State> {
    ORDER.into_iter().rfind(|it| states.contains(it))
}

fn is_up(states: &[State]) -> bool {
    matches!(worst(states), Some(Ready | Degraded))
}

/// A subsystem, or a member of the group. Of two values, one is for the process, and one for
/// the scope, in which each member counts as if it were declared as required.
#[derive(Clone, Default)]
struct Entry {
    roles: [Option<Role>; 2],
    /// The roles at the start of the process; none of a subsystem that was added later.
    declared: [Option<Role>; 2],
    is_vital: bool,
    /// The state by reports and silence, then the simulated ones; none of an unknown subsystem.
    states: Vec<State>,
    /// The last report of the present reporter.
    report: Option<State>,
    /// When a report that is held down counts.
    due: Option<usize>,
    has_been_up: bool,
}

fn entry(index: usize, is_declared: bool) -> Entry {
    let (_, role, is_vital, is_member) = ENTRIES[index];
    Entry {
        roles: [Some(role), (is_declared && is_member).then_some(Required)],
        declared: [is_declared.then_some(role), REQUIRED],
        is_vital,
        states: vec![Starting],
        ..Entry::default()
    }
}

fn settle(it: &mut Entry, own: State, report: Option<State>, due: Option<usize>) {
    (it.states[0], it.report, it.due) = (own, report, due);
}

/// What a subsystem does to the condition: 0 is nothing, 1 degrades it, 2 fails, 3 fails and is
/// worth a restart, 4 is awaited.
fn effect(it: &Entry, scope: usize) -> usize {
    let state = worst(&it.states);
    let counts = it.has_been_up || it.declared[scope].is_some();
    match it.roles[scope] {
        None | Some(Informative) => 0,
        Some(Shared) if counts && !it.has_been_up => 4,
        Some(Required) if counts && it.is_vital && matches!(state, Some(Dead | Stale)) => 3,
        Some(Required) if counts && !is_up(&it.states) => 2,
        _ => usize::from(state != Some(Ready)),
    }
}

#[derive(Clone, Default)]
pub struct Reference {
    /// The members of the group follow the subsystems.
    entries: [Entry; ENTRIES.len()],
    /// Whether the group has been up.
    was_up: bool,
    has_started: [bool; 2],
    /// The phase, from draining on.
    drain: Option<Phase>,
    pauses: usize,
    now: usize,
}

impl Reference {
    pub fn new() -> Self {
        let mut new = Self::default();
        (0..DECLARED).for_each(|index| new.entries[index] = entry(index, true));
        new
    }

    /// The process after a step and the time until the next, or `None` if it refuses the step.
    pub fn after(&self, step: Step) -> Option<Self> {
        let mut next = self.clone();
        match step {
            Step::Pause => next.pauses += 1,
            Step::Resume => next.pauses -= 1,
            Step::Advance(to) => next.drain = self.drain.max(Some(to).filter(|it| *it > Started)),
            Step::Entry(index, event) => next.take(index, event)?,
        }
        next.entries[GROUP].states[0] = next.group();
        next.was_up |= is_up(&[next.group()]);
        for scope in [0, 1] {
            let waits = |it| matches!(effect(it, scope), 2 | 3) && it.declared[scope] == REQUIRED;
            next.has_started[scope] |= next.drain.is_none() && !next.entries.iter().any(waits);
        }
        next.now += 1 + usize::from(matches!(step, Step::Entry(_, Event::FallSilent)));
        for it in &mut next.entries {
            it.has_been_up |= is_up(&it.states);
            if it.due.take_if(|due| *due <= next.now).is_some() {
                it.states[0] = it.report?;
            }
        }
        // A plan keeps a required subsystem, and a member of the scope.
        let has = |of: &Self, at: usize| of.entries.iter().any(|it| it.roles[at] == REQUIRED);
        let keeps = |at| has(&next, at) || !has(self, at);
        (keeps(0) && keeps(1) || matches!(step, Step::Entry(_, Event::Retire))).then_some(next)
    }

    fn take(&mut self, index: usize, event: Event) -> Option<()> {
        let it = &mut self.entries[index];
        let (own, report) = (it.states.first().copied(), it.report);
        let due = it.due.or(Some(self.now + 2));
        let damps = DAMPED.contains(&index) && is_up(own.as_slice());
        let lost = if it.is_vital { Dead } else { Failing };
        let drains = self.drain.is_some();
        match event {
            _ if own.is_none() != matches!(event, Event::Add | Event::PlanAdd) => return None,
            Event::Add | Event::PlanAdd => *it = entry(index, false),
            Event::Remove if index == GROUP => return None,
            Event::Remove | Event::Retire => *it = Entry::default(),
            Event::Role(role) => (it.roles[0], it.is_vital) = (Some(role), false),
            Event::Scope(is) if it.roles[1].is_some() == is => return None,
            Event::Scope(is) => it.roles[1] = is.then_some(Required),
            Event::Simulate(state) => it.states.push(state),
            Event::EndSimulation => drop(it.states.remove(1)),
            Event::Report(to @ (Starting | Failing)) if damps => settle(it, own?, Some(to), due),
            Event::Report(to) => settle(it, to, Some(to), None),
            Event::LeaveReady => settle(it, Ready, None, None),
            Event::Drop if !drains => settle(it, worst(&[report.or(own)?, lost])?, None, None),
            Event::FallSilent if !drains && report.is_some() => settle(it, Stale, report, None),
            Event::Claim | Event::Drop | Event::FallSilent => {}
        }
        Some(())
    }

    /// The number of members of the group in some states.
    fn members(&self, are: impl Fn(State) -> bool) -> usize {
        let states = self.entries[MEMBERS..].iter().flat_map(|it| &it.states);
        states.filter(|it| are(**it)).count()
    }

    /// The state of the group, by the quarters of its members that are up.
    fn group(&self) -> State {
        match 4 * self.members(|it| is_up(&[it])) / self.members(|_| true).max(1) {
            0 if self.was_up || self.members(|it| matches!(it, Failing | Dead)) > 0 => Failing,
            0 => Starting,
            1 | 2 => Degraded,
            _ => Ready,
        }
    }

    fn condition(&self, scope: usize) -> &'static str {
        let start = if self.has_started[scope] { 0 } else { 4 };
        let effects = self.entries.iter().map(|it| effect(it, scope));
        ["ready", "degraded", "failing", "failing", "starting"][effects.fold(start, usize::max)]
    }

    /// The truth table.
    pub fn is(&self, column: Column) -> bool {
        let is_live = || !self.entries.iter().any(|it| effect(it, 0) == 3);
        let is_open = || is_live() && self.pauses == 0 && self.drain.is_none();
        let serves = |scope| matches!(self.condition(scope), "ready" | "degraded");
        let states = |index: usize| &self.entries[index].states[..];
        match column {
            Column::Started => self.has_started[0],
            Column::Live => is_live(),
            Column::Healthy => self.has_started[0] && is_live(),
            Column::Ready(scope) => is_open() && serves(scope),
            Column::SubsystemReady(index) => is_open() && is_up(states(index)),
            Column::Admitted(scope) => serves(scope) && self.drain < Some(Closed),
            Column::Since(Started) => self.has_started[0] || self.drain.is_some(),
            Column::Since(phase) => self.drain >= Some(phase),
            Column::Condition(scope, word) => self.condition(scope) == word,
            Column::State(index, state) => worst(states(index)) == state,
            Column::Simulated(index) => worst(states(index)) != states(index).first().copied(),
            Column::Members(state, count) => self.members(|it| it == state) == count,
        }
    }
}
