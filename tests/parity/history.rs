//! Random histories of a process: the steps, the columns by which they are judged,
//! and the process itself.

use proptest::{bool::weighted, collection::vec, prelude::*, sample::select};
use std::{array, time::Duration};
use tower_readiness::{
    ClaimError, Group, MemberReporter, PauseGuard, Phase, Readiness, Reporter, Role, State,
    Subsystem, testing::SimulationGuard,
};

/// Subsystems, then the members of the group: the name, the role, whether it is vital, and
/// whether it is in the scope. Those from [`DECLARED`] on are added while the process runs.
pub const ENTRIES: [(&str, Role, bool, bool); 17] = [
    ("vital", Role::Required, true, false),
    ("required", Role::Required, false, true),
    ("shared", Role::Shared, false, true),
    ("optional", Role::Optional, false, true),
    ("other", Role::Optional, false, false),
    ("informative", Role::Informative, false, false),
    ("group", Role::Shared, false, false),
    ("late", Role::Required, false, false),
    ("late-vital", Role::Required, true, false),
    ("late-shared", Role::Shared, false, false),
    ("late-informative", Role::Informative, false, false),
    ("a", Role::Informative, false, false),
    ("b", Role::Informative, false, false),
    ("c", Role::Informative, false, false),
    ("d", Role::Informative, false, false),
    ("e", Role::Informative, false, false),
    ("f", Role::Informative, false, false),
];
/// The subsystems whose reports are held down.
pub const DAMPED: [usize; 3] = [1, 3, 9];
pub const GROUP: usize = 6;
pub const DECLARED: usize = 7;
pub const MEMBERS: usize = 11;

/// The indices and names of the subsystems.
pub fn subsystems() -> impl Iterator<Item = (usize, &'static str)> {
    let names = ENTRIES.into_iter().map(|(name, ..)| name);
    names.enumerate().take(MEMBERS)
}

/// More than the time of one step, and less than that of two.
const HOLD_DOWN: Duration = Duration::from_secs(3);
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
    Entry(usize, Event),
}

impl Step {
    /// Whether the process can return an error for the step.
    pub fn may_be_refused(self) -> bool {
        let Self::Entry(_, event) = self else {
            return false;
        };
        matches!(
            event,
            Event::Add
                | Event::Simulate(_)
                | Event::PlanAdd
                | Event::Remove
                | Event::Role(_)
                | Event::Scope(_)
        )
    }
}

/// What happens to a subsystem, or to a member of the group.
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
    // Changes by a plan, which the process may refuse.
    PlanAdd,
    Remove,
    Role(Role),
    /// Joins the scope, or leaves it.
    Scope(bool),
}

/// A question that a surface answers with yes or no. A scope is 0 for the process and 1 for
/// the named scope.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Column {
    Started,
    Live,
    Healthy,
    Ready(usize),
    SubsystemReady(usize),
    Admitted(usize),
    Since(Phase),
    Condition(usize, &'static str),
    /// Whether a subsystem is in this state; `None` if it is unknown.
    State(usize, Option<State>),
    /// Whether a simulation counts.
    Simulated(usize),
    /// Whether so many members of the group are in this state.
    Members(State, usize),
}

/// A step, and whether the slow surfaces answer after it.
pub type Turn = (Step, bool);

/// Up to 45 turns, mostly fewer than 16. Half of the histories begin with the start of the
/// process, which few would reach otherwise, and some of them with its drain.
pub fn history() -> impl Strategy<Value = Vec<Turn>> {
    let drain = [start(), vec![Step::Advance(Phase::Draining)]].concat();
    let begin = prop_oneof![
        4 => Just(Vec::new()),
        4 => Just(start()),
        1 => Just(drain),
    ];
    let turn = || (step(), weighted(0.1), weighted(0.3));
    // The quorum of the group turns only after many reports of its members.
    let member_turn = || {
        let step = prop_oneof![4 => member_step(), 1 => step()];
        (step, weighted(0.1), Just(false))
    };
    let end = prop_oneof![
        8 => vec(turn(), 1..8),
        1 => vec(turn(), 8..36),
        1 => vec(member_turn(), 8..36),
    ];
    (begin, end).prop_map(|(begin, end)| {
        let mut turns: Vec<_> = begin.into_iter().map(|step| (step, false)).collect();
        for (mut step, asks_slow, is_same) in end {
            // Some events matter only after others of the same subsystem.
            if let (Step::Entry(index, _), Some((Step::Entry(last, _), _))) =
                (&mut step, turns.last())
                && is_same
                && (*index < MEMBERS) == (*last < MEMBERS)
            {
                *index = *last;
            }
            turns.push((step, asks_slow));
        }
        turns
    })
}

