//! What a client gets that reconnects.

use crate::{
    ANYWHERE,
    client::{Local, open, resume},
    support::ready,
};
use std::time::Duration;
use tokio::time::Instant;
use tower_readiness::{Readiness, Subsystem, server::AdminListener};

#[tokio::test(start_paused = true)]
async fn a_client_that_reconnects_gets_what_it_has_missed() {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        .subsystem(Subsystem::new("index").optional())
        .build()
        .unwrap();
    let [storage, index] = ["storage", "index"].map(|name| readiness.reporter(name).unwrap());
    storage.ready();
    index.ready();
    let late = readiness.add(Subsystem::new("late")).unwrap();
    let server = Local::serve(AdminListener::new(&readiness)).await;
    let id = open(&server).await.next().await.unwrap().id.unwrap();

    // Nothing has changed: a tick shows at once that the stream is alive.
    let begin = Instant::now();
    let mut events = resume(&server, &id).await;
    assert_eq!(events.next().await.unwrap().kind, "tick");
    assert!(begin.elapsed() < Duration::from_secs(1));
    drop(events);

    index.failing("gone");
    index.ready();
    index.failing("gone again");
    late.retire();
    let mut events = resume(&server, &id).await;
    let missed = events.next().await.unwrap();
    assert_eq!(missed.kind, "change");
    assert_eq!(missed.subsystems(), ["index"]);
    assert_eq!(missed.data["removed"], serde_json::json!(["late"]));
    assert_eq!(
        missed.history(),
        [
            "index ready failing",
            "index failing ready",
            "index ready failing",
            "late starting -",
        ]
    );
    assert_eq!(events.next().await.unwrap().kind, "tick");
    // From there on it follows as any other.
    storage.failing("full");
    let next = events.next_update().await;
    assert_eq!(next.subsystems(), ["storage"]);
}

#[tokio::test]
async fn an_id_that_is_unknown_or_malformed_gets_the_whole_state() {
    let (readiness, storage) = ready();
    let server = readiness.serve(ANYWHERE).await.unwrap();
    let other = readiness.serve(ANYWHERE).await.unwrap();
    let id = open(&server).await.next().await.unwrap().id.unwrap();
    let of_other = open(&other).await.next().await.unwrap().id.unwrap();
    let (instance, version) = id.split_once('.').unwrap();
    let future = format!("{instance}.99999");
    let spelled = format!("{instance}.0{version}");
    let huge = "9".repeat(4_000);
    for id in [
        &of_other,
        &future,
        &spelled,
        &huge,
        "",
        ".",
        "1",
        "null",
        "-1.-1",
        "0.0",
        "<b>",
        &format!("{instance}."),
        &format!("{instance}.{version}.1"),
    ] {
        let mut events = resume(&server, id).await;
        let event = events.next().await.unwrap();
        assert_eq!(
            (event.kind.as_str(), event.subsystems()),
            ("state", vec!["storage"]),
            "{id}"
        );
    }
    storage.failing("full");
    assert_eq!(
        resume(&server, &id).await.next().await.unwrap().kind,
        "change"
    );
}

#[tokio::test(start_paused = true)]
async fn an_id_older_than_the_history_gets_the_whole_state() {
    for (capacity, resumes) in [(0, 0), (6, 2)] {
        let readiness = Readiness::builder()
            .subsystem(Subsystem::new("storage"))
            .history(capacity)
            .build()
            .unwrap();
        let storage = readiness.reporter("storage").unwrap();
        storage.ready();
        let server = Local::serve(AdminListener::new(&readiness)).await;
        let mut events = open(&server).await;
        let id = events.next().await.unwrap().id.unwrap();
        let kind = async || resume(&server, &id).await.next_update().await.kind;
        // Each change is a transition of the subsystem and one of the process.
        for round in 1..=4 {
            match round % 2 {
                0 => storage.ready(),
                _ => storage.failing("gone"),
            }
            let expected = if round <= resumes { "change" } else { "state" };
            assert_eq!(kind().await, expected, "{round} of {capacity}");
        }
        // A client that reads too late gets the same.
        assert_eq!(events.next_update().await.kind, "state");
    }
}

#[tokio::test]
async fn a_client_that_reconnects_in_a_loop_misses_nothing() {
    let (readiness, storage) = ready();
    let server = readiness.serve(ANYWHERE).await.unwrap();
    let mut id = open(&server).await.next().await.unwrap().id.unwrap();
    let mut transitions = Vec::new();
    for round in 0..300 {
        match round % 2 {
            0 => storage.failing("gone"),
            _ => storage.ready(),
        }
        let event = resume(&server, &id).await.next().await.unwrap();
        assert_eq!(event.kind, "change");
        transitions.extend(event.history());
        id = event.id.unwrap();
    }
    let of_storage = transitions.iter().filter(|it| it.starts_with("storage"));
    assert_eq!(of_storage.count(), 300);
}
