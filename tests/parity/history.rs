//! Random histories of a process: the steps, the columns by which they are judged,
//! and the process itself.

use proptest::{bool::weighted, collection::vec, prelude::*, sample::select};
use std::time::Duration;
use tower_readiness::{
    ClaimError, PauseGuard, Phase, Readiness, Reporter, Role, State, Subsystem,
    testing::SimulationGuard,
};

/// Name, role, and whether it is vital. Those after the first [`DECLARED`] are added
/// while the process runs.
pub const SUBSYSTEMS: [(&str, Role, bool); 10] = [
    ("vital", Role::Required, true),
    ("required", Role::Required, false),
    ("shared", Role::Shared, false),
    ("optional", Role::Optional, false),
    ("other", Role::Optional, false),
    ("informative", Role::Informative, false),
    ("late", Role::Required, false),
    ("late-vital", Role::Required, true),
    ("late-shared", Role::Shared, false),
    ("late-informative", Role::Informative, false),
];
pub const DECLARED: usize = 6;
/// The members of the scope.
pub const MEMBERS: [usize; 3] = [3, 2, 1];
/// A subsystem is silent for longer than this only if [`Event::FallSilent`] wants it.
pub const TTL: Duration = Duration::from_secs(3_600);
pub const STATES: [State; 5] = [
    State::Starting,
    State::Degraded,
    State::Failing,
    State::Dead,
    State::Ready,
];
pub const SIMULATED: [State; 5] = [
    State::Starting,
    State::Degraded,
    State::Failing,
    State::Stale,
    State::Dead,
];
pub const PHASES: [Phase; 4] = [
    Phase::Started,
    Phase::Draining,
    Phase::Closing,
    Phase::Closed,
];

#[derive(Clone, Copy, Debug)]
pub enum Step {
    Pause,
    Resume,
    Advance(Phase),
    Subsystem(usize, Event),
    Reconfigure(usize, Edit),
}

/// A change of a subsystem by a reconfiguration.
#[derive(Clone, Copy, Debug)]
pub enum Edit {
    Add,
    Remove,
    Role(Role),
    Join,
    Leave,
}

#[derive(Clone, Copy, Debug)]
pub enum Event {
    Add,
    Claim,
    Report(State),
    FallSilent,
    Drop,
    Retire,
    LeaveReady,
    Simulate(State),
    /// Ends the first simulation.
    EndSimulation,
}