/// The start of the process.
fn start() -> Vec<Step> {
    let ready = |index| Step::Entry(index, Event::Report(State::Ready));
    let subsystems = (0..GROUP).map(ready);
    let group = [Step::Entry(MEMBERS, Event::Add), ready(MEMBERS)];
    subsystems.chain(group).collect()
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
    let change = prop_oneof![
        2 => Just(Event::PlanAdd),
        1 => Just(Event::Remove),
        2 => select(Role::ALL).prop_map(Event::Role),
        2 => any::<bool>().prop_map(Event::Scope),
    ];
    let on = |(index, event)| Step::Entry(index, event);
    prop_oneof![
        33 => (0..MEMBERS, event).prop_map(on),
        2 => (DECLARED..MEMBERS, Just(Event::Add)).prop_map(on),
        6 => (0..MEMBERS, change).prop_map(on),
        4 => member_step(),
        1 => Just(Step::Pause),
        2 => Just(Step::Resume),
        1 => select(&PHASES[..]).prop_map(Step::Advance),
    ]
}

fn member_step() -> impl Strategy<Value = Step> {
    let event = prop_oneof![
        4 => Just(Event::Add),
        8 => select(&STATES[..]).prop_map(Event::Report),
        6 => Just(Event::Report(State::Ready)),
        1 => Just(Event::Drop),
        2 => Just(Event::Claim),
        1 => Just(Event::Retire),
    ];
    (MEMBERS..ENTRIES.len(), event).prop_map(|(index, event)| Step::Entry(index, event))
}

fn subsystem(index: usize) -> Subsystem {
    let (name, role, is_vital, _) = ENTRIES[index];
    let subsystem = Subsystem::new(name).ttl(TTL);
    let subsystem = match role {
        Role::Shared => subsystem.shared(),
        Role::Optional => subsystem.optional(),
        Role::Informative => subsystem.informative(),
        _ if is_vital => subsystem.vital(),
        _ => subsystem,
    };
    match DAMPED.contains(&index) {
        true => subsystem.hold_down(HOLD_DOWN),
        false => subsystem,
    }
}

/// Calls the setter of a state.
macro_rules! report {
    ($reporter:expr, $state:expr) => {
        match $state {
            State::Starting => $reporter.starting("again"),
            State::Ready => $reporter.ready(),
            State::Degraded => $reporter.degraded("slow"),
            State::Failing => $reporter.failing("gone"),
            _ => $reporter.dead("gone for good"),
        }
    };
}

pub struct Process {
    pub readiness: Readiness,
    pub reporters: [Option<Reporter>; MEMBERS],
    /// Whose silence counts.
    timed: [bool; MEMBERS],
    simulations: [Vec<SimulationGuard>; MEMBERS],
    /// Reporters of subsystems that were removed.
    orphans: [Option<Reporter>; MEMBERS],
    members: [Option<MemberReporter>; ENTRIES.len() - MEMBERS],
    pauses: Vec<PauseGuard>,
}

impl Process {
    pub fn new() -> Self {
        let builder = (0..DECLARED).fold(Readiness::builder(), |builder, index| match index {
            GROUP => {
                let group = Group::new(ENTRIES[GROUP].0).at_least(1);
                builder.group(group.degraded_below(0.75).failing_below(0.25))
            }
            _ => builder.subsystem(subsystem(index)),
        });
        let members = ENTRIES.into_iter().filter(|(.., is_member)| *is_member);
        let members = members.map(|(name, ..)| name);
        let readiness = builder.scope("scope", members).build().unwrap();
        Self {
            reporters: array::from_fn(|index| readiness.reporter(ENTRIES[index].0).ok()),
            timed: [false; MEMBERS],
            simulations: Default::default(),
            orphans: Default::default(),
            members: Default::default(),
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
            Step::Entry(index, event) if index < MEMBERS => return self.take_event(index, event),
            Step::Entry(index, event) => return self.take_member(index, event),
        }
        true
    }

