//! The event stream, by a small client that applies events to the state that it knows.

use crate::{
    folder::Folder,
    history::{Column, PHASES, STATES, SUBSYSTEMS},
    surfaces::{CONDITIONS, Surface, Verdicts, serve, words},
};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
};
use tower_readiness::{Phase, Readiness, State, server::AdminServer, wire::paths};

/// Reconnects before each answer with the id of its last event, so that it need not
/// wait for the next event of an open stream.
pub struct Events {
    readiness: Readiness,
    /// Removes something from an event before it is applied: a bug of the client.
    bug: fn(&mut Value),
    /// Present once the client has connected.
    admin: Option<(AdminServer, Folder)>,
    last_id: String,
    document: Value,
    subsystems: BTreeMap<String, Value>,
    scopes: BTreeMap<String, Value>,
}

impl Events {
    pub fn new(readiness: &Readiness, bug: fn(&mut Value)) -> Self {
        Self {
            readiness: readiness.clone(),
            bug,
            admin: None,
            last_id: String::new(),
            document: Value::Null,
            subsystems: BTreeMap::new(),
            scopes: BTreeMap::new(),
        }
    }

    /// Connects, and applies the first event. A client that knows the newest version
    /// gets a tick, or, of a closed process, nothing.
    fn update(&mut self) {
        let (_, folder) = self
            .admin
            .get_or_insert_with(|| serve(self.readiness.clone()));
        let lines = loop {
            let mut stream = UnixStream::connect(folder.socket()).unwrap();
            // HTTP/1.0, whose body is not in chunks.
            let head = format!(
                "GET {} HTTP/1.0\r\nlast-event-id: {}\r\n\r\n",
                paths::EVENTS,
                self.last_id
            );
            stream.write_all(head.as_bytes()).unwrap();
            let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
            match &*lines.next().unwrap() {
                "HTTP/1.0 200 OK" => break lines,
                // The listener has not noticed the end of the last streams yet.
                "HTTP/1.0 503 Service Unavailable" => {}
                other => panic!("{other}"),
            }
        };
        let event = lines.skip_while(|line| !line.is_empty()).skip(1);
        let (mut kind, mut data) = (String::new(), Value::Null);
        for line in event.take_while(|line| !line.is_empty()) {
            match line.split_once(": ").unwrap() {
                ("event", word) => kind = word.to_owned(),
                ("id", id) => self.last_id = id.to_owned(),
                ("data", json) => data = serde_json::from_str(json).unwrap(),
                other => panic!("{other:?}"),
            }
        }
        if kind == "state" {
            self.subsystems.clear();
            self.scopes.clear();
        } else {
            (self.bug)(&mut data);
        }
        match &*kind {
            "state" | "change" => self.apply(data),
            "tick" | "" => assert_eq!(self.version(), self.readiness.snapshot().version()),
            other => panic!("{other}"),
        }
    }

    fn version(&self) -> u64 {
        self.document["version"].as_u64().unwrap()
    }

    fn apply(&mut self, document: Value) {
        for (list, known) in [
            ("subsystems", &mut self.subsystems),
            ("scopes", &mut self.scopes),
        ] {
            for entry in document[list].as_array().into_iter().flatten() {
                let name = entry["name"].as_str().unwrap().to_owned();
                known.insert(name, entry.clone());
            }
        }
        for name in document["removed"].as_array().into_iter().flatten() {
            self.subsystems.remove(name.as_str().unwrap());
        }
        self.document = document;
    }
}

impl Surface for Events {
    fn verdicts(&mut self) -> Verdicts {
        self.update();
        let verdict = |name: &str| self.document["verdicts"][name] == true;
        let scope = &self.scopes["scope"];
        let mut verdicts = vec![
            (Column::Started, verdict("startup")),
            (Column::Live, verdict("liveness")),
            (Column::Ready, verdict("readiness")),
            (Column::ScopeReady, scope["ready"] == true),
        ];
        let is_since = |since: Phase| {
            let mut later = PHASES.into_iter().filter(|phase| *phase >= since);
            later.any(|phase| self.document["phase"] == phase.as_str())
        };
        verdicts.extend(PHASES.map(|since| (Column::Since(since), is_since(since))));
        let is = |word: &str| self.document["condition"] == word;
        verdicts.extend(words(Column::Condition, CONDITIONS, is));
        let is = |word: &str| scope["condition"] == word;
        verdicts.extend(words(Column::ScopeCondition, CONDITIONS, is));
        for (index, (name, ..)) in SUBSYSTEMS.iter().enumerate() {
            let subsystem = self.subsystems.get(*name);
            let state = subsystem.map(|it| it["state"].clone());
            verdicts.push((Column::Known(index), state.is_some()));
            let is_simulated = subsystem.is_some_and(|it| it["simulated"] == true);
            verdicts.push((Column::Simulated(index), is_simulated));
            let states = STATES.into_iter().chain([State::Stale]);
            let is = |it: State| state.as_ref().is_some_and(|state| state == it.as_str());
            verdicts.extend(states.map(|it| (Column::State(index, it), is(it))));
        }
        verdicts
    }

    fn is_slow(&self) -> bool {
        true
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        if let Some((admin, _folder)) = &self.admin {
            admin.stop();
        }
    }
}
