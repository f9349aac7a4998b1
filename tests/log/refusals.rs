//! The lines about refused requests, about a start that takes long, and about a
//! subsystem that flaps.

use crate::lines::Lines;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use std::convert::Infallible;
use tokio::{
    task::yield_now,
    time::{Duration, advance},
};
use tower::{Layer, ServiceExt, service_fn};
use tower_readiness::{Readiness, ReadinessLayer, Reporter, Subsystem, gate::Refusal};
use tracing_subscriber::filter::LevelFilter;

type Body = Empty<Bytes>;

const SECOND: Duration = Duration::from_secs(1);

/// Lets time pass in steps, so that due tasks run in time.
async fn pass(time: Duration) {
    let steps = u32::try_from(time.as_millis() / 500).unwrap();
    for _ in 0..steps {
        yield_now().await;
        advance(Duration::from_millis(500)).await;
    }
    yield_now().await;
}

/// Sends so many requests, and tells how many were refused.
async fn send(layer: &ReadinessLayer, count: usize) -> usize {
    let mut refused = 0;
    for _ in 0..count {
        let inner =
            service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::new())));
        let response = layer.layer(inner).oneshot(Request::new(Body::new())).await;
        refused += usize::from(response.unwrap().extensions().get::<Refusal>().is_some());
    }
    refused
}

fn two() -> (Readiness, Reporter, Reporter) {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        .subsystem(Subsystem::new("policy"))
        .scope("files", ["storage"])
        .build()
        .unwrap();
    let [storage, policy] = ["storage", "policy"].map(|name| readiness.reporter(name).unwrap());
    (readiness, storage, policy)
}

