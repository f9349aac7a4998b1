//! The order, the times and the data of events.

use crate::{
    ANYWHERE,
    client::{Event, Local, ask, get, open},
    support::{ready, whole},
};
use serde_json::Value;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::{Instant, advance, sleep};
use tower_readiness::{Builder, Phase, Readiness, Subsystem, server::AdminListener};

/// The document without the times, which go on.
fn timeless(mut document: Value) -> Value {
    fn remove(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.retain(|name, _| !matches!(name.as_str(), "for_ms" | "ago_ms" | "left_ms"));
                fields.values_mut().for_each(remove);
            }
            Value::Array(values) => values.iter_mut().for_each(remove),
            _ => {}
        }
    }
    remove(&mut document);
    document
}

#[tokio::test]
async fn the_first_event_is_the_status_and_the_next_has_what_changed() {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        .subsystem(Subsystem::new("index").optional())
        .subsystem(Subsystem::new("mail").optional())
        .scope("search", ["index"])
        .scope("post", ["mail"])
        .build()
        .unwrap();
    let [storage, index] = ["storage", "index"].map(|name| readiness.reporter(name).unwrap());
    storage.ready();
    let server = readiness.serve(ANYWHERE).await.unwrap();
    let mut events = open(&server).await;
    let first = events.next().await.unwrap();
    assert_eq!(first.kind, "state");
    let status = ask(
        &server,
        get("/statusz").header("accept", "application/json"),
    )
    .await;
    let status = serde_json::from_str(whole(status).await.body()).unwrap();
    assert_eq!(timeless(first.data.clone()), timeless(status));
    assert_eq!(
        first.history(),
        [
            "storage starting ready",
            "phase starting started",
            "process starting degraded"
        ]
    );

    index.ready();
    let second = events.next_update().await;
    assert_eq!(second.kind, "change");
    assert_eq!(second.subsystems(), ["index"]);
    assert_eq!(second.data["scopes"].as_array().unwrap().len(), 1);
    assert_eq!(second.data["scopes"][0]["name"], "search");
    assert_eq!(second.data["scopes"][0]["ready"], true);
    assert_eq!(
        second.history(),
        ["index starting ready", "search starting ready"]
    );
    for event in [&first, &second] {
        let (instance, version) = event.id.as_ref().unwrap().split_once('.').unwrap();
        assert_eq!(version, event.version().to_string());
        assert_eq!(instance.len(), 16, "{instance}");
    }

    // A pause changes every scope, and no subsystem.
    let _pause = readiness.pause("standby");
    let third = events.next_update().await;
    assert_eq!(third.subsystems(), [""; 0]);
    assert_eq!(third.data["scopes"].as_array().unwrap().len(), 2);
    assert_eq!(third.data["verdicts"]["readiness"], false);
    assert_eq!(third.data["pause_reason"], "standby");

    // A subsystem that came and went between two events is in the history alone.
    let late = readiness.add(Subsystem::new("late")).unwrap();
    let added = events.next_update().await;
    assert_eq!(added.subsystems(), ["late"]);
    late.retire();
    readiness.add(Subsystem::new("other")).unwrap().retire();
    let retired = events.next_update().await;
    assert_eq!(retired.subsystems(), [""; 0]);
    assert_eq!(
        retired.data["removed"],
        serde_json::json!(["late", "other"])
    );
    assert_eq!(
        retired.history(),
        ["late starting -", "other - starting", "other starting -"]
    );
}

