//! Random histories of a process, and a model of what they come to that is too
//! simple to be wrong.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary includes this module and uses a part of it"
)]

use proptest::{prelude::*, sample::select};
use std::time::Duration;
use tower_readiness::{
    ClaimError, Condition, PauseGuard, Phase, Readiness, Reporter, Role, State, Subsystem,
};

/// Those declared at build, and the scope over some of them.
pub const DECLARED: [(&str, Role, bool); 5] = [
    ("vital", Role::Required, true),
    ("required", Role::Required, false),
    ("shared", Role::Shared, false),
    ("optional", Role::Optional, false),
    ("other", Role::Optional, false),
];
pub const MEMBERS: [&str; 3] = ["optional", "shared", "required"];
/// Those that may be added while running.
pub const ADDED: [(&str, Role, bool); 3] = [
    ("late", Role::Required, false),
    ("late-vital", Role::Required, true),
    ("late-shared", Role::Shared, false),
];
/// For longer than this nobody is silent, unless a test lets time pass.
pub const TTL: Duration = Duration::from_secs(3_600);
pub const STATES: [State; 5] = [
    State::Starting,
    State::Ready,
    State::Degraded,
    State::Failing,
    State::Dead,
];
pub const PHASES: [Phase; 5] = [
    Phase::Starting,
    Phase::Started,
    Phase::Draining,
    Phase::Closing,
    Phase::Closed,
];

pub fn subsystem((name, role, vital): (&str, Role, bool)) -> Subsystem {
    let subsystem = Subsystem::new(name).ttl(TTL);
    match role {
        Role::Shared => subsystem.shared(),
        Role::Optional => subsystem.optional(),
        _ if vital => subsystem.vital(),
        _ => subsystem,
    }
}

pub fn name(index: usize) -> &'static str {
    DECLARED.iter().chain(&ADDED).nth(index).unwrap().0
}

#[derive(Clone, Debug)]
pub enum Step {
    Claim(usize),
    Say(usize, State),
    Drop(usize),
    Retire(usize),
    LeaveReady(usize),
    Add(usize),
    Pause,
    Resume,
    Advance(Phase),
}

pub fn step() -> impl Strategy<Value = Step> {
    let any = 0..DECLARED.len() + ADDED.len();
    prop_oneof![
        4 => any.clone().prop_map(Step::Claim),
        12 => (any.clone(), select(&STATES[..])).prop_map(|(index, state)| Step::Say(index, state)),
        // Most of the time things go well, or few histories would get far.
        12 => any.clone().prop_map(|index| Step::Say(index, State::Ready)),
        2 => any.clone().prop_map(Step::Drop),
        1 => any.clone().prop_map(Step::Retire),
        1 => any.prop_map(Step::LeaveReady),
        2 => (0..ADDED.len()).prop_map(Step::Add),
        1 => Just(Step::Pause),
        2 => Just(Step::Resume),
        1 => select(&PHASES[..]).prop_map(Step::Advance),
    ]
}

// === the model ===

#[derive(Clone, Copy, PartialEq)]
pub enum Holder {
    Nobody,
    Reporter,
    LeftReady,
}

#[derive(Clone)]
pub struct Entry {
    pub name: &'static str,
    pub role: Role,
    pub vital: bool,
    pub declared: bool,
    pub state: State,
    /// What was said last, by whoever reported.
    pub said: State,
    /// Whether whoever reports now has said anything.
    pub spoken: bool,
    pub been_up: bool,
    pub holder: Holder,
}

impl Entry {
    pub fn up(&self) -> bool {
        matches!(self.state, State::Ready | State::Degraded)
    }

    pub fn say(&mut self, state: State) {
        self.state = state;
        self.said = state;
        self.spoken = true;
        self.been_up |= self.up();
    }

    /// Whether its silence counts.
    pub fn is_listened_for(&self) -> bool {
        self.holder == Holder::Reporter && self.spoken && self.state != State::Stale
    }
}

pub struct Model {
    pub entries: Vec<Entry>,
    pub phase: Phase,
    pub started: bool,
    pub scope_started: bool,
    pub pauses: usize,
}

/// What a surface can tell: condition, startup, liveness, readiness, and
/// whether traffic is refused.
#[derive(Debug, PartialEq)]
pub struct Answer {
    pub condition: Condition,
    pub started: bool,
    pub live: bool,
    pub ready: bool,
    pub refused: bool,
}

