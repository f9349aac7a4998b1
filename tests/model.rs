//! Random histories against a model that is too simple to be wrong: after
//! every step, every surface answers what the model says.

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response, StatusCode};
use http_body_util::{Empty, Full};
use proptest::{collection::vec, prelude::*, sample::select};
use std::convert::Infallible;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_readiness::{
    ClaimError, Condition, PauseGuard, Phase, Readiness, ReadinessLayer, Reporter, Role, State,
    Subsystem,
    gate::Refusal,
    probe::{Detail, Probes},
};

/// Those declared at build, and the scope over some of them.
const DECLARED: [(&str, Role, bool); 5] = [
    ("vital", Role::Required, true),
    ("required", Role::Required, false),
    ("shared", Role::Shared, false),
    ("optional", Role::Optional, false),
    ("other", Role::Optional, false),
];
const MEMBERS: [&str; 3] = ["optional", "shared", "required"];
/// Those that may be added while running.
const ADDED: [(&str, Role, bool); 3] = [
    ("late", Role::Required, false),
    ("late-vital", Role::Required, true),
    ("late-shared", Role::Shared, false),
];
const STATES: [State; 5] = [
    State::Starting,
    State::Ready,
    State::Degraded,
    State::Failing,
    State::Dead,
];
const PHASES: [Phase; 5] = [
    Phase::Starting,
    Phase::Started,
    Phase::Draining,
    Phase::Closing,
    Phase::Closed,
];

fn subsystem((name, role, vital): (&str, Role, bool)) -> Subsystem {
    let subsystem = Subsystem::new(name);
    match role {
        Role::Shared => subsystem.shared(),
        Role::Optional => subsystem.optional(),
        _ if vital => subsystem.vital(),
        _ => subsystem,
    }
}

fn name(index: usize) -> &'static str {
    DECLARED.iter().chain(&ADDED).nth(index).unwrap().0
}

#[derive(Clone, Debug)]
enum Step {
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

fn step() -> impl Strategy<Value = Step> {
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
enum Holder {
    Nobody,
    Reporter,
    LeftReady,
}

#[derive(Clone)]
struct Entry {
    name: &'static str,
    role: Role,
    vital: bool,
    declared: bool,
    state: State,
    been_up: bool,
    holder: Holder,
}

impl Entry {
    fn up(&self) -> bool {
        matches!(self.state, State::Ready | State::Degraded)
    }

    fn say(&mut self, state: State) {
        self.state = state;
        self.been_up |= self.up();
    }
}

struct Model {
    entries: Vec<Entry>,
    phase: Phase,
    started: bool,
    scope_started: bool,
    pauses: usize,
}

/// What a surface can tell: condition, startup, liveness, readiness, and
/// whether traffic is refused.
#[derive(Debug, PartialEq)]
struct Answer {
    condition: Condition,
    started: bool,
    live: bool,
    ready: bool,
    refused: bool,
}

impl Model {
    fn entry(
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
            been_up: false,
            holder,
        }
    }

    fn new() -> Self {
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

    fn find(&mut self, name: &str) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.name == name)
    }

    fn members(&self) -> impl Iterator<Item = &Entry> {
        self.entries
            .iter()
            .filter(|entry| entry.declared && MEMBERS.contains(&entry.name))
    }

    /// Latches what is to be latched.
    fn settle(&mut self) {
        let required = |entry: &&Entry| entry.declared && entry.role == Role::Required;
        if self.phase == Phase::Starting && self.entries.iter().filter(required).all(Entry::up) {
            self.phase = Phase::Started;
            self.started = true;
        }
        let scope_up = self.members().all(Entry::up);
        self.scope_started |= scope_up && self.phase < Phase::Draining;
    }