#[tokio::test(start_paused = true)]
async fn changes_come_five_times_a_second_at_most_and_no_transition_is_lost() {
    let (readiness, storage) = ready();
    let server = Local::serve(AdminListener::new(&readiness)).await;
    let mut events = open(&server).await;
    let first = events.next().await.unwrap();
    let reports = tokio::spawn(async move {
        for _ in 0..250 {
            storage.failing("flaps");
            sleep(Duration::from_millis(10)).await;
            storage.ready();
            sleep(Duration::from_millis(10)).await;
        }
        storage
    });
    let mut last = Instant::now();
    let (mut transitions, mut updates) = (Vec::new(), 0);
    let mut version = first.version();
    while version < first.version() + 500 {
        let event = events.next_update().await;
        let gap = last.elapsed();
        // The clock advances from timer to timer.
        assert!(gap >= Duration::from_millis(199), "{gap:?}");
        last = Instant::now();
        assert!(event.version() > version);
        version = event.version();
        transitions.extend(event.history());
        updates += 1;
    }
    assert!((20..=27).contains(&updates), "{updates} in 5 s");
    // Each transition of the subsystem, and that of the process which follows.
    assert_eq!(transitions.len(), 1_000);
    for (index, pair) in transitions.chunks(4).enumerate() {
        let flap = [
            "storage ready failing",
            "process ready failing",
            "storage failing ready",
            "process failing ready",
        ];
        assert_eq!(pair, flap, "{index}");
    }
    drop(reports.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_large_event_delays_the_next_one() {
    let names: Vec<_> = (0..100).map(|index| format!("subsystem-{index}")).collect();
    let subsystems = names.iter().map(Subsystem::new);
    let builder = subsystems.fold(Readiness::builder(), Builder::subsystem);
    let readiness = builder.build().unwrap();
    let reporters = names.iter().map(|name| readiness.reporter(name).unwrap());
    let reporters: Vec<_> = reporters.collect();
    for reporter in &reporters {
        reporter.failing("x".repeat(600));
    }
    let server = Local::serve(AdminListener::new(&readiness)).await;
    let mut events = open(&server).await;
    let state = events.next().await.unwrap();
    let gaps = 1 + state.data.to_string().len() / (64 << 10);
    assert!(gaps > 1);
    let begin = Instant::now();
    reporters[0].ready();
    events.next_update().await;
    let (delay, gap) = (begin.elapsed(), Duration::from_millis(200));
    assert!(
        delay >= gap * gaps as u32 - Duration::from_millis(1),
        "{delay:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_tick_comes_every_two_seconds_also_after_the_clock_has_jumped() {
    let (readiness, storage) = ready();
    let server = Local::serve(AdminListener::new(&readiness)).await;
    let mut events = open(&server).await;
    let begin = Instant::now();
    let first = events.next().await.unwrap();
    let is_tick = |event: &Event| {
        assert_eq!((event.kind.as_str(), &event.id), ("tick", &None));
        assert_eq!(event.version(), first.version());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let time = Duration::from_millis(event.data["time"].as_u64().unwrap());
        assert!(now.abs_diff(time) < Duration::from_secs(60));
        assert_eq!(event.data["traffic"]["refused"], serde_json::json!({}));
    };
    for tick in 1..=3 {
        is_tick(&events.next().await.unwrap());
        let passed = begin.elapsed();
        assert!(
            passed.abs_diff(Duration::from_secs(2 * tick)) < Duration::from_millis(100),
            "{passed:?}"
        );
    }
    // Missed ticks are not made up.
    advance(Duration::from_secs(3_600)).await;
    let begin = Instant::now();
    is_tick(&events.next().await.unwrap());
    assert!(begin.elapsed() < Duration::from_millis(100));
    is_tick(&events.next().await.unwrap());
    assert!(begin.elapsed() > Duration::from_millis(1_900));

    storage.failing("late");
    let change = events.next_update().await;
    let lasted = change.data["history"][0]["lasted_ms"].as_u64().unwrap();
    assert!((3_600_000..3_700_000).contains(&lasted), "{lasted}");
}

#[tokio::test(start_paused = true)]
async fn a_tick_has_the_time_left_of_the_drain_and_the_counts() {
    let (readiness, _storage) = ready();
    let _shutdown = readiness.shutdown().build().unwrap();
    let server = Local::serve(AdminListener::new(&readiness)).await;
    let mut events = open(&server).await;
    events.next().await.unwrap();
    readiness.drain();
    assert_eq!(events.next_update().await.data["phase"], "draining");
    let left = async |events: &mut crate::client::Events| {
        let tick = events.next().await.unwrap();
        assert_eq!(tick.kind, "tick");
        tick.data["drain"]["left_ms"].as_u64().unwrap()
    };
    let (first, second) = (left(&mut events).await, left(&mut events).await);
    assert!(
        (1_900..=2_100).contains(&(first - second)),
        "{first} {second}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_stream_ends_with_the_event_that_the_process_is_closed() {
    let (readiness, storage) = ready();
    let server = Local::serve(AdminListener::new(&readiness)).await;
    let mut events = open(&server).await;
    events.next().await.unwrap();
    readiness.drain();
    assert_eq!(events.next_update().await.data["phase"], "draining");
    let begin = Instant::now();
    storage.failing("too late");
    readiness.advance(Phase::Closed);
    let last = events.next_update().await;
    assert_eq!(last.data["phase"], "closed");
    assert_eq!(
        last.history(),
        [
            "storage ready failing",
            "process ready failing",
            "phase draining closed"
        ]
    );
    assert_eq!(events.next().await, None);
    assert!(begin.elapsed() < Duration::from_millis(100), "not delayed");

    // A client that connects now gets the last state; one that has it gets nothing.
    let mut late = open(&server).await;
    let state = late.next().await.unwrap();
    assert_eq!(
        (state.kind.as_str(), state.version()),
        ("state", last.version())
    );
    assert_eq!(late.next().await, None);
    let mut again = crate::client::resume(&server, &last.id.unwrap()).await;
    assert_eq!(again.next().await, None);
}

#[tokio::test]
async fn every_character_of_a_reason_arrives() {
    let (readiness, storage) = ready();
    let server = readiness.serve(ANYWHERE).await.unwrap();
    let mut events = open(&server).await;
    events.next().await.unwrap();
    for reason in [
        "a \"quoted\" word, a \\ and a '",
        "two\nlines\r\nand\n\nan empty one\rdata: x\nevent: tick\n\n",
        "<script>alert(1)</script> &amp; <!-- -->",
        "naïve – ✓ שלום \u{202e}reversed\u{2028}line\u{0}nul\u{1b}[31m",
    ] {
        storage.failing(reason);
        let event = events.next_update().await;
        assert_eq!(event.data["subsystems"][0]["reason"], reason);
        storage.ready();
        assert_eq!(events.next_update().await.subsystems(), ["storage"]);
    }
}
