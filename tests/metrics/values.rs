//! Values through the life of a process.

use crate::{
    family,
    support::{soon, starting},
    value,
};
use futures_util::FutureExt;
use http::{Request, Response};
use std::{convert::Infallible, time::Duration};
use tokio::time::advance;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_readiness::{
    Action, Group, Phase, Readiness, ReadinessLayer, Reason, Reporter, Subsystem,
    check::{Check, Outcome},
    probe::Probes,
    watch::RuntimeWatch,
};

const SECOND: Duration = Duration::from_secs(1);

/// The words of a family of which exactly one is 1, for the samples whose labels begin
/// with `prefix`.
fn present(readiness: &Readiness, name: &str, prefix: &str) -> Vec<String> {
    let all = family(readiness, name).into_iter();
    let present = all.filter(|(_, value)| *value == [1.0]);
    let present = present.filter_map(|(labels, _)| Some(labels.strip_prefix(prefix)?.to_owned()));
    present.map(|word| word.trim().to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn the_state_is_that_of_the_snapshot_through_start_outage_and_drain() {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        .subsystem(Subsystem::new("index").optional())
        .scope("search", ["index"])
        .build()
        .unwrap();
    let [storage, index] = ["storage", "index"].map(|name| readiness.reporter(name).unwrap());
    let check = |condition: &str, of_search: &str, phase: &str, green: [&str; 2]| {
        let present = |name, prefix| present(&readiness, name, prefix);
        assert_eq!(present("readiness_condition", "readiness "), [condition]);
        assert_eq!(present("readiness_condition", "search "), [of_search]);
        assert_eq!(present("readiness_phase", ""), [phase]);
        let of_process = green[0].split_whitespace();
        assert!(
            present("readiness_verdict", "readiness ")
                .iter()
                .eq(of_process)
        );
        let of_search = green[1].split_whitespace();
        assert!(present("readiness_verdict", "search ").iter().eq(of_search));
    };
    check("starting", "starting", "starting", ["liveness"; 2]);
    let all = "liveness readiness startup";
    advance(2 * SECOND).await;
    storage.ready();
    check("degraded", "starting", "started", [all, "liveness"]);
    advance(SECOND).await;
    let duration = |name| {
        value(
            &readiness,
            "readiness_subsystem_startup_duration_seconds",
            name,
        )
    };
    assert_eq!(duration("storage"), 2.0);
    assert_eq!(duration("index"), 3.0, "so far");
    assert_eq!(
        value(&readiness, "readiness_startup_duration_seconds", ""),
        2.0
    );
    index.degraded("slow");
    check("degraded", "degraded", "started", [all, all]);
    index.failing("gone");
    check("degraded", "failing", "started", [all, "liveness startup"]);
    storage.dead("disk");
    check("failing", "failing", "started", ["liveness startup"; 2]);
    assert_eq!(
        present(&readiness, "readiness_subsystem_state", "storage "),
        ["dead"]
    );
    assert_eq!(value(&readiness, "readiness_subsystems", "dead"), 1.0);
    storage.ready();
    storage.ready();
    let guard = readiness.pause("maintenance");
    assert_eq!(value(&readiness, "readiness_paused", ""), 1.0);
    drop(guard);
    assert_eq!(value(&readiness, "readiness_paused", ""), 0.0);
    index.ready();
    check("ready", "ready", "started", [all, all]);
    for (phase, word) in [
        (Phase::Draining, "draining"),
        (Phase::Closing, "closing"),
        (Phase::Closed, "closed"),
    ] {
        readiness.advance(phase);
        check("ready", "ready", word, ["liveness startup"; 2]);
    }
    advance(60 * SECOND).await;
    assert_eq!(duration("index"), 3.0);
    assert_eq!(
        value(&readiness, "readiness_startup_duration_seconds", ""),
        2.0
    );
    let to = |labels: &str| value(&readiness, "readiness_subsystem_transitions_total", labels);
    let storage = ["starting", "ready", "failing", "dead"].map(|it| to(&format!("storage {it}")));
    assert_eq!(storage, [0.0, 2.0, 0.0, 1.0]);
    let index = ["ready", "degraded", "failing"].map(|it| to(&format!("index {it}")));
    assert_eq!(index, [1.0; 3]);
}

#[tokio::test]
async fn a_repeated_report_has_a_newer_time_and_a_heartbeat_has_not() {
    let subsystem = Subsystem::new("storage").ttl(60 * SECOND);
    let readiness = Readiness::builder().subsystem(subsystem).build().unwrap();
    let storage = readiness.reporter("storage").unwrap();
    let name = "readiness_subsystem_last_report_timestamp_seconds";
    let last = || value(&readiness, name, "storage");
    let unix = || {
        let epoch = std::time::SystemTime::UNIX_EPOCH;
        std::time::SystemTime::now().duration_since(epoch).unwrap()
    };
    let newer_than = async |seen: f64| {
        soon(async {
            while unix().as_secs_f64() <= seen + 0.002 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
    };
    assert_eq!(last(), 0.0);
    let before = unix().as_secs_f64();
    storage.ready();
    let first = last();
    assert!(
        (before - 0.002..=unix().as_secs_f64()).contains(&first),
        "{first}"
    );
    newer_than(first).await;
    storage.heartbeat();
    assert_eq!(last(), first);
    storage.ready();
    let second = last();
    assert!(second > first, "a repeat: {second}");
    newer_than(second).await;
    storage.leave_ready();
    assert!(last() > second);
}

// === requests ===

type Client = tower::util::BoxCloneSyncService<Request<String>, Response<String>, Infallible>;

fn client(layer: &ReadinessLayer) -> Client {
    let service = layer.layer(service_fn(async |_: Request<String>| {
        Ok::<_, Infallible>(Response::new(String::new()))
    }));
    let service = service.map_response(|response: Response<_>| response.map(|_| String::new()));
    Client::new(service)
}

fn ask(layer: &ReadinessLayer) -> u16 {
    let response = client(layer).oneshot(Request::new(String::new()));
    response.now_or_never().unwrap().unwrap().status().as_u16()
}

/// The samples of the requests that are not zero.
fn requests(readiness: &Readiness) -> Vec<(String, f64)> {
    let all = family(readiness, "readiness_requests_total").into_iter();
    let all = all.map(|(labels, value)| (labels, value[0]));
    all.filter(|(_, value)| *value > 0.0).collect()
}

fn failing() -> (Readiness, Reporter) {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        .subsystem(Subsystem::new("index").optional())
        .scope("search", ["index"])
        .build()
        .unwrap();
    let storage = readiness.reporter("storage").unwrap();
    storage.ready();
    storage.failing("disk");
    (readiness, storage)
}

#[tokio::test(start_paused = true)]
async fn requests_count_by_scope_outcome_and_reason() {
    let (readiness, storage) = failing();
    let layer = ReadinessLayer::new(&readiness);
    assert_eq!(ask(&layer), 503);
    assert_eq!(ask(&layer), 503);
    let shed = Action::shed(1.0).unwrap();
    assert_eq!(ask(&layer.clone().when_failing(shed.clone())), 503);
    let search = ReadinessLayer::gate(readiness.scope("search").unwrap());
    assert_eq!(ask(&search), 503);
    assert_eq!(ask(&layer.clone().dry_run()), 200);
    assert_eq!(ask(&layer.clone().when_failing(shed).dry_run()), 200);
    let hold = Action::hold(4 * SECOND).unwrap();
    let holding = layer.clone().when_failing(hold);
    assert_eq!(ask(&holding.clone().dry_run()), 200);
    let held = tokio::spawn(client(&holding).oneshot(Request::new(String::new())));
    tokio::task::yield_now().await;
    advance(3 * SECOND).await;
    storage.ready();
    assert_eq!(held.await.unwrap().unwrap().status(), 200);
    let expected = [
        ("readiness dry_run_held failing", 1.0),
        ("readiness dry_run_refused failing", 1.0),
        ("readiness dry_run_shed failing", 1.0),
        ("readiness held failing", 1.0),
        ("readiness refused failing", 2.0),
        ("readiness shed failing", 1.0),
        ("search refused starting", 1.0),
    ];
    let expected = expected.map(|(labels, value)| (labels.to_owned(), value));
    assert_eq!(requests(&readiness), expected);
    // The older counts include those that were shed.
    assert_eq!(readiness.refused(Reason::Failing), 3);
    assert_eq!(readiness.refused(Reason::Starting), 1);
    assert_eq!(readiness.dry_run_refused(Reason::Failing), 2);
    let durations = family(&readiness, "readiness_hold_duration_seconds");
    assert_eq!(durations[""], [1.0, 3.0]);
}

#[tokio::test(start_paused = true)]
async fn a_hold_that_ends_in_a_refusal_counts_as_both() {
    let (readiness, _storage) = failing();
    let hold = Action::hold(4 * SECOND).unwrap();
    let layer = ReadinessLayer::new(&readiness).when_failing(hold);
    let response = client(&layer).oneshot(Request::new(String::new()));
    assert_eq!(response.await.unwrap().status(), 503);
    let expected = ["held", "refused"].map(|it| (format!("readiness {it} failing"), 1.0));
    assert_eq!(requests(&readiness), expected);
    let durations = family(&readiness, "readiness_hold_duration_seconds");
    assert_eq!(durations[""], [1.0, 4.0]);
}

#[tokio::test(start_paused = true)]
async fn requests_in_flight_and_drift_have_samples_once_a_layer_counts_them() {
    let (readiness, storage) = starting();
    storage.ready();
    let samples = |name: &str| family(&readiness, name).len();
    assert_eq!(samples("readiness_requests_in_flight"), 0);
    assert_eq!(samples("readiness_drift_requests_total"), 0);
    let layer = ReadinessLayer::new(&readiness);
    let layer = layer.count_in_flight().observe_outcomes();
    let mut service = layer.layer(service_fn(async |request: Request<String>| {
        let failed = request.uri().path() == "/failed";
        Ok::<_, Infallible>(if failed {
            Response::builder().status(500).body(String::new()).unwrap()
        } else {
            Response::new(String::new())
        })
    }));
    let pending = service.call(Request::get("/").body(String::new()).unwrap());
    let in_flight = || value(&readiness, "readiness_requests_in_flight", "");
    assert_eq!(in_flight(), 1.0);
    drop(pending.await);
    assert_eq!(in_flight(), 0.0);
    drop(
        service
            .call(Request::get("/failed").body(String::new()).unwrap())
            .await,
    );
    let drift = |outcome| value(&readiness, "readiness_drift_requests_total", outcome);
    assert_eq!(drift("readiness answered"), 1.0);
    assert_eq!(drift("readiness failed"), 1.0);
}

#[tokio::test(start_paused = true)]
async fn time_that_a_gate_refuses_against_the_checks_of_its_subsystems_is_drift() {
    let check = Check::every(60 * SECOND).jitter(0.0);
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        .subsystem(Subsystem::new("disk").check(check, async || Outcome::ready()))
        .build()
        .unwrap();
    let storage = readiness.reporter("storage").unwrap();
    storage.ready();
    soon(readiness.wait_ready()).await.unwrap();
    let _layer = ReadinessLayer::new(&readiness).observe_outcomes();
    let refusing = || {
        value(
            &readiness,
            "readiness_drift_refusing_seconds_total",
            "readiness",
        )
    };
    assert_eq!(refusing(), 0.0);
    storage.failing("so it says");
    advance(7 * SECOND).await;
    assert_eq!(refusing(), 7.0);
}

// === other parts of the process ===

#[tokio::test(start_paused = true)]
async fn the_runs_of_a_check_are_measured() {
    let check = Check::every(60 * SECOND).jitter(0.0);
    let subsystem = Subsystem::new("disk").check(check, async || {
        tokio::time::sleep(2 * SECOND).await;
        Outcome::ready()
    });
    let readiness = Readiness::builder()
        .subsystem(subsystem)
        .subsystem(Subsystem::new("storage"))
        .build()
        .unwrap();
    let runs = || family(&readiness, "readiness_check_duration_seconds");
    assert_eq!(
        runs().into_iter().collect::<Vec<_>>(),
        [("disk".to_owned(), vec![0.0; 2])]
    );
    readiness.reporter("storage").unwrap().leave_ready();
    readiness.wait_ready().await.unwrap();
    assert_eq!(runs()["disk"], [1.0, 2.0]);
}

#[tokio::test(start_paused = true)]
async fn the_delays_of_a_watched_runtime_are_shown() {
    let (readiness, _storage) = starting();
    let name = "readiness_runtime_delay_seconds";
    assert!(family(&readiness, name).is_empty());
    readiness.watch_runtime(RuntimeWatch::default()).unwrap();
    for _ in 0..25 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let delays = family(&readiness, name);
    assert_eq!(delays.keys().collect::<Vec<_>>(), ["50", "99"]);
    // tokio's timer has a resolution of 1 ms.
    assert!(delays.values().all(|delay| delay[0] < 0.01), "{delays:?}");
}

#[tokio::test]
async fn answers_of_probes_count_by_probe_and_status() {
    let (readiness, storage) = starting();
    let probes = Probes::new(&readiness);
    let ask = async |method: &str, path: &str| {
        let request = Request::builder().method(method).uri(path);
        let request = request.body(String::new()).unwrap();
        probes.clone().oneshot(request).await.unwrap();
    };
    ask("GET", "/readyz").await;
    storage.ready();
    ask("GET", "/readyz").await;
    ask("HEAD", "/readyz").await;
    ask("POST", "/livez").await;
    ask("GET", "/readyz/storage").await;
    ask("GET", "/elsewhere").await;
    let probes = family(&readiness, "readiness_probes_total").into_iter();
    let probes = probes.filter(|(_, value)| value[0] > 0.0);
    let expected = [
        ("liveness 405", 1.0),
        ("readiness 200", 2.0),
        ("readiness 404", 1.0),
        ("readiness 503", 1.0),
    ];
    let expected = expected.map(|(labels, value)| (labels.to_owned(), vec![value]));
    assert_eq!(probes.collect::<Vec<_>>(), expected);
}

#[cfg(all(unix, feature = "systemd"))]
#[tokio::test]
async fn messages_that_systemd_does_not_get_count() {
    use tower_readiness::notify::systemd::SystemdOptions;
    let (readiness, storage) = starting();
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("no-listener");
    let options = SystemdOptions::default().socket(socket);
    readiness.notify_systemd_with(options).unwrap();
    let errors = || value(&readiness, "readiness_mirror_errors_total", "systemd");
    storage.ready();
    crate::support::until(|| errors() >= 2.0).await;
}

#[cfg(all(unix, feature = "termination"))]
#[tokio::test]
async fn termination_messages_that_cannot_be_written_count() {
    let (readiness, storage) = starting();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    readiness.termination_message(&path);
    let errors = || value(&readiness, "readiness_mirror_errors_total", "termination");
    crate::support::until(|| errors() == 1.0).await;
    storage.failing("disk");
    crate::support::until(|| errors() == 2.0).await;
    std::fs::File::create(&path).unwrap();
    storage.ready();
    crate::support::until(|| std::fs::metadata(&path).unwrap().len() > 0).await;
    assert_eq!(errors(), 2.0);
}

#[cfg(feature = "connections")]
#[tokio::test(start_paused = true)]
async fn connections_that_retire_count() {
    use hyper_util::rt::TokioIo;
    let (readiness, _storage) = starting();
    let retired = || value(&readiness, "readiness_connections_retired_total", "");
    let tracked = readiness.connections().track();
    let service = tracked.service(service_fn(async |_: Request<hyper::body::Incoming>| {
        Ok::<_, Infallible>(Response::new(String::new()))
    }));
    let service = hyper_util::service::TowerToHyperService::new(service);
    let (stream, _peer) = tokio::io::duplex(64);
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let mut driven = std::pin::pin!(tracked.drive(connection));
    assert!(futures_util::poll!(driven.as_mut()).is_pending());
    assert_eq!(retired(), 0.0);
    readiness.drain();
    advance(5 * SECOND).await;
    for _ in 0..3 {
        let _ = futures_util::poll!(driven.as_mut());
        advance(SECOND).await;
    }
    assert_eq!(retired(), 1.0);
}

#[tokio::test(start_paused = true)]
async fn the_members_of_a_group_are_counted_by_state() {
    let builder = Readiness::builder().allow_empty();
    let readiness = builder.group(Group::new("upstream")).build().unwrap();
    let group = readiness.group("upstream").unwrap();
    let members = ["a", "b", "c"].map(|name| group.add(name).unwrap());
    members[0].ready();
    members[1].failing("refused");
    advance(SECOND).await;
    let count = |state| {
        let labels = format!("upstream {state}");
        value(&readiness, "readiness_group_members", &labels)
    };
    assert_eq!(
        ["ready", "failing", "starting", "dead"].map(count),
        [1.0, 1.0, 1.0, 0.0]
    );
}
