use super::*;
use crate::registry::{Readiness, Reporter, Subsystem};

fn process(subsystems: impl IntoIterator<Item = Subsystem>) -> Readiness {
    let builder = Readiness::builder().allow_empty();
    let builder = subsystems
        .into_iter()
        .fold(builder, crate::registry::Builder::subsystem);
    builder.build().unwrap()
}

fn required(name: &str) -> Subsystem {
    Subsystem::new(name)
}

fn claim(readiness: &Readiness, name: &str) -> Reporter {
    readiness.reporter(name).unwrap()
}

/// A process whose storage is up.
fn serving() -> (Readiness, Reporter) {
    let readiness = process([required("storage")]);
    let storage = claim(&readiness, "storage");
    storage.ready();
    (readiness, storage)
}

fn after(readiness: &Readiness, seconds: u64, in_flight: Option<usize>) -> String {
    let now = Instant::now() + Duration::from_secs(seconds);
    StatusLine::render(&readiness.snapshot().0, in_flight, now).text
}

fn now(readiness: &Readiness) -> String {
    after(readiness, 0, None)
}

#[test]
fn starting_shows_progress_and_the_missing_subsystems() {
    let readiness = process([
        required("authenticate"),
        required("storage"),
        required("policy"),
        required("authorize"),
        required("database").shared(),
        required("cache").optional(),
    ]);
    let reporters =
        ["authenticate", "storage", "policy", "authorize"].map(|name| claim(&readiness, name));
    reporters[0].ready();
    reporters[2].degraded("slow");
    assert_eq!(
        now(&readiness),
        "starting 2/4: storage (never reported), authorize (never reported)"
    );
    reporters[1].starting("replaying its log");
    assert_eq!(
        now(&readiness),
        "starting 2/4: storage (starting: replaying its log), authorize (never reported)"
    );
    reporters[1].ready();
    reporters[3].ready();
    // The process has started, but readiness waits for the shared database.
    assert_eq!(now(&readiness), "not ready: database (never reported)");
}

#[test]
fn a_recovered_subsystem_is_not_shown() {
    let (readiness, storage) = serving();
    assert_eq!(now(&readiness), "ready");
    storage.failing("connection refused");
    assert_eq!(now(&readiness), "not ready: storage (connection refused)");
    let later = |seconds| after(&readiness, seconds, None);
    assert_eq!(later(12), "not ready: storage (connection refused), 12s");
    assert!(later(60).ends_with(", 1m"), "{}", later(60));
    assert!(later(3_600).ends_with(", 1h"), "{}", later(3_600));
    assert!(later(86_400).ends_with(", 1d"), "{}", later(86_400));
    storage.ready();
    assert_eq!(later(12), "ready");
}

#[test]
fn a_subsystem_without_a_reason_shows_its_state() {
    let (readiness, storage) = serving();
    storage.failing("");
    assert_eq!(now(&readiness), "not ready: storage (failing)");
}

#[test]
fn an_address_as_a_name_is_shown_unchanged() {
    let readiness = process([required("10.0.0.1:8080"), required("[::1]:8080")]);
    claim(&readiness, "10.0.0.1:8080").leave_ready();
    let v6 = claim(&readiness, "[::1]:8080");
    v6.failing("refused");
    assert_eq!(now(&readiness), "starting 1/2: [::1]:8080 (refused)");
}

#[test]
fn degraded_names_the_subsystem() {
    let readiness = process([required("cache").optional()]);
    let cache = claim(&readiness, "cache");
    cache.failing("connection refused");
    assert_eq!(now(&readiness), "degraded: cache (connection refused)");
    cache.ready();
    assert_eq!(now(&readiness), "ready");
}

#[test]
fn a_dead_vital_subsystem_comes_first() {
    let readiness = process([required("storage"), required("worker").vital()]);
    let worker = claim(&readiness, "worker");
    worker.dead("gave up");
    assert_eq!(after(&readiness, 3, None), "not live: worker (gave up), 3s");
    readiness.drain();
    assert_eq!(
        after(&readiness, 3, Some(2)),
        "draining, 2 in flight; not live: worker (gave up), 3s"
    );
}

#[test]
fn a_drain_shows_the_number_in_flight() {
    let (readiness, _storage) = serving();
    readiness.drain();
    assert_eq!(now(&readiness), "draining");
    assert_eq!(after(&readiness, 0, Some(17)), "draining, 17 in flight");
    readiness.advance(Phase::Closing);
    assert_eq!(after(&readiness, 0, Some(1)), "closing, 1 in flight");
}

#[test]
fn pauses_and_reloads_are_shown() {
    let (readiness, storage) = serving();
    let reload = readiness.reloading();
    assert_eq!(now(&readiness), "ready; reloading");
    let pause = readiness.pause("standby");
    assert_eq!(now(&readiness), "paused (standby); reloading");
    drop(reload);
    storage.failing("gone");
    assert_eq!(
        now(&readiness),
        "not ready: storage (gone); paused (standby)"
    );
    drop(pause);
    assert_eq!(now(&readiness), "not ready: storage (gone)");
}

#[test]
fn a_reason_cannot_inject_an_assignment() {
    let (readiness, storage) = serving();
    for nasty in ["x\nREADY=1", "x\rREADY=1", "x\0READY=1", "x\u{2028}READY=1"] {
        storage.failing(nasty);
        assert_eq!(now(&readiness), "not ready: storage (x READY=1)");
        let _pause = readiness.pause(nasty);
        assert!(!now(&readiness).contains(char::is_control));
    }
}

#[test]
fn a_long_status_is_cut_between_characters() {
    let names: Vec<_> = (0..40).map(|index| format!("subsystem-{index}")).collect();
    let readiness = process(names.iter().map(|name| required(name)));
    let reporters: Vec<_> = names.iter().map(|name| claim(&readiness, name)).collect();
    reporters.iter().for_each(Reporter::ready);
    for (index, reporter) in reporters.iter().enumerate() {
        // Characters of two and three bytes, at every offset.
        reporter.failing(".".repeat(index % 3) + &"é✓".repeat(300));
    }
    for reporter in &reporters {
        let text = now(&readiness);
        assert!(text.len() <= LONGEST, "{}", text.len());
        assert!(text.starts_with("not ready: subsystem-"), "{text}");
        reporter.failing("short");
    }
    assert!(
        now(&readiness).ends_with(", 32 more"),
        "{}",
        now(&readiness)
    );
}

#[test]
fn only_ages_and_counts_change_with_time() {
    let (readiness, storage) = serving();
    let changes = |in_flight| {
        StatusLine::render(&readiness.snapshot().0, in_flight, Instant::now()).changes_with_time
    };
    assert!(!changes(None));
    storage.failing("gone");
    assert!(changes(None));
    readiness.drain();
    assert!(!changes(None));
    assert!(changes(Some(0)));
}