    fn answer(&self, condition: Condition, started: bool) -> Answer {
        let live = !self.entries.iter().any(|entry| {
            entry.vital && entry.state == State::Dead && (entry.declared || entry.been_up)
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

    fn process(&self) -> Answer {
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

    fn scope(&self) -> Answer {
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

type Gated = tower::util::BoxCloneService<Request<Empty<Bytes>>, Response<()>, Infallible>;

struct Real {
    readiness: Readiness,
    reporters: Vec<Option<Reporter>>,
    pauses: Vec<PauseGuard>,
    process: Gated,
    scope: Gated,
    probes: Probes,
}

fn gated(layer: &ReadinessLayer) -> Gated {
    let inner = service_fn(|_: Request<Empty<Bytes>>| async {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let service = layer
        .layer(inner)
        .map_response(|response| response.map(drop));
    tower::util::BoxCloneService::new(service)
}

impl Real {
    fn new() -> Self {
        let builder = DECLARED.iter().fold(Readiness::builder(), |builder, it| {
            builder.subsystem(subsystem(*it))
        });
        let readiness = builder.scope("scope", MEMBERS).build().unwrap();
        let claim = |(name, ..): &(&str, Role, bool)| Some(readiness.reporter(name).unwrap());
        let mut reporters: Vec<_> = DECLARED.iter().map(claim).collect();
        reporters.extend(ADDED.map(|_| None));
        Self {
            process: gated(&ReadinessLayer::new(&readiness)),
            scope: gated(&ReadinessLayer::gate(readiness.scope("scope").unwrap())),
            probes: Probes::new(&readiness).detail(Detail::Full),
            reporters,
            pauses: Vec::new(),
            readiness,
        }
    }

    fn refuses(service: &Gated) -> bool {
        let request = Request::get("/").body(Empty::new()).unwrap();
        let response = service.clone().oneshot(request).now_or_never();
        let response = response.unwrap().unwrap();
        response.extensions().get::<Refusal>().is_some()
    }

    fn probe(&self, path: &str) -> bool {
        let request = Request::get(path).body(()).unwrap();
        let response = self.probes.clone().call(request).now_or_never();
        match response.unwrap().unwrap().status() {
            StatusCode::OK => true,
            StatusCode::SERVICE_UNAVAILABLE => false,
            status => panic!("{path}: {status}"),
        }
    }
}

fn run(steps: Vec<Step>) {
    let mut model = Model::new();
    let mut real = Real::new();
    let mut subscription = real.readiness.subscribe();
    subscription.changed().now_or_never().unwrap().unwrap();

    for step in steps {
        let before = real.readiness.snapshot();
        take(&step, &mut model, &mut real);
        model.settle();
        let after = real.readiness.snapshot();

        // Every change is published under a larger version and wakes whoever
        // waits, and nothing else does.
        assert!(after.version() >= before.version());
        let heard = subscription.changed().now_or_never();
        assert_eq!(heard.is_some(), after.version() > before.version());
        assert!(after.phase() >= before.phase());
        assert!(after.verdict().has_started() >= before.verdict().has_started());
        if after.version() == before.version() {
            assert_eq!(after.verdict(), before.verdict());
        }

        assert_eq!(after.phase(), model.phase, "{step:?}");
        for (scope, expected, service) in [
            (None, model.process(), &real.process),
            (Some("scope"), model.scope(), &real.scope),
        ] {
            let verdict = match scope {
                None => after.verdict(),
                Some(name) => after.scope(name).unwrap(),
            };
            let said = Answer {
                condition: verdict.condition(),
                started: verdict.has_started(),
                live: verdict.is_live(),
                ready: verdict.is_ready(),
                refused: Real::refuses(service),
            };
            assert_eq!(said, expected, "{scope:?} after {step:?}");
        }
        let process = model.process();
        assert_eq!(real.probe("/startupz"), process.started);
        assert_eq!(real.probe("/livez"), process.live);
        assert_eq!(real.probe("/readyz"), process.ready);
        assert_eq!(real.probe("/readyz/scope"), model.scope().ready);
        let alive = after.verdict().has_started() && process.live;
        assert_eq!(after.verdict().is_healthy(), alive);

        let names: Vec<_> = after.subsystems().map(|it| it.name().to_owned()).collect();
        assert_eq!(names.len(), model.entries.len());
        for entry in &model.entries {
            let view = after.subsystem(entry.name).unwrap();
            assert_eq!(view.state(), entry.state, "{} after {step:?}", entry.name);
            let ready =
                entry.up() && process.live && model.pauses == 0 && model.phase < Phase::Draining;
            assert_eq!(real.probe(&format!("/readyz/{}", entry.name)), ready);
            // Leaving it out is as if it were not there.
            let path = format!("/livez?exclude={}", entry.name);
            let mut without = Model {
                entries: model.entries.clone(),
                ..model
            };
            without.entries.retain(|other| other.name != entry.name);
            assert_eq!(real.probe(&path), without.process().live);
            without.settle();
            for (scope, ready) in [
                ("", without.process().ready),
                ("/scope", without.scope().ready),
            ] {
                let path = format!("/readyz{scope}?exclude={}", entry.name);
                assert_eq!(real.probe(&path), ready, "{path}");
            }
        }
    }
}

fn take(step: &Step, model: &mut Model, real: &mut Real) {
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
                    let dead = entry.vital || entry.state == State::Dead;
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn every_surface_says_what_the_model_says(steps in vec(step(), 1..80)) {
        run(steps);
    }
}