impl Model {
    pub fn entry(
        (name, role, vital): (&'static str, Role, bool),
        declared: bool,
        holder: Holder,
    ) -> Entry {
        Entry {
            name,
            role,
            vital,
            declared,
            state: State::Starting,
            said: State::Starting,
            spoken: false,
            been_up: false,
            holder,
        }
    }

    pub fn new() -> Self {
        let entries = DECLARED
            .iter()
            .map(|it| Self::entry(*it, true, Holder::Reporter))
            .collect();
        Self {
            entries,
            phase: Phase::Starting,
            started: false,
            scope_started: false,
            pauses: 0,
        }
    }

    pub fn find(&mut self, name: &str) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.name == name)
    }

    pub fn members(&self) -> impl Iterator<Item = &Entry> {
        self.entries
            .iter()
            .filter(|entry| entry.declared && MEMBERS.contains(&entry.name))
    }

    /// Latches what is to be latched.
    pub fn settle(&mut self) {
        let required = |entry: &&Entry| entry.declared && entry.role == Role::Required;
        if self.phase == Phase::Starting && self.entries.iter().filter(required).all(Entry::up) {
            self.phase = Phase::Started;
            self.started = true;
        }
        let scope_up = self.members().all(Entry::up);
        self.scope_started |= scope_up && self.phase < Phase::Draining;
    }

    pub fn answer(&self, condition: Condition, started: bool) -> Answer {
        let live = !self.entries.iter().any(|entry| {
            let gone = matches!(entry.state, State::Dead | State::Stale);
            entry.vital && gone && (entry.declared || entry.been_up)
        });
        let able = matches!(condition, Condition::Ready | Condition::Degraded);
        Answer {
            condition,
            started,
            live,
            ready: able && live && self.pauses == 0 && self.phase < Phase::Draining,
            refused: !able || self.phase == Phase::Closed,
        }
    }

    pub fn process(&self) -> Answer {
        let pending = |entry: &Entry| !entry.declared && !entry.been_up;
        let mut condition = Condition::Ready;
        let counting: Vec<_> = self
            .entries
            .iter()
            .filter(|entry| !pending(entry))
            .collect();
        if self.entries.iter().any(|entry| entry.state != State::Ready) {
            condition = Condition::Degraded;
        }
        if counting
            .iter()
            .any(|entry| entry.role == Role::Required && !entry.up())
        {
            condition = Condition::Failing;
        }
        let awaited = counting
            .iter()
            .any(|entry| entry.role == Role::Shared && !entry.been_up);
        if !self.started || awaited {
            condition = Condition::Starting;
        }
        self.answer(condition, self.started)
    }

    pub fn scope(&self) -> Answer {
        let condition = if !self.scope_started {
            Condition::Starting
        } else if !self.members().all(Entry::up) {
            Condition::Failing
        } else if self.members().any(|entry| entry.state == State::Degraded) {
            Condition::Degraded
        } else {
            Condition::Ready
        };
        self.answer(condition, self.scope_started)
    }
}

// === the real thing ===

pub struct Process {
    pub readiness: Readiness,
    pub reporters: Vec<Option<Reporter>>,
    pub pauses: Vec<PauseGuard>,
}

impl Process {
    pub fn new() -> Self {
        let builder = DECLARED.iter().fold(Readiness::builder(), |builder, it| {
            builder.subsystem(subsystem(*it))
        });
        let readiness = builder.scope("scope", MEMBERS).build().unwrap();
        let claim = |(name, ..): &(&str, Role, bool)| Some(readiness.reporter(name).unwrap());
        let mut reporters: Vec<_> = DECLARED.iter().map(claim).collect();
        reporters.extend(ADDED.map(|_| None));
        Self {
            readiness,
            reporters,
            pauses: Vec::new(),
        }
    }
}

/// Lets it happen, to the model and to the real thing.
pub fn take(step: &Step, model: &mut Model, real: &mut Process) {
    match *step {
        Step::Claim(index) => {
            let name = name(index);
            let claimed = real.readiness.reporter(name);
            match model.find(name) {
                None => assert!(matches!(claimed, Err(ClaimError::Unknown { .. }))),
                Some(entry) => match entry.holder {
                    Holder::Reporter => assert!(matches!(claimed, Err(ClaimError::Held { .. }))),
                    Holder::LeftReady => {
                        assert!(matches!(claimed, Err(ClaimError::LeftReady { .. })));
                    }
                    Holder::Nobody => {
                        real.reporters[index] = Some(claimed.unwrap());
                        entry.holder = Holder::Reporter;
                        entry.spoken = false;
                    }
                },
            }
        }
        Step::Say(index, state) => {
            if let Some(reporter) = &real.reporters[index] {
                match state {
                    State::Starting => reporter.starting("again"),
                    State::Ready => reporter.ready(),
                    State::Degraded => reporter.degraded("slow"),
                    State::Failing => reporter.failing("gone"),
                    _ => reporter.dead("gone for good"),
                }
                model.find(name(index)).unwrap().say(state);
            }
        }
        Step::Drop(index) => {
            if real.reporters[index].take().is_some() {
                let draining = model.phase >= Phase::Draining;
                let entry = model.find(name(index)).unwrap();
                entry.holder = Holder::Nobody;
                if !draining {
                    let dead = entry.vital || entry.said == State::Dead;
                    entry.say(if dead { State::Dead } else { State::Failing });
                }
            }
        }
        Step::Retire(index) => {
            if let Some(reporter) = real.reporters[index].take() {
                reporter.retire();
                model.entries.retain(|entry| entry.name != name(index));
            }
        }
        Step::LeaveReady(index) => {
            if let Some(reporter) = real.reporters[index].take() {
                reporter.leave_ready();
                let entry = model.find(name(index)).unwrap();
                entry.holder = Holder::LeftReady;
                entry.say(State::Ready);
            }
        }
        Step::Add(added) => {
            let index = DECLARED.len() + added;
            let reporter = real.readiness.add(subsystem(ADDED[added]));
            if model.find(name(index)).is_some() {
                assert!(reporter.is_err());
            } else {
                real.reporters[index] = Some(reporter.unwrap());
                let entry = Model::entry(ADDED[added], false, Holder::Reporter);
                model.entries.push(entry);
            }
        }
        Step::Pause => {
            real.pauses.push(real.readiness.pause("for a while"));
            model.pauses += 1;
        }
        Step::Resume => {
            if real.pauses.pop().is_some() {
                model.pauses -= 1;
            }
        }
        Step::Advance(phase) => {
            real.readiness.advance(phase);
            if phase >= Phase::Draining {
                model.phase = model.phase.max(phase);
            }
        }
    }
}
