//! The truth table, as a process that is too simple to be wrong.

use super::history::{Column, DECLARED, Edit, Event, MEMBERS, SUBSYSTEMS, Step};
use tower_readiness::{Phase, Role, State};

pub struct Reference {
    entries: Vec<Entry>,
    phase: Phase,
    has_started: bool,
    scope_has_started: bool,
    pauses: usize,
}

/// From good to bad.
const ORDER: [State; 6] = [
    State::Ready,
    State::Degraded,
    State::Starting,
    State::Failing,
    State::Stale,
    State::Dead,
];

struct Entry {
    index: usize,
    role: Role,
    is_vital: bool,
    is_member: bool,
    is_declared: bool,
    /// The state without simulations.
    own_state: State,
    /// The last report, even if silence has replaced it.
    reported: State,
    simulations: Vec<State>,
    has_been_up: bool,
    is_timed: bool,
}

impl Entry {
    fn declared(index: usize) -> Self {
        Self {
            is_declared: true,
            is_member: MEMBERS.contains(&index),
            ..Self::added(index)
        }
    }

    fn added(index: usize) -> Self {
        let (_, role, is_vital) = SUBSYSTEMS[index];
        Self {
            index,
            role,
            is_vital,
            is_member: false,
            is_declared: false,
            own_state: State::Starting,
            simulations: Vec::new(),
            reported: State::Starting,
            has_been_up: false,
            is_timed: false,
        }
    }

    fn state(&self) -> State {
        let states = self.simulations.iter().chain([&self.own_state]);
        let place = |state: &&State| ORDER.iter().position(|it| it == *state);
        *states.max_by_key(place).unwrap()
    }

    fn is_up(&self) -> bool {
        matches!(self.state(), State::Ready | State::Degraded)
    }

    /// A subsystem that was added while running counts once it has been up.
    fn counts_as(&self, role: Role) -> bool {
        self.role == role && (self.is_declared || self.has_been_up)
    }

    fn take(&mut self, event: Event, drains: bool) {
        match event {
            Event::Simulate(state) => self.simulations.push(state),
            Event::EndSimulation => drop(self.simulations.remove(0)),
            event => self.take_own(event, drains),
        }
        self.has_been_up |= self.is_up();
    }

    fn take_own(&mut self, event: Event, drains: bool) {
        let is_dead = self.is_vital || self.reported == State::Dead;
        self.own_state = match event {
            Event::Report(state) => state,
            Event::LeaveReady => State::Ready,
            Event::FallSilent if self.is_timed && !drains => State::Stale,
            Event::Drop if is_dead && !drains => State::Dead,
            Event::Drop if !drains => State::Failing,
            _ => self.own_state,
        };
        self.is_timed = matches!(event, Event::Report(_));
        if self.own_state != State::Stale {
            self.reported = self.own_state;
        }
    }
}

impl Reference {
    pub fn new() -> Self {
        Self {
            entries: (0..DECLARED).map(Entry::declared).collect(),
            phase: Phase::Starting,
            has_started: false,
            scope_has_started: false,
            pauses: 0,
        }
    }

    /// Takes a step that the process was able to take.
    pub fn take(&mut self, step: Step) {
        let drains = self.phase >= Phase::Draining;
        match step {
            Step::Pause => self.pauses += 1,
            Step::Resume => self.pauses -= 1,
            Step::Advance(phase) if phase < Phase::Draining => {}
            Step::Advance(phase) => self.phase = self.phase.max(phase),
            Step::Subsystem(index, Event::Add) => self.entries.push(Entry::added(index)),
            Step::Subsystem(index, Event::Retire) => self.entries.retain(|it| it.index != index),
            Step::Reconfigure(index, Edit::Add) => self.entries.push(Entry::added(index)),
            Step::Reconfigure(index, Edit::Remove) => self.entries.retain(|it| it.index != index),
            Step::Reconfigure(index, edit) => {
                let entry = self.entries.iter_mut().find(|it| it.index == index);
                let entry = entry.unwrap();
                match edit {
                    Edit::Role(role) => (entry.role, entry.is_vital) = (role, false),
                    _ => entry.is_member = matches!(edit, Edit::Join),
                }
            }
            Step::Subsystem(index, event) => {
                let entry = self.entries.iter_mut().find(|it| it.index == index);
                entry.unwrap().take(event, drains);
            }
        }
        // The start waits for the subsystems that were required from the beginning.
        let is_awaited = |it: &&Entry| {
            let was_required = SUBSYSTEMS[it.index].1 == Role::Required;
            it.is_declared && was_required && it.role == Role::Required
        };
        let is_up = self.entries.iter().filter(is_awaited).all(Entry::is_up);
        if self.phase == Phase::Starting && is_up {
            (self.phase, self.has_started) = (Phase::Started, true);
        }
        self.scope_has_started |= self.members().all(Entry::is_up) && self.phase < Phase::Draining;
    }

