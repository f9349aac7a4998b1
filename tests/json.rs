//! The JSON of probes against its documented schema, in both directions.
#![cfg(unix)]

use bytes::Bytes;
use http::{Request, Response, StatusCode, header::ACCEPT};
use http_body_util::{BodyExt, Empty};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    convert::Infallible,
    sync::{Arc, atomic::AtomicBool, atomic::Ordering},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
};
use tower::{Layer, ServiceExt, service_fn};
use tower_readiness::{
    Claim, Condition, Group, Phase, Readiness, ReadinessLayer, Reason, Role, State, Subsystem,
    check::Check,
    probe::{Detail, Probe, Probes},
    wire::{EventKind, JSON_SCHEMA, JsonAnswer, JsonGroup, JsonTick, paths},
};

const EXAMPLE: &str = include_str!("../src/wire/example.json");
const CHANGE: &str = include_str!("../src/wire/change.json");
const TICK: &str = include_str!("../src/wire/tick.json");

/// Checks values against the schema, strictly: each field has to be documented.
struct Checker {
    schema: Value,
    /// The documented fields that occurred.
    seen: BTreeSet<String>,
}

impl Checker {
    fn new() -> Self {
        Self {
            schema: serde_json::from_str(JSON_SCHEMA).unwrap(),
            seen: BTreeSet::new(),
        }
    }

    fn check(&mut self, answer: &Value, detail: Detail) {
        self.check_at("", answer, detail);
    }