    /// Sends a heartbeat of each subsystem whose silence counts, but for one.
    pub fn heartbeats(&self, silent: usize) {
        for index in (0..MEMBERS).filter(|index| *index != silent && self.timed[*index]) {
            self.reporters[index].as_ref().unwrap().heartbeat();
        }
    }

    fn take_member(&mut self, index: usize, event: Event) -> bool {
        let name = ENTRIES[index].0;
        let group = self.readiness.group(ENTRIES[GROUP].0).unwrap();
        let reporter = &mut self.members[index - MEMBERS];
        let is_held = reporter.is_some();
        match event {
            Event::Add | Event::Claim => {
                let new = match event {
                    Event::Add => group.add(name),
                    _ => group.reporter(name),
                };
                let is_taken = new.is_ok();
                assert!(!is_taken || !is_held);
                *reporter = new.ok().or(reporter.take());
                return is_taken;
            }
            Event::Report(state) => reporter.iter().for_each(|it| report!(it, state)),
            Event::Drop => *reporter = None,
            Event::Retire => reporter.take().into_iter().for_each(MemberReporter::retire),
            other => unreachable!("{other:?}"),
        }
        is_held
    }

    fn change(&mut self, index: usize, event: Event) -> bool {
        let name = ENTRIES[index].0;
        let done = self.readiness.reconfigure(|plan| {
            match event {
                Event::PlanAdd => plan.add(subsystem(index)),
                Event::Remove => plan.remove(name),
                Event::Role(role) => plan.role(name, role),
                Event::Scope(true) => plan.add_to_scope("scope", name),
                _ => plan.remove_from_scope("scope", name),
            };
        });
        if done.is_ok() && matches!(event, Event::Remove) {
            self.timed[index] = false;
            self.simulations[index].clear();
            self.orphans[index] = self.reporters[index].take();
        }
        done.is_ok()
    }

    fn take_event(&mut self, index: usize, event: Event) -> bool {
        let name = ENTRIES[index].0;
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
                let is_added = added.is_ok();
                *reporter = added.ok().or(reporter.take());
                return is_added;
            }
            Event::Claim => {
                let claimed = self.readiness.reporter(name);
                match &claimed {
                    Ok(_) => assert!(is_known && !is_held),
                    Err(ClaimError::Held { .. }) => assert!(is_held),
                    Err(ClaimError::LeftReady { .. }) => assert!(is_known && !is_held),
                    Err(error) => assert!(!is_known || index == GROUP, "{error}"),
                }
                let is_claimed = claimed.is_ok();
                *reporter = claimed.ok().or(reporter.take());
                return is_claimed;
            }
            Event::Simulate(state) => {
                let simulated = self.readiness.simulate(name, state, "for a while");
                let is_simulated = simulated.is_ok();
                self.simulations[index].extend(simulated);
                return is_simulated;
            }
            Event::EndSimulation => {
                let simulations = &mut self.simulations[index];
                let is_simulated = !simulations.is_empty();
                simulations.drain(..usize::from(is_simulated));
                return is_simulated;
            }
            Event::Report(state) => reporter.iter().for_each(|it| report!(it, state)),
            // Time passes for all subsystems at once.
            Event::FallSilent => {}
            Event::Drop => *reporter = None,
            Event::Retire => {
                reporter.take().into_iter().for_each(Reporter::retire);
                if is_held {
                    self.simulations[index].clear();
                }
            }
            Event::LeaveReady => reporter.take().into_iter().for_each(Reporter::leave_ready),
            _ => return self.change(index, event),
        }
        self.timed[index] = is_held && matches!(event, Event::Report(_));
        is_held
    }
}
