//! What the probes tell of the members of a group.

use crate::{
    history::{Column, ENTRIES, GROUP, MEMBERS, STATES},
    surfaces::{Surface, Verdicts},
};
use futures_util::FutureExt;
use http::{Request, header::ACCEPT};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::collections::HashMap;
use tower::ServiceExt;
use tower_readiness::{
    Readiness, State,
    probe::{Detail, Probes},
};

/// The page of the members, with which the counts in the status agree.
pub struct MembersPage {
    probes: Probes,
    turn: usize,
}

impl MembersPage {
    pub fn new(readiness: &Readiness, turn: usize) -> Self {
        let probes = Probes::builder(readiness).detail(Detail::Full);
        let probes = probes.build().unwrap();
        Self { probes, turn }
    }

    fn ask(&self, path: &str) -> Value {
        let request = Request::get(path).header(ACCEPT, "application/json");
        let request = request.body(String::new()).unwrap();
        let response = self.probes.clone().oneshot(request).now_or_never().unwrap();
        let body = response.unwrap().into_body().collect().now_or_never();
        serde_json::from_slice(&body.unwrap().unwrap().to_bytes()).unwrap()
    }
}

fn named(list: &Value) -> HashMap<&str, &Value> {
    let entries = list.as_array().unwrap().iter();
    entries
        .map(|it| (it["name"].as_str().unwrap(), it))
        .collect()
}

impl Surface for MembersPage {
    fn verdicts(&mut self) -> Verdicts {
        let group = ENTRIES[GROUP].0;
        let page = self.ask(&format!("/statusz/{group}"));
        let shown = named(&page["members"]);
        let mut verdicts = Verdicts::new();
        for (index, (name, ..)) in ENTRIES.iter().enumerate().skip(MEMBERS) {
            let state = shown.get(name).map(|it| it["state"].as_str().unwrap());
            let states = STATES.into_iter().map(Some).chain([None]);
            verdicts.extend(states.map(|it| {
                let is = state == it.map(State::as_str);
                (Column::State(index, it), is)
            }));
        }
        self.turn += 1;
        if self.turn % 4 == 0 {
            let status = self.ask("/statusz");
            let counts = &named(&status["subsystems"])[group]["members"];
            assert_eq!(counts["total"], shown.len());
            let mut expected: HashMap<_, usize> = HashMap::new();
            for member in shown.values() {
                *expected
                    .entry(member["state"].as_str().unwrap())
                    .or_default() += 1;
            }
            assert_eq!(counts["states"], json!(expected));
        }
        verdicts
    }
}
