//! The event stream, by a small client that applies events to the state that it knows.

use crate::{
    folder::Folder,
    history::{Column, subsystems},
    surfaces::{Surface, Verdicts, conditions, phases, serve, states},
};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
};
use tower_readiness::{Readiness, server::AdminServer, wire::paths};

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
            (Column::Ready(0), verdict("readiness")),
            (Column::Ready(1), scope["ready"] == true),
        ];
        verdicts.extend(phases(self.document["phase"].as_str().unwrap_or_default()));
        verdicts.extend(conditions(0, |it| self.document["condition"] == it));
        verdicts.extend(conditions(1, |it| scope["condition"] == it));
        for (index, name) in subsystems() {
            let subsystem = self.subsystems.get(name);
            let is_simulated = subsystem.is_some_and(|it| it["simulated"] == true);
            verdicts.push((Column::Simulated(index), is_simulated));
            let state = subsystem.map(|it| it["state"].as_str().unwrap());
            verdicts.extend(states(index, state));
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