    /// Whether the process may take a step of a reconfiguration.
    pub fn allows(&self, index: usize, edit: Edit) -> bool {
        let entry = self.entries.iter().find(|it| it.index == index);
        let other = |is: fn(&Entry) -> bool| {
            let mut others = self.entries.iter().filter(|it| it.index != index);
            others.any(is)
        };
        let scope_is_left = entry.is_some_and(|it| !it.is_member) || other(|it| it.is_member);
        let is_required = entry.is_some_and(|it| it.role == Role::Required);
        let required_is_left = !is_required || other(|it| it.role == Role::Required);
        match edit {
            Edit::Add => entry.is_none(),
            Edit::Remove => entry.is_some() && scope_is_left && required_is_left,
            Edit::Role(role) => entry.is_some() && (role == Role::Required || required_is_left),
            Edit::Join => entry.is_some_and(|it| !it.is_member),
            Edit::Leave => entry.is_some_and(|it| it.is_member) && scope_is_left,
        }
    }

    fn has(&self, index: usize, is: impl Fn(&Entry) -> bool) -> bool {
        self.entries.iter().any(|it| it.index == index && is(it))
    }

    fn members(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|it| it.is_member)
    }

    fn condition(&self) -> &'static str {
        let any = |is: fn(&Entry) -> bool| self.entries.iter().any(is);
        let is_awaited = any(|it| it.counts_as(Role::Shared) && !it.has_been_up);
        let fails = any(|it| it.counts_as(Role::Required) && !it.is_up());
        let is_degraded = any(|it| it.role != Role::Informative && it.state() != State::Ready);
        word(self.has_started && !is_awaited, fails, is_degraded)
    }

    fn scope_condition(&self) -> &'static str {
        let fails = self.members().any(|it| !it.is_up());
        let is_degraded = self.members().any(|it| it.state() == State::Degraded);
        word(self.scope_has_started, fails, is_degraded)
    }

    pub fn is(&self, column: Column) -> bool {
        let is_lost = |it: &Entry| matches!(it.state(), State::Dead | State::Stale);
        let is_fatal = |it: &Entry| it.is_vital && it.counts_as(Role::Required) && is_lost(it);
        let is_live = !self.entries.iter().any(is_fatal);
        let may_be_ready = is_live && self.pauses == 0 && self.phase < Phase::Draining;
        let serves = |condition| matches!(condition, "ready" | "degraded");
        match column {
            Column::Started => self.has_started,
            Column::Live => is_live,
            Column::Healthy => self.has_started && is_live,
            Column::Ready => may_be_ready && serves(self.condition()),
            Column::ScopeReady => may_be_ready && serves(self.scope_condition()),
            Column::SubsystemReady(index) => may_be_ready && self.has(index, Entry::is_up),
            Column::Admitted => serves(self.condition()) && self.phase < Phase::Closed,
            Column::ScopeAdmitted => serves(self.scope_condition()) && self.phase < Phase::Closed,
            Column::Since(phase) => self.phase >= phase,
            Column::Condition(word) => self.condition() == word,
            Column::ScopeCondition(word) => self.scope_condition() == word,
            Column::Timed(index) => self.has(index, |it| it.is_timed),
            Column::Known(index) => self.has(index, |_| true),
            Column::State(index, state) => self.has(index, |it| it.state() == state),
            Column::Simulated(index) => self.has(index, |it| it.state() != it.own_state),
        }
    }
}

fn word(has_started: bool, fails: bool, is_degraded: bool) -> &'static str {
    match (has_started, fails, is_degraded) {
        (false, ..) => "starting",
        (_, true, _) => "failing",
        (.., true) => "degraded",
        _ => "ready",
    }
}
