//! What tests of applications use: simulated states, waits, and the paused clock.

use std::time::Duration;
use tokio::time::{Instant, advance};
use tower_readiness::{
    Condition, Readiness, Reporter, State, Subsystem, Transition,
    testing::{SimulateError, WaitForError},
};

const SECOND: Duration = Duration::from_secs(1);

fn ready() -> (Readiness, Reporter) {
    let builder = Readiness::builder()
        .subsystem(Subsystem::new("storage").vital())
        .subsystem(Subsystem::new("search").optional())
        .scope("pages", ["storage", "search"]);
    let readiness = builder.build().unwrap();
    readiness.reporter("search").unwrap().leave_ready();
    let storage = readiness.reporter("storage").unwrap();
    storage.ready();
    (readiness, storage)
}

fn state(readiness: &Readiness) -> (State, String, bool) {
    let snapshot = readiness.snapshot();
    let view = snapshot.subsystem("storage").unwrap();
    let reason = view.reason().unwrap_or_default().to_owned();
    (view.state(), reason, view.is_simulated())
}

// === simulate ===

#[test]
fn a_simulated_state_counts_until_its_guard_is_dropped() {
    let (readiness, storage) = ready();
    let outage = readiness
        .simulate("storage", State::Failing, "a test")
        .unwrap();
    let simulated = (State::Failing, "simulated: a test".to_owned(), true);
    assert_eq!(state(&readiness), simulated);
    assert_eq!(readiness.verdict().condition(), Condition::Failing);
    assert!(!readiness.snapshot().scope("pages").unwrap().is_ready());
    assert!(readiness.verdict().has_started());

    storage.degraded("slow");
    storage.ready();
    assert_eq!(state(&readiness), simulated, "reports go on beside it");
    drop(outage);
    assert_eq!(state(&readiness), (State::Ready, String::new(), false));
    assert!(readiness.verdict().is_ready());
}

#[test]
fn a_simulation_never_improves_on_a_report() {
    let (readiness, storage) = ready();
    let slow = readiness.simulate("storage", State::Degraded, "").unwrap();
    assert_eq!(
        state(&readiness),
        (State::Degraded, "simulated".to_owned(), true)
    );
    storage.failing("disk full");
    assert_eq!(
        state(&readiness),
        (State::Failing, "disk full".to_owned(), false)
    );
    drop(slow);
    assert_eq!(
        state(&readiness),
        (State::Failing, "disk full".to_owned(), false)
    );
    let ready = readiness.simulate("storage", State::Ready, "");
    assert_eq!(ready.unwrap_err(), SimulateError::Ready);
}

#[test]
fn the_worst_of_several_simulations_counts() {
    let (readiness, _storage) = ready();
    let failing = readiness
        .simulate("storage", State::Failing, "first")
        .unwrap();
    let dead = readiness
        .simulate("storage", State::Dead, "second")
        .unwrap();
    assert_eq!(state(&readiness).0, State::Dead);
    assert!(!readiness.verdict().is_live(), "it is vital");
    let degraded = readiness
        .simulate("storage", State::Degraded, "third")
        .unwrap();
    drop(dead);
    assert_eq!(
        state(&readiness),
        (State::Failing, "simulated: first".to_owned(), true)
    );
    drop(failing);
    assert_eq!(state(&readiness).0, State::Degraded);
    drop(degraded);
    assert_eq!(state(&readiness).0, State::Ready);
}

#[test]
fn the_history_has_the_begin_and_the_end_of_a_simulation() {
    let (readiness, storage) = ready();
    let before = readiness.history().len();
    let version = readiness.snapshot().version();
    let outage = readiness
        .simulate("storage", State::Failing, "a test")
        .unwrap();
    storage.degraded("slow");
    storage.ready();
    drop(outage);
    let storage = |it: &Transition| it.kind().name() == Some("storage");
    let all = readiness.history();
    let new: Vec<_> = all[before..].iter().filter(|it| storage(it)).collect();
    let words: Vec<_> = new
        .iter()
        .map(|it| (it.kind().words(), it.reason()))
        .collect();
    assert_eq!(
        words,
        [
            ((Some("ready"), Some("failing")), Some("simulated: a test")),
            ((Some("failing"), Some("ready")), None),
        ]
    );
    assert!(readiness.snapshot().version() > version);
}

#[test]
fn an_unknown_subsystem_cannot_be_simulated_and_a_late_guard_changes_nothing() {
    let (readiness, storage) = ready();
    let unknown = readiness.simulate("disk", State::Failing, "").unwrap_err();
    assert_eq!(
        unknown.to_string(),
        r#"there is no subsystem "disk"; there are: "storage", "search""#
    );

    let late = readiness.simulate("storage", State::Failing, "").unwrap();
    storage.retire();
    assert!(readiness.verdict().is_ready());
    let _new = readiness.add(Subsystem::new("storage")).unwrap();
    let version = readiness.snapshot().version();
    drop(late);
    assert_eq!(
        readiness.snapshot().version(),
        version,
        "another subsystem of this name"
    );

    let last = readiness.simulate("search", State::Failing, "").unwrap();
    drop(readiness);
    drop(last);
}