#[tokio::test(start_paused = true)]
async fn an_episode_of_refusals_is_a_warning_a_summary_and_an_end() {
    let (lines, _logs) = Lines::of_this_thread(LevelFilter::INFO);
    let (readiness, storage, policy) = two();
    storage.ready();
    policy.ready();
    let layer = ReadinessLayer::new(&readiness);
    storage.failing("connection refused");
    // 2 subsystems, 2 scopes of which one is the process, the phase, and the loss
    // for both scopes with its cause.
    lines.take(4 + 3);

    assert_eq!(send(&layer, 1_200).await, 1_200);
    let first = "WARN refused a request: storage (connection refused) reason=failing dry_run=false";
    assert_eq!(lines.take_whole(1), [first]);

    // It flaps, and that is still the same episode.
    for _ in 0..4 {
        storage.ready();
        assert_eq!(send(&layer, 10).await, 0);
        pass(SECOND).await;
        storage.failing("connection refused");
        send(&layer, 980).await;
        pass(SECOND).await;
    }
    storage.failing("timeout");
    pass(2 * SECOND).await;
    let lines_of = |word: &str, lines: Vec<String>| -> Vec<String> {
        lines
            .into_iter()
            .filter(|line| line.contains(word))
            .collect()
    };
    // The lines of the flapping that the limit lets through come before it.
    let text = lines.until("so far").await;
    let summary = lines_of("requests in", text);
    assert_eq!(
        summary,
        [
            "INFO refused 5,120 requests in 10s so far: storage (timeout) reason=failing dry_run=false"
        ]
    );
    storage.ready();
    pass(8 * SECOND).await;
    let end = lines_of("requests in", lines.until("requests in").await);
    // The last one was refused 7 seconds after the first.
    assert_eq!(
        end,
        [
            "INFO refused 5,120 requests in 7s: storage (connection refused) reason=failing dry_run=false"
        ]
    );
    pass(600 * SECOND).await;
    storage.degraded("slow");
    let rest = lines.until("subsystem degraded").await;
    assert_eq!(lines_of("refused a request", rest), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn each_refused_request_is_a_line_at_debug_that_names_the_gate() {
    let (lines, _logs) = Lines::of_this_thread(LevelFilter::DEBUG);
    let (readiness, _storage, _policy) = two();
    let process = ReadinessLayer::new(&readiness);
    let files = ReadinessLayer::gate(readiness.scope("files").unwrap());
    let dry = process.clone().dry_run();
    let mut told = Vec::new();
    for layer in [process, files, dry] {
        send(&layer, 2).await;
    }
    while told.len() < 6 {
        let new = lines.until("request refused").await;
        let refused = |line: &String| line.contains("request refused");
        told.extend(new.into_iter().filter(refused));
    }
    let all = [
        "reason=starting method=GET path=\"/\" dry_run=false",
        "scope=\"files\" reason=starting method=GET path=\"/\" dry_run=false",
        "reason=starting method=GET path=\"/\" dry_run=true",
    ];
    let twice = all.map(|fields| [(); 2].map(|()| format!("DEBUG request refused {fields}")));
    assert_eq!(told, twice.concat());
}

#[tokio::test(start_paused = true)]
async fn a_rollout_that_refuses_warns_of_nothing() {
    let (lines, _logs) = Lines::of_this_thread(LevelFilter::INFO);
    let (readiness, _storage, _policy) = two();
    let dry = ReadinessLayer::new(&readiness).dry_run();
    let files = ReadinessLayer::gate(readiness.scope("files").unwrap());
    assert_eq!(send(&dry, 3).await, 0);
    assert_eq!(send(&files, 2).await, 2);
    let told = [
        "INFO would have refused a request: storage (never reported), policy (never reported) \
         reason=starting dry_run=true",
        "INFO refused a request: storage (never reported) scope=\"files\" reason=starting \
         dry_run=false",
    ];
    assert_eq!(lines.take_whole(2), told);
    readiness.drain();
    lines.take(1);
    pass(11 * SECOND).await;
    let mut ends = lines.take_whole(2);
    ends.sort();
    assert!(
        ends[0].starts_with("INFO refused 2 requests in 0ms: storage"),
        "{ends:?}"
    );
    assert!(
        ends[1].starts_with("INFO would have refused 3 requests in 0ms"),
        "{ends:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_long_start_names_the_subsystems_that_it_waits_for() {
    let (lines, _logs) = Lines::of_this_thread(LevelFilter::INFO);
    let (readiness, storage, policy) = two();
    policy.starting("40 %");
    let waiting = "INFO waiting for storage (never reported), policy (starting: 40 %)";
    for seconds in [10, 20, 30, 60, 60] {
        pass(SECOND * seconds).await;
        assert_eq!(lines.take(1), [waiting]);
    }
    policy.ready();
    lines.take(1);
    pass(SECOND * 60).await;
    assert_eq!(lines.take(1), ["INFO waiting for storage (never reported)"]);
    storage.ready();
    assert_eq!(lines.take(3).len(), 3);
    pass(SECOND * 600).await;
    readiness.drain();
    let next = lines.take(2);
    assert!(next.iter().all(|line| line.contains("process")), "{next:?}");

    let metrics = tokio::runtime::Handle::current().metrics();
    drop((readiness, storage, policy));
    while metrics.num_alive_tasks() > 0 {
        yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_subsystem_that_flaps_fills_no_log() {
    let (lines, _logs) = Lines::of_this_thread(LevelFilter::INFO);
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        .subsystem(Subsystem::new("policy"))
        .build()
        .unwrap();
    let [storage, policy] = ["storage", "policy"].map(|name| readiness.reporter(name).unwrap());
    policy.ready();
    storage.ready();
    // And the phase, and the process.
    lines.take(2 + 2);
    for _ in 0..100 {
        storage.failing("gone");
        storage.ready();
    }
    // Its first report was one change of the ten, and each of these has two lines.
    let logged = lines.take(18);
    let of = |word: &str| logged.iter().filter(|line| line.contains(word)).count();
    assert_eq!(
        (logged.len(), of("subsystem"), of("process readiness")),
        (18, 9, 9)
    );
    policy.failing("no rules");
    assert_eq!(lines.take(2)[0], "WARN subsystem failing", "of another");
    pass(SECOND * 61).await;
    let told = lines.take_whole(1);
    let expected = "WARN 191 more changes of storage were left out: it changes too often";
    assert!(told[0].starts_with(expected), "{told:?}");
    assert!(
        told[0].contains("state=ready process_ready=false"),
        "{told:?}"
    );
    storage.failing("gone");
    assert_eq!(lines.take(1), ["WARN subsystem failing"]);
}

#[tokio::test(start_paused = true)]
async fn an_outage_in_many_scopes_is_logged_in_each_and_so_is_its_end() {
    const SCOPES: usize = 9;
    let (lines, _logs) = Lines::of_this_thread(LevelFilter::INFO);
    let mut builder = Readiness::builder().subsystem(Subsystem::new("storage"));
    for number in 0..SCOPES {
        builder = builder.scope(format!("scope-{number}"), ["storage"]);
    }
    let readiness = builder.build().unwrap();
    let storage = readiness.reporter("storage").unwrap();
    storage.ready();
    // The subsystem, the phase, and the process; scopes have no line when they start.
    lines.take(3);
    let outage_and_end = [
        ("subsystem failing", "lost"),
        ("subsystem ready", "regained"),
    ];
    for (of_subsystem, change) in outage_and_end {
        if change == "lost" {
            storage.failing("gone");
        } else {
            storage.ready();
        }
        let logged = lines.take(2 + SCOPES);
        let of = |text: &str| logged.iter().filter(|line| line.contains(text)).count();
        let of_scopes = of(&format!("scope readiness {change}"));
        let counts = (of(of_subsystem), of("process readiness"), of_scopes);
        assert_eq!(counts, (1, 1, SCOPES), "{logged:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn lines_that_were_left_out_are_told_although_no_other_line_is_due() {
    let (lines, _logs) = Lines::of_this_thread(LevelFilter::INFO);
    let builder = Readiness::builder().subsystem(Subsystem::new("storage"));
    let readiness = builder.build().unwrap();
    let storage = readiness.reporter("storage").unwrap();
    storage.ready();
    lines.take(3);
    // By now the timer waits for no line about the start.
    pass(SECOND * 600).await;
    for _ in 0..100 {
        storage.failing("gone");
        storage.ready();
    }
    assert_eq!(lines.take(20).len(), 20);
    pass(SECOND * 61).await;
    let told = lines.take_whole(1);
    let expected = "WARN 190 more changes of storage were left out: it changes too often";
    assert!(told[0].starts_with(expected), "{told:?}");
}