/// A question that a surface answers with yes or no.
#[derive(Clone, Copy, Debug)]
pub enum Column {
    Started,
    Live,
    Healthy,
    Ready,
    ScopeReady,
    SubsystemReady(usize),
    Admitted,
    ScopeAdmitted,
    Since(Phase),
    Condition(&'static str),
    ScopeCondition(&'static str),
    Known(usize),
    /// Whether the present reporter has reported, so that its silence counts. No surface
    /// shows it.
    Timed(usize),
    State(usize, State),
    /// Whether a simulation counts.
    Simulated(usize),
}

/// A step, and whether the slow surfaces answer after it.
pub type Turn = (Step, bool);

/// Up to 40 turns, mostly fewer than 13. Every second history begins with the start of
/// the process, which few would reach otherwise.
pub fn history() -> impl Strategy<Value = Vec<Turn>> {
    let start = (0..DECLARED).map(|index| Step::Subsystem(index, Event::Report(State::Ready)));
    let start = Just(start.map(|step| (step, false)).collect());
    let turn = || (step(), weighted(0.1));
    let end = prop_oneof![
        5 => vec(turn(), 1..8),
        1 => vec(turn(), 8..36),
    ];
    let start = prop_oneof![Just(Vec::new()), start];
    (start, end).prop_map(|(start, end)| [start, end].concat())
}

fn step() -> impl Strategy<Value = Step> {
    let event = prop_oneof![
        8 => Just(Event::Claim),
        24 => select(&STATES[..]).prop_map(Event::Report),
        // Mostly things go well, or few histories would get far.
        24 => Just(Event::Report(State::Ready)),
        3 => Just(Event::FallSilent),
        4 => Just(Event::Drop),
        2 => Just(Event::Retire),
        2 => Just(Event::LeaveReady),
        4 => select(&SIMULATED[..]).prop_map(Event::Simulate),
        4 => Just(Event::EndSimulation),
    ];
    let added = DECLARED..SUBSYSTEMS.len();
    let edit = prop_oneof![
        2 => Just(Edit::Add),
        1 => Just(Edit::Remove),
        2 => select(Role::ALL).prop_map(Edit::Role),
        1 => Just(Edit::Join),
        1 => Just(Edit::Leave),
    ];
    prop_oneof![
        33 => (0..SUBSYSTEMS.len(), event).prop_map(|(index, event)| Step::Subsystem(index, event)),
        2 => added.prop_map(|index| Step::Subsystem(index, Event::Add)),
        6 => (0..SUBSYSTEMS.len(), edit).prop_map(|(index, edit)| Step::Reconfigure(index, edit)),
        1 => Just(Step::Pause),
        2 => Just(Step::Resume),
        1 => select(&PHASES[..]).prop_map(Step::Advance),
    ]
}

fn subsystem(index: usize) -> Subsystem {
    let (name, role, is_vital) = SUBSYSTEMS[index];
    let subsystem = Subsystem::new(name).ttl(TTL);
    match role {
        Role::Shared => subsystem.shared(),
        Role::Optional => subsystem.optional(),
        Role::Informative => subsystem.informative(),
        _ if is_vital => subsystem.vital(),
        _ => subsystem,
    }
}

pub struct Process {
    pub readiness: Readiness,
    pub reporters: [Option<Reporter>; SUBSYSTEMS.len()],
    left_ready: [bool; SUBSYSTEMS.len()],
    simulations: [Vec<SimulationGuard>; SUBSYSTEMS.len()],
    /// Reporters of subsystems that were removed.
    orphans: [Option<Reporter>; SUBSYSTEMS.len()],
    pauses: Vec<PauseGuard>,
}

impl Process {
    pub fn new() -> Self {
        let builder = (0..DECLARED).fold(Readiness::builder(), |builder, index| {
            builder.subsystem(subsystem(index))
        });
        let members = MEMBERS.map(|index| SUBSYSTEMS[index].0);
        let readiness = builder.scope("scope", members).build().unwrap();
        Self {
            reporters: SUBSYSTEMS.map(|(name, ..)| readiness.reporter(name).ok()),
            left_ready: [false; SUBSYSTEMS.len()],
            simulations: Default::default(),
            orphans: Default::default(),
            pauses: Vec::new(),
            readiness,
        }
    }

    /// Takes a step, and returns whether the process was able to.
    pub fn take(&mut self, step: Step) -> bool {
        match step {
            Step::Pause => self.pauses.push(self.readiness.pause("for a while")),
            Step::Resume => return self.pauses.pop().is_some(),
            Step::Advance(phase) => self.readiness.advance(phase),
            Step::Subsystem(index, event) => return self.take_event(index, event),
            Step::Reconfigure(index, edit) => return self.reconfigure(index, edit),
        }
        true
    }

    fn reconfigure(&mut self, index: usize, edit: Edit) -> bool {
        let name = SUBSYSTEMS[index].0;
        let done = self.readiness.reconfigure(|plan| {
            match edit {
                Edit::Add => plan.add(subsystem(index)),
                Edit::Remove => plan.remove(name),
                Edit::Role(role) => plan.role(name, role),
                Edit::Join => plan.add_to_scope("scope", name),
                Edit::Leave => plan.remove_from_scope("scope", name),
            };
        });
        if done.is_ok() && matches!(edit, Edit::Remove) {
            self.left_ready[index] = false;
            self.simulations[index].clear();
            self.orphans[index] = self.reporters[index].take();
        }
        done.is_ok()
    }

    fn take_event(&mut self, index: usize, event: Event) -> bool {
        let name = SUBSYSTEMS[index].0;
        let is_known = self.readiness.snapshot().subsystem(name).is_some();
        // Without any effect.
        match event {
            Event::Drop => self.orphans[index] = None,
            Event::Retire => self.orphans[index]
                .take()
                .into_iter()
                .for_each(Reporter::retire),
            _ => self.orphans[index]
                .iter()
                .for_each(|orphan| orphan.failing("orphan")),
        }
        let reporter = &mut self.reporters[index];
        let is_held = reporter.is_some();
        match event {
            Event::Add => {
                let added = self.readiness.add(subsystem(index));
                assert_eq!(added.is_ok(), !is_known);
                *reporter = added.ok().or(reporter.take());
                return !is_known;
            }
            Event::Claim => {
                let claimed = self.readiness.reporter(name);
                match &claimed {
                    Ok(_) => assert!(is_known && !is_held),
                    Err(ClaimError::Held { .. }) => assert!(is_held),
                    Err(ClaimError::LeftReady { .. }) => assert!(self.left_ready[index]),
                    Err(error) => assert!(!is_known, "{error}"),
                }
                let is_claimed = claimed.is_ok();
                *reporter = claimed.ok().or(reporter.take());
                return is_claimed;
            }
            Event::Report(state) => reporter.iter().for_each(|reporter| match state {
                State::Starting => reporter.starting("again"),
                State::Ready => reporter.ready(),
                State::Degraded => reporter.degraded("slow"),
                State::Failing => reporter.failing("gone"),
                _ => reporter.dead("gone for good"),
            }),
            // Time passes for all subsystems at once.
            Event::FallSilent => {}
            Event::Drop => *reporter = None,
            Event::Retire => {
                reporter.take().into_iter().for_each(Reporter::retire);
                if is_held {
                    self.simulations[index].clear();
                }
            }
            Event::Simulate(state) => {
                let simulated = self.readiness.simulate(name, state, "for a while");
                assert_eq!(simulated.is_ok(), is_known);
                self.simulations[index].extend(simulated);
                return is_known;
            }
            Event::EndSimulation => {
                let simulations = &mut self.simulations[index];
                let is_simulated = !simulations.is_empty();
                simulations.drain(..usize::from(is_simulated));
                return is_simulated;
            }
            Event::LeaveReady => {
                reporter.take().into_iter().for_each(Reporter::leave_ready);
                self.left_ready[index] |= is_held;
            }
        }
        is_held
    }
}