    /// Checks `value` against the part of the schema at `pointer`.
    fn check_at(&mut self, pointer: &str, value: &Value, detail: Detail) {
        let part = self.schema.pointer(pointer).unwrap().clone();
        if let Some(reference) = part["$ref"].as_str() {
            return self.check_at(reference.strip_prefix('#').unwrap(), value, detail);
        }
        let is_of = |name: &str| match name {
            "null" => value.is_null(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_u64(),
            "number" => value.is_number(),
            "string" => value.is_string(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            other => panic!("{pointer}: {other} is no type"),
        };
        let types = match &part["type"] {
            Value::Array(types) => types.clone(),
            single => vec![single.clone()],
        };
        let is_typed = types.iter().any(|name| is_of(name.as_str().unwrap()));
        assert!(is_typed, "{pointer}: {value} is not of {types:?}");
        match value {
            Value::String(word) => {
                let words = part["examples"].as_array();
                let is_known = words.is_none_or(|words| words.iter().any(|it| it == word));
                assert!(is_known, "{pointer}: {word}");
            }
            Value::Array(values) => {
                for value in values {
                    self.check_at(&format!("{pointer}/items"), value, detail);
                }
            }
            Value::Object(fields) => {
                for required in part["required"].as_array().into_iter().flatten() {
                    let name = required.as_str().unwrap();
                    assert!(fields.contains_key(name), "{pointer}: {name} in {value}");
                }
                for (name, value) in fields {
                    if !part["additionalProperties"].is_null() {
                        self.check_at(&format!("{pointer}/additionalProperties"), value, detail);
                        continue;
                    }
                    let field = format!("{pointer}/properties/{name}");
                    let documented = self.schema.pointer(&field);
                    let documented = documented.unwrap_or_else(|| panic!("{field} is new"));
                    let text = documented["description"].as_str().unwrap();
                    let level = if text.contains("Level Full.") {
                        Detail::Full
                    } else if text.contains("Level Names.") {
                        Detail::Names
                    } else {
                        Detail::None
                    };
                    assert!(detail >= level, "{field} at {detail:?}");
                    self.seen.insert(field.clone());
                    self.check_at(&field, value, detail);
                }
            }
            _ => {}
        }
    }

    /// The fields that are documented.
    fn documented(&self) -> BTreeSet<String> {
        let definitions = self.schema["$defs"].as_object().unwrap().keys();
        let definitions = definitions.map(|name| format!("/$defs/{name}"));
        let parts = definitions.chain([String::new()]);
        let fields = parts.flat_map(|part| {
            let properties = self.schema.pointer(&format!("{part}/properties"));
            let names = properties.and_then(Value::as_object);
            let names = names.into_iter().flat_map(|names| names.keys());
            let names = names.map(|name| format!("{part}/properties/{name}"));
            names.collect::<Vec<_>>()
        });
        fields.collect()
    }
}

/// Asks every probe in every level of detail, and checks the answers.
async fn ask_all(readiness: &Readiness, checker: &mut Checker) {
    for detail in [Detail::None, Detail::Names, Detail::Full] {
        let probes = Probes::builder(readiness).detail(detail).build().unwrap();
        let own = probes.paths().map(|(path, _)| path.to_owned());
        let below = ["search", "storage"].map(|name| format!("/readyz/{name}"));
        for path in own.chain(below) {
            for query in ["", "?exclude=storage&exclude=nothing", "?verbose=maybe"] {
                let target = format!("{path}{query}");
                let request = Request::get(&target).header(ACCEPT, "application/json");
                let request = request.body(String::new()).unwrap();
                let response = probes.clone().oneshot(request).await.unwrap();
                let status = response.status();
                if matches!(status, StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST) {
                    continue;
                }
                let body = response.into_body().collect().await.unwrap().to_bytes();
                let answer: Value = serde_json::from_slice(&body).unwrap();
                assert_eq!(answer["ok"], status == StatusCode::OK, "{target}");
                checker.check(&answer, detail);

                // The types of the client read the same, and write it again.
                let typed: JsonAnswer<'_> = serde_json::from_slice(&body).unwrap();
                let written = serde_json::to_value(&typed).unwrap();
                assert_eq!(written, without_null_reasons(answer), "{target}");
            }
        }
    }
}

/// Asks for the members of a group, and checks the answers.
async fn ask_group(readiness: &Readiness, checker: &mut Checker) {
    for detail in [Detail::Names, Detail::Full] {
        let probes = Probes::builder(readiness).detail(detail).build().unwrap();
        let request = Request::get("/statusz/upstream?limit=1&state=failing");
        let first = Request::get("/statusz/upstream?limit=1");
        for request in [request, first] {
            let request = request.header(ACCEPT, "application/json");
            let request = request.body(String::new()).unwrap();
            let response = probes.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            let body = response.into_body().collect().await.unwrap().to_bytes();
            let answer: Value = serde_json::from_slice(&body).unwrap();
            checker.check_at("/$defs/group", &answer, detail);
            let typed: JsonGroup<'_> = serde_json::from_slice(&body).unwrap();
            assert_eq!(serde_json::to_value(&typed).unwrap(), answer);
        }
    }
}

/// Reads a reason of `null` as the types do: as none.
fn without_null_reasons(mut answer: Value) -> Value {
    let subsystems = answer["subsystems"].as_array_mut();
    for subsystem in subsystems.into_iter().flatten() {
        let fields = subsystem.as_object_mut().unwrap();
        if fields.get("reason").is_some_and(Value::is_null) {
            fields.remove("reason");
        }
    }
    if answer["subsystems"].is_null() {
        answer.as_object_mut().unwrap().remove("subsystems");
    }
    answer
}

async fn request(layer: &ReadinessLayer, status: u16) {
    let inner = service_fn(move |_: Request<Empty<Bytes>>| async move {
        let response = Response::builder().status(status);
        Ok::<_, Infallible>(response.body(Empty::<Bytes>::new()).unwrap())
    });
    let request = Request::get("/").body(Empty::new()).unwrap();
    let response = layer.layer(inner).oneshot(request).await.unwrap();
    response.into_body().collect().await.unwrap();
}

/// Checks the first event, and further ones until each kind has come.
async fn check_events(readiness: &Readiness, checker: &mut Checker, change: impl FnOnce()) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    let server = readiness.serve(&*path).await.unwrap();
    let mut stream = BufReader::new(UnixStream::connect(path).await.unwrap());
    // HTTP/1.0, whose body is not in chunks.
    let head = format!("GET {} HTTP/1.0\r\n\r\n", paths::EVENTS);
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut lines = stream.lines();
    while lines.next_line().await.unwrap().unwrap() != "" {}
    let mut change = Some(change);
    let mut seen = BTreeSet::new();
    while seen.len() < EventKind::ALL.len() {
        let (mut kind, mut data) = (String::new(), Value::Null);
        loop {
            let line = lines.next_line().await.unwrap().unwrap();
            match line.split_once(": ") {
                Some(("event", word)) => kind = word.to_owned(),
                Some(("data", json)) => data = serde_json::from_str(json).unwrap(),
                Some(_) => {}
                None => break,
            }
        }
        assert!(!seen.is_empty() || kind == EventKind::State.as_str());
        if kind == EventKind::Tick.as_str() {
            checker.check_at("/$defs/tick", &data, Detail::Names);
            let typed: JsonTick<'_> = serde_json::from_value(data.clone()).unwrap();
            assert_eq!(serde_json::to_value(typed).unwrap(), data);
        } else {
            checker.check(&data, Detail::Full);
            let typed: JsonAnswer<'_> = serde_json::from_value(data.clone()).unwrap();
            let written = serde_json::to_value(typed).unwrap();
            assert_eq!(written, without_null_reasons(data));
        }
        if let Some(change) = change.take() {
            change();
        }
        seen.insert(kind);
    }
    server.stop();
}

#[tokio::test(start_paused = true)]
async fn answers_have_the_documented_fields_and_no_others() {
    let second = Duration::from_secs(1);
    let is_up = Arc::new(AtomicBool::new(true));
    let found = Arc::clone(&is_up);
    let check = Check::every(second).failures(5);
    let database = Subsystem::new("database").check(check, move || {
        let is_up = found.load(Ordering::Relaxed);
        async move { if is_up { Ok(()) } else { Err("refused") } }
    });
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage").vital().ttl(20 * second))
        .subsystem(Subsystem::new("policy").hold_down(10 * second))
        .subsystem(Subsystem::new("index").optional())
        .subsystem(database.shared())
        .group(Group::new("upstream"))
        .scope("search", ["index", "storage"])
        .build()
        .unwrap();
    let mut checker = Checker::new();
    let mut states = BTreeSet::new();
    let group = readiness.group("upstream").unwrap();
    let members = ["a", "b"].map(|name| group.add(name).unwrap());
    members[0].ready();
    members[1].failing("refused");
    ask_all(&readiness, &mut checker).await;
    ask_group(&readiness, &mut checker).await;

    let [storage, policy, index] =
        ["storage", "policy", "index"].map(|name| readiness.reporter(name).unwrap());
    let search = readiness.scope("search").unwrap();
    let process = ReadinessLayer::new(&readiness).count_in_flight();
    let process = process.observe_outcomes();
    let scoped = ReadinessLayer::gate(&search).observe_outcomes();
    for layer in [
        &process,
        &scoped,
        &process.clone().dry_run(),
        &scoped.clone().dry_run(),
    ] {
        request(layer, 200).await;
    }
    policy.ready();
    index.ready();
    index.attribute("documents", "12").unwrap();
    for &state in State::ALL {
        storage.ready();
        request(&process, 200).await;
        request(&scoped, 500).await;
        match state {
            State::Starting => storage.starting("replaying the log"),
            State::Ready => storage.ready(),
            State::Degraded => storage.degraded("slow"),
            State::Failing => storage.failing("disk\nfull"),
            State::Stale => tokio::time::sleep(21 * second).await,
            State::Dead => storage.dead("panicked"),
            _ => panic!("the test does not know {state}"),
        }
        let snapshot = readiness.snapshot();
        states.insert(snapshot.subsystem("storage").unwrap().state().as_str());
        ask_all(&readiness, &mut checker).await;
    }
    assert_eq!(states.len(), State::ALL.len(), "{states:?}");

    storage.ready();
    policy.failing("link down");
    is_up.store(false, Ordering::Relaxed);
    tokio::time::sleep(3 * second).await;
    let late = readiness.add(Subsystem::new("late")).unwrap();
    let snapshot = readiness.snapshot();
    for name in ["policy", "database"] {
        assert!(
            snapshot.subsystem(name).unwrap().damped().is_some(),
            "{name}"
        );
    }
    let outage = readiness.simulate("index", State::Failing, "a test");
    ask_all(&readiness, &mut checker).await;
    drop(outage);

    let shutdown = readiness.shutdown().build().unwrap();
    check_events(&readiness, &mut checker, || late.retire()).await;
    drop(index);
    policy.leave_ready();
    let pause = readiness.pause("standby");
    ask_all(&readiness, &mut checker).await;
    drop(pause);
    for phase in [Phase::Draining, Phase::Closing, Phase::Closed] {
        readiness.advance(phase);
        ask_all(&readiness, &mut checker).await;
    }
    drop(shutdown);
    let documented = checker.documented();
    let missing: Vec<_> = documented.difference(&checker.seen).collect();
    assert!(missing.is_empty(), "no answer has {missing:?}");
}

#[tokio::test]
async fn the_status_says_in_one_sentence_and_by_name_what_makes_the_process_red() {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        .subsystem(Subsystem::new("worker").vital())
        .subsystem(Subsystem::new("index").optional())
        .build()
        .unwrap();
    let [storage, worker, index] =
        ["storage", "worker", "index"].map(|name| readiness.reporter(name).unwrap());
    for reporter in [&storage, &worker, &index] {
        reporter.ready();
    }
    let status = async |detail| {
        let probes = Probes::builder(&readiness).detail(detail).build().unwrap();
        let request = Request::get("/statusz").header(ACCEPT, "application/json");
        let response = probes.oneshot(request.body(String::new()).unwrap()).await;
        let body = response.unwrap().into_body().collect().await.unwrap();
        serde_json::from_slice::<Value>(&body.to_bytes()).unwrap()
    };
    let green = status(Detail::Full).await;
    assert_eq!(green["summary"], "ready");
    assert_eq!(green["because_of"], Value::Null);

    index.failing("gone");
    let degraded = status(Detail::Full).await;
    assert_eq!(
        degraded["summary"],
        "ready (degraded): index failing (gone)"
    );
    assert_eq!(degraded["because_of"], serde_json::json!(["index"]));

    storage.failing("disk full");
    worker.dead("panicked");
    let red = status(Detail::Full).await;
    assert_eq!(
        red["summary"],
        "not ready: worker dead (panicked), storage failing (disk full)"
    );
    assert_eq!(red["because_of"], serde_json::json!(["worker", "storage"]));
    let verdicts = serde_json::json!({"startup": true, "liveness": false, "readiness": false});
    assert_eq!(red["verdicts"], verdicts);
    assert_eq!(
        status(Detail::Names).await["summary"],
        "not ready: worker dead, storage failing"
    );
}

#[test]
fn the_documented_words_are_those_of_the_crate() {
    let checker = Checker::new();
    let words = |pointer: &str| {
        let examples = checker.schema.pointer(pointer).unwrap()["examples"].as_array();
        let words = examples.unwrap().iter().map(|word| word.as_str().unwrap());
        words.collect::<Vec<_>>()
    };
    macro_rules! assert_words {
        ($pointer:literal, $vocabulary:ident) => {
            let all = $vocabulary::ALL.iter().map(|word| word.as_str());
            assert_eq!(words($pointer), all.collect::<Vec<_>>());
        };
    }
    assert_words!("/properties/probe", Probe);
    assert_words!("/properties/phase", Phase);
    assert_words!("/$defs/condition", Condition);
    assert_words!("/$defs/state", State);
    assert_words!("/$defs/counts/propertyNames", Reason);
    assert_words!("/$defs/subsystem/properties/role", Role);
    assert_words!("/$defs/subsystem/properties/claim", Claim);
    let spoken = Probe::ALL
        .iter()
        .flat_map(|probe| [true, false].map(|ok| probe.word(ok)));
    let spoken: BTreeSet<_> = spoken.collect();
    assert_eq!(
        words("/properties/status")
            .into_iter()
            .collect::<BTreeSet<_>>(),
        spoken
    );
}

#[test]
fn the_example_follows_the_schema() {
    let example: Value = serde_json::from_str(EXAMPLE).unwrap();
    Checker::new().check(&example, Detail::Full);
    let typed: JsonAnswer<'_> = serde_json::from_str(EXAMPLE).unwrap();
    assert_eq!(serde_json::to_value(typed).unwrap(), example);

    let change: Value = serde_json::from_str(CHANGE).unwrap();
    Checker::new().check(&change, Detail::Full);
    let typed: JsonAnswer<'_> = serde_json::from_str(CHANGE).unwrap();
    assert_eq!(
        serde_json::to_value(typed).unwrap(),
        without_null_reasons(change)
    );

    let tick: Value = serde_json::from_str(TICK).unwrap();
    Checker::new().check_at("/$defs/tick", &tick, Detail::Names);
    let typed: JsonTick<'_> = serde_json::from_str(TICK).unwrap();
    assert_eq!(serde_json::to_value(typed).unwrap(), tick);
}

#[test]
fn fields_of_a_later_version_are_ignored() {
    let json = r#"{"probe":"readiness","ok":true,"status":"ready","later":[1],"phase":"new word"}"#;
    let answer: JsonAnswer<'_> = serde_json::from_str(json).unwrap();
    assert_eq!(answer.phase.as_deref(), Some("new word"));
}
