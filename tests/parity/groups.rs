//! Random histories of a group, beside a model that counts its members.

use http::{Request, header::ACCEPT};
use http_body_util::BodyExt;
use proptest::{collection::vec, prelude::*, sample::select, test_runner::TestRunner};
use serde_json::Value;
use std::{collections::BTreeMap, time::Duration};
use tokio::time::advance;
use tower::ServiceExt;
use tower_readiness::{
    Group, MemberReporter, Readiness, State,
    probe::{Detail, Probes},
};

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
const STATES: [State; 5] = [
    State::Starting,
    State::Ready,
    State::Degraded,
    State::Failing,
    State::Dead,
];

#[derive(Clone, Copy, Debug)]
enum Step {
    Add(usize),
    Report(usize, State),
    Drop(usize),
    Claim(usize),
    Retire(usize),
    /// Waiting counts are published.
    Pass,
}

fn step() -> impl Strategy<Value = Step> {
    let member = || 0..NAMES.len();
    prop_oneof![
        4 => member().prop_map(Step::Add),
        8 => (member(), select(&STATES[..])).prop_map(|(it, state)| Step::Report(it, state)),
        6 => member().prop_map(|it| Step::Report(it, State::Ready)),
        1 => member().prop_map(Step::Drop),
        2 => member().prop_map(Step::Claim),
        1 => member().prop_map(Step::Retire),
        3 => Just(Step::Pass),
    ]
}

#[derive(Default)]
struct Model {
    states: BTreeMap<&'static str, State>,
    has_been_up: bool,
}

impl Model {
    /// The state: at least one member and a quarter have to be ready, or the group fails;
    /// three quarters, or it is degraded.
    fn state(&self) -> State {
        let is_ready = |state: &&State| matches!(state, State::Ready | State::Degraded);
        let (ready, total) = (
            self.states.values().filter(is_ready).count(),
            self.states.len(),
        );
        let is_down = |state: &State| matches!(state, State::Failing | State::Dead);
        if ready == 0 || 4 * ready < total {
            if self.has_been_up || self.states.values().any(is_down) {
                State::Failing
            } else {
                State::Starting
            }
        } else if 4 * ready < 3 * total {
            State::Degraded
        } else {
            State::Ready
        }
    }

    fn counts(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for state in self.states.values() {
            *counts.entry(state.to_string()).or_default() += 1;
        }
        counts
    }
}

struct Process {
    readiness: Readiness,
    reporters: [Option<MemberReporter>; NAMES.len()],
    model: Model,
}

impl Process {
    fn new() -> Self {
        let group = Group::new("upstream").required().at_least(1);
        let group = group.degraded_below(0.75).failing_below(0.25);
        Self {
            readiness: Readiness::builder().group(group).build().unwrap(),
            reporters: Default::default(),
            model: Model::default(),
        }
    }

    async fn take(&mut self, step: Step) {
        let group = self.readiness.group("upstream").unwrap();
        let states = &mut self.model.states;
        match step {
            Step::Add(index) => {
                let added = group.add(NAMES[index]);
                assert_eq!(added.is_ok(), !states.contains_key(NAMES[index]));
                if let Ok(added) = added {
                    states.insert(NAMES[index], State::Starting);
                    self.reporters[index] = Some(added);
                }
            }
            Step::Claim(index) => {
                let is_free = states.contains_key(NAMES[index]) && self.reporters[index].is_none();
                let claimed = group.reporter(NAMES[index]);
                assert_eq!(claimed.is_ok(), is_free);
                self.reporters[index] = claimed.ok().or(self.reporters[index].take());
            }
            Step::Report(index, state) => {
                if let Some(reporter) = &self.reporters[index] {
                    states.insert(NAMES[index], state);
                    match state {
                        State::Starting => reporter.starting("again"),
                        State::Ready => reporter.ready(),
                        State::Degraded => reporter.degraded("slow"),
                        State::Failing => reporter.failing("gone"),
                        _ => reporter.dead("gone for good"),
                    }
                }
            }
            Step::Drop(index) => {
                if self.reporters[index].take().is_some() && states[NAMES[index]] != State::Dead {
                    states.insert(NAMES[index], State::Failing);
                }
            }
            Step::Retire(index) => {
                if let Some(reporter) = self.reporters[index].take() {
                    states.remove(NAMES[index]);
                    reporter.retire();
                }
            }
            Step::Pass => advance(Duration::from_millis(50)).await,
        }
    }

    async fn ask(&self, path: &str) -> (u16, Value) {
        let probes = Probes::builder(&self.readiness).detail(Detail::Full);
        let request = Request::get(path).header(ACCEPT, "application/json");
        let request = request.body(String::new()).unwrap();
        let response = probes.build().unwrap().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }

    /// Compares every surface with the model.
    async fn judge(&mut self, step: Step) {
        let state = self.model.state();
        self.model.has_been_up |= matches!(state, State::Ready | State::Degraded);
        let is_up = matches!(state, State::Ready | State::Degraded);

        // The state counts at once, and so does each member on its page.
        let view = self
            .readiness
            .snapshot()
            .subsystem("upstream")
            .unwrap()
            .clone();
        assert_eq!(view.state(), state);
        assert_eq!(self.readiness.verdict().is_ready(), is_up);
        let (status, _) = self.ask("/readyz/upstream").await;
        assert_eq!(status, if is_up { 200 } else { 503 });
        let (_, page) = self.ask("/statusz/upstream").await;
        assert_eq!(page["state"], state.as_str());
        let shown = page["members"].as_array().unwrap().iter();
        let shown: BTreeMap<_, _> = shown
            .map(|it| (it["name"].as_str().unwrap(), it["state"].as_str().unwrap()))
            .collect();
        let expected = self.model.states.iter();
        assert_eq!(
            shown,
            expected
                .map(|(name, state)| (*name, state.as_str()))
                .collect()
        );

        // The counts follow when they are due.
        if let Step::Pass = step {
            let (_, status) = self.ask("/statusz").await;
            let members = &status["subsystems"][0]["members"];
            let states: BTreeMap<String, u64> =
                serde_json::from_value(members["states"].clone()).unwrap();
            assert_eq!(states, self.model.counts());
            assert_eq!(members["total"], self.model.states.len());
        }
    }
}

#[test]
fn a_group_is_in_the_state_that_its_members_count_up_to() {
    let runtime = super::runtime();
    let config = ProptestConfig {
        cases: 500,
        source_file: Some(file!()),
        ..ProptestConfig::default()
    };
    let outcome = TestRunner::new(config).run(&vec(step(), 1..30), |steps| {
        runtime.block_on(async {
            let mut process = Process::new();
            for step in steps {
                process.take(step).await;
                process.judge(step).await;
            }
        });
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}