// === waiting ===

#[tokio::test(start_paused = true)]
async fn a_wait_ends_with_the_snapshot_that_is_expected() {
    let (readiness, storage) = ready();
    let waiting = readiness.wait_state("storage", State::Failing, 5 * SECOND);
    let report = async {
        tokio::time::sleep(SECOND).await;
        storage.failing("disk full");
    };
    let (found, ()) = tokio::join!(waiting, report);
    assert_eq!(
        found.unwrap().subsystem("storage").unwrap().reason(),
        Some("disk full")
    );
    let found = readiness
        .wait_for(SECOND, |it| it.verdict().has_started())
        .await;
    assert_eq!(found.unwrap().version(), readiness.snapshot().version());
}

#[tokio::test(start_paused = true)]
async fn a_wait_in_vain_explains_the_last_snapshot() {
    let (readiness, storage) = ready();
    storage.failing("disk\nfull");
    let _paused = readiness.pause("upgrade");
    let begun = Instant::now();
    let error = readiness
        .wait_state("storage", State::Ready, 5 * SECOND)
        .await
        .unwrap_err();
    let explained = "started, failing, paused: upgrade: storage failing (disk full)";
    assert_eq!(
        error.to_string(),
        format!("storage is not ready within 5s: {explained}")
    );
    assert!(begun.elapsed() >= 5 * SECOND);
    let error = readiness.wait_for(SECOND, |_| false).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("no snapshot within 1s is as expected: {explained}")
    );
    let error = readiness
        .wait_state("disk", State::Ready, SECOND)
        .await
        .unwrap_err();
    assert!(matches!(error, WaitForError::Unknown { .. }), "{error}");
}

// === the clock ===

#[tokio::test(start_paused = true)]
async fn a_wait_moves_the_paused_clock_to_the_end_of_a_ttl() {
    let builder = Readiness::builder().subsystem(Subsystem::new("policy").ttl(8 * SECOND));
    let readiness = builder.build().unwrap();
    let policy = readiness.reporter("policy").unwrap();
    policy.ready();
    let begun = Instant::now();
    readiness
        .wait_state("policy", State::Stale, 60 * SECOND)
        .await
        .unwrap();
    assert!(begun.elapsed() < 9 * SECOND, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn one_advance_makes_a_subsystem_stale_for_the_next_reader() {
    let builder = Readiness::builder().subsystem(Subsystem::new("policy").ttl(8 * SECOND));
    let readiness = builder.build().unwrap();
    let policy = readiness.reporter("policy").unwrap();
    policy.ready();
    advance(9 * SECOND).await;
    assert_eq!(
        readiness.snapshot().subsystem("policy").unwrap().state(),
        State::Stale
    );
}

// === surfaces ===

#[cfg(feature = "gate")]
#[test]
fn probes_and_the_history_mark_a_simulated_state() {
    use futures_util::FutureExt;
    use http::{Request, header::ACCEPT};
    use http_body_util::{BodyExt, Empty};
    use tower::ServiceExt;
    use tower_readiness::probe::{Detail, Probes};

    let (readiness, _storage) = ready();
    let _outage = readiness
        .simulate("storage", State::Dead, "a test")
        .unwrap();
    let probes = Probes::builder(&readiness)
        .detail(Detail::Full)
        .build()
        .unwrap();
    let get = |path: &str, accept: &str| {
        let request = Request::get(path).header(ACCEPT, accept);
        let request = request.body(Empty::<&[u8]>::new()).unwrap();
        let response = probes
            .clone()
            .oneshot(request)
            .now_or_never()
            .unwrap()
            .unwrap();
        let body = response
            .into_body()
            .collect()
            .now_or_never()
            .unwrap()
            .unwrap();
        String::from_utf8(body.to_bytes().to_vec()).unwrap()
    };
    let text = get("/readyz?verbose", "text/plain");
    assert!(
        text.starts_with("[-]storage dead (required, vital) for "),
        "{text}"
    );
    assert!(text.contains(": simulated: a test\n"), "{text}");
    let text = get("/livez", "text/plain");
    assert!(text.contains("storage dead (simulated: a test)"), "{text}");
    let json = get("/statusz", "application/json");
    assert!(json.contains(r#""reason":"simulated: a test""#), "{json}");
    let last = readiness.history();
    let last = last.iter().rfind(|it| it.kind().name() == Some("storage"));
    assert_eq!(last.unwrap().reason(), Some("simulated: a test"));
}
