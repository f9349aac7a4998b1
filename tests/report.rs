//! Declaring subsystems, reporting for them and following the snapshots.

mod support;

use futures_util::FutureExt;
use std::{collections::HashSet, thread};
use support::starting as storage;
use tokio_test::{assert_pending, assert_ready, assert_ready_err, assert_ready_ok, task};
use tower_readiness::{
    AttributeError, BuildError, Claim, ClaimError, Condition, DeclareError, NameError, Phase,
    Readiness, Reporter, Scope, Snapshot, State, Subscription, Subsystem, UnknownScope, WaitError,
};

fn state(readiness: &Readiness, name: &str) -> (State, Option<String>) {
    let snapshot = readiness.snapshot();
    let view = snapshot.subsystem(name).unwrap();
    (view.state(), view.reason().map(str::to_owned))
}

const DROPPED_READY: &str = "reporter dropped; was ready; keep the reporter, or call leave_ready()";

#[test]
fn handles_can_go_anywhere() {
    fn anywhere<T: Send + Sync + std::fmt::Debug + 'static>() {}
    anywhere::<Readiness>();
    anywhere::<Reporter>();
    anywhere::<Scope>();
    anywhere::<Snapshot>();
    anywhere::<Subscription>();
    anywhere::<tower_readiness::PauseGuard>();
    anywhere::<tower_readiness::ReloadGuard>();
    #[cfg(feature = "gate")]
    {
        anywhere::<tower_readiness::ReadinessLayer>();
        anywhere::<tower_readiness::probe::Probes>();
    }
}

// === declaring ===

#[test]
fn a_set_that_makes_no_sense_is_not_built() {
    let one = || Readiness::builder().subsystem(Subsystem::new("storage"));
    let no_members: [&str; 0] = [];
    for (builder, expected) in [
        (Readiness::builder(), BuildError::NothingRequired),
        (
            Readiness::builder().subsystem(Subsystem::new("db").shared()),
            BuildError::NothingRequired,
        ),
        (
            one().subsystem(Subsystem::new("storage").optional()),
            BuildError::Declaration(DeclareError::Duplicate {
                name: "storage".into(),
            }),
        ),
        (
            one().scope("storage", ["storage"]),
            BuildError::Declaration(DeclareError::Duplicate {
                name: "storage".into(),
            }),
        ),
        (
            one().scope("a", ["storage"]).scope("a", ["storage"]),
            BuildError::Declaration(DeclareError::Duplicate { name: "a".into() }),
        ),
        (
            one().scope("a", no_members),
            BuildError::EmptyScope { scope: "a".into() },
        ),
        (
            one().scope("a", ["storage", "index"]),
            BuildError::UnknownMember {
                scope: "a".into(),
                member: "index".into(),
            },
        ),
        (
            one().subsystem(Subsystem::new("")),
            BuildError::Declaration(DeclareError::Name {
                name: String::new(),
                source: NameError::Empty,
            }),
        ),
        (
            one().scope("a/b", ["storage"]),
            BuildError::Declaration(DeclareError::Name {
                name: "a/b".into(),
                source: NameError::Character { character: '/' },
            }),
        ),
        (
            one().subsystem(Subsystem::new("liveness")),
            BuildError::Declaration(DeclareError::Name {
                name: "liveness".into(),
                source: NameError::Reserved,
            }),
        ),
    ] {
        assert_eq!(builder.build().unwrap_err(), expected);
    }
}

#[test]
fn an_error_does_not_repeat_a_name_of_any_length() {
    let endless = "é".repeat(1 << 20);
    let error = Readiness::builder()
        .subsystem(Subsystem::new(endless.clone()))
        .build()
        .unwrap_err();
    assert!(error.to_string().len() < 250, "{error}");
    let (readiness, _storage) = storage();
    let error = readiness.reporter(&endless).unwrap_err();
    assert!(error.to_string().len() < 250, "{error}");
    let error = readiness.scope(&endless).unwrap_err();
    assert!(error.to_string().len() < 250, "{error}");
}

#[test]
fn nothing_required_is_started_from_the_outset_if_it_was_said() {
    let readiness = Readiness::builder().allow_empty().build().unwrap();
    let snapshot = readiness.snapshot();
    assert_eq!(snapshot.phase(), Phase::Started);
    assert!(snapshot.verdict().is_ready());
}

#[test]
fn a_member_named_twice_counts_once() {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        .scope("twice", ["storage", "storage"])
        .build()
        .unwrap();
    readiness.reporter("storage").unwrap().leave_ready();
    assert!(readiness.scope("twice").unwrap().verdict().is_ready());
}

#[test]
fn the_role_chosen_last_holds() {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("a").optional().vital())
        .subsystem(Subsystem::new("b").vital().shared())
        .build()
        .unwrap();
    let snapshot = readiness.snapshot();
    let [a, b] = ["a", "b"].map(|name| snapshot.subsystem(name).unwrap());
    assert_eq!((a.role().as_str(), a.is_vital()), ("required", true));
    assert_eq!((b.role().as_str(), b.is_vital()), ("shared", false));
}

// === claiming ===

#[test]
fn a_subsystem_has_one_reporter_at_a_time() {
    let (readiness, storage) = storage();
    assert_eq!(
        readiness.reporter("storage").unwrap_err(),
        ClaimError::Held {
            name: "storage".into()
        }
    );
    let unknown = readiness.reporter("index").unwrap_err();
    assert!(matches!(
        unknown,
        ClaimError::Unknown(it) if it.name == "index" && it.known == "\"storage\""
    ));
    storage.ready();
    drop(storage);

    let storage = readiness.reporter("storage").unwrap();
    let (now, reason) = state(&readiness, "storage");
    assert_eq!(now, State::Failing, "claiming is not reporting");
    assert_eq!(reason.as_deref(), Some(DROPPED_READY));
    storage.ready();
    assert!(readiness.verdict().is_ready());

    storage.leave_ready();
    assert!(readiness.verdict().is_ready());
    assert_eq!(
        readiness.reporter("storage").unwrap_err(),
        ClaimError::LeftReady {
            name: "storage".into()
        }
    );
}

#[test]
fn a_panic_in_a_task_leaves_no_green_behind() {
    let (readiness, storage) = storage();
    storage.ready();
    let task = thread::spawn(move || {
        storage.ready();
        panic!("this panic is part of the test");
    });
    assert!(task.join().is_err());
    assert_eq!(
        state(&readiness, "storage"),
        (State::Failing, Some(DROPPED_READY.into()))
    );
    assert!(!readiness.verdict().is_ready());
}

/// A reporter that is a temporary is dropped at the end of its statement.
#[test]
fn a_dropped_temporary_reporter_names_the_remedy() {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("listener"))
        .subsystem(Subsystem::new("storage"))
        .scope("search", ["storage"])
        .build()
        .unwrap();
    readiness.reporter("listener").unwrap().ready();
    assert_eq!(
        state(&readiness, "listener"),
        (State::Failing, Some(DROPPED_READY.into()))
    );
    readiness.reporter("storage").unwrap().starting("opening");
    assert_eq!(
        state(&readiness, "storage"),
        (State::Failing, Some("reporter dropped".into()))
    );
    let unknown = readiness.reporter("listner").unwrap_err();
    assert_eq!(
        unknown.to_string(),
        r#"there is no subsystem "listner"; there are: "listener", "storage""#
    );
    let unknown = readiness.scope("serch").unwrap_err();
    assert!(
        unknown.to_string().ends_with(r#"there are: "search""#),
        "{unknown}"
    );
}

#[test]
fn retiring_is_not_dropping() {
    let (readiness, storage) = storage();
    let late = readiness.add(Subsystem::new("late")).unwrap();
    storage.ready();
    late.ready();
    late.failing("gone");
    assert_eq!(readiness.verdict().condition(), Condition::Failing);
    late.retire();
    assert_eq!(readiness.verdict().condition(), Condition::Ready);
    assert!(readiness.snapshot().subsystem("late").is_none());

    storage.retire();
    assert!(readiness.verdict().is_ready(), "for it was said");
    assert!(matches!(
        readiness.reporter("storage"),
        Err(ClaimError::Unknown { .. })
    ));
}

#[test]
fn subsystems_come_and_go_and_reuse_only_free_slots() {
    let (readiness, storage) = storage();
    storage.ready();
    let names = |readiness: &Readiness| -> Vec<String> {
        let snapshot = readiness.snapshot();
        let names = snapshot.subsystems().map(|view| view.name().to_owned());
        names.collect()
    };
    let reporters: Vec<_> = (0..100)
        .map(|index| {
            let name = format!("tenant-{index}");
            readiness.add(Subsystem::new(name).optional()).unwrap()
        })
        .collect();
    for (index, reporter) in reporters.into_iter().enumerate() {
        if index % 2 == 0 {
            reporter.retire();
        } else {
            reporter.leave_ready();
        }
    }
    assert_eq!(names(&readiness).len(), 51);
    // More than have retired, so that some use a free slot and some a new slot.
    let newcomers: Vec<_> = (0..60)
        .map(|index| {
            let name = format!("newcomer-{index}");
            let newcomer = readiness.add(Subsystem::new(name).optional()).unwrap();
            newcomer.starting("new");
            newcomer
        })
        .collect();
    let names: HashSet<_> = names(&readiness).into_iter().collect();
    assert_eq!(names.len(), 1 + 50 + 60);
    for index in (1..100).step_by(2) {
        let old = state(&readiness, &format!("tenant-{index}"));
        assert_eq!(old, (State::Ready, None));
    }
    for index in 0..newcomers.len() {
        let new = state(&readiness, &format!("newcomer-{index}"));
        assert_eq!(new, (State::Starting, Some("new".into())));
    }
}

#[test]
fn a_newcomer_in_the_place_of_a_member_is_no_member() {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        .subsystem(Subsystem::new("index").optional())
        .scope("search", ["storage", "index"])
        .build()
        .unwrap();
    readiness.reporter("storage").unwrap().leave_ready();
    readiness.reporter("index").unwrap().retire();
    for name in ["tenant", "index"] {
        let newcomer = readiness.add(Subsystem::new(name)).unwrap();
        newcomer.dead("gone");
        assert!(readiness.scope("search").unwrap().verdict().is_ready());
        newcomer.retire();
    }
}

#[test]
fn a_task_in_a_crash_loop_does_not_pile_up_reasons() {
    let (readiness, storage) = storage();
    storage.failing("disk gone");
    drop(storage);
    let reason = "reporter dropped; last report: disk gone".to_owned();
    for _ in 0..10 {
        let storage = readiness.reporter("storage").unwrap();
        drop(storage);
        let expected = (State::Failing, Some(reason.clone()));
        assert_eq!(state(&readiness, "storage"), expected);
    }
}

#[test]
fn a_report_waits_for_no_reader() {
    let (readiness, storage) = storage();
    let snapshot = readiness.snapshot();
    let mut readers: Vec<_> = (0..100)
        .map(|_| {
            let mut subscription = readiness.subscribe();
            subscription.changed().now_or_never().unwrap().unwrap();
            task::spawn(async move { subscription.changed().await })
        })
        .collect();
    for reader in &mut readers {
        assert_pending!(reader.poll());
    }
    // No task polls the subscriptions, and one old snapshot is kept.
    for _ in 0..100 {
        storage.failing("gone");
        storage.ready();
    }
    assert_eq!(readiness.snapshot().version(), snapshot.version() + 200);
    for reader in &mut readers {
        assert!(assert_ready_ok!(reader.poll()).verdict().is_ready());
    }
}

#[test]
fn a_subsystem_that_cannot_be_added_is_an_error_and_changes_nothing() {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        .scope("search", ["storage"])
        .build()
        .unwrap();
    let before = readiness.snapshot().version();
    for name in ["storage", "search"] {
        assert_eq!(
            readiness.add(Subsystem::new(name)).unwrap_err(),
            DeclareError::Duplicate { name: name.into() }
        );
    }
    assert!(matches!(
        readiness.add(Subsystem::new("a b")).unwrap_err(),
        DeclareError::Name {
            source: NameError::Character { character: ' ' },
            ..
        }
    ));
    let unknown: UnknownScope = readiness.scope("index").unwrap_err();
    assert_eq!(unknown.name, "index");
    assert_eq!(readiness.snapshot().version(), before);
}

// === reporting ===

/// Part of a library, which reports wherever its user wants.
fn report_all(reporter: &Reporter) -> Result<(), AttributeError> {
    reporter.starting("opens");
    reporter.progress("half");
    reporter.ready();
    reporter.degraded("slow");
    reporter.failing("gone");
    reporter.dead("corrupt");
    reporter.heartbeat();
    for index in 0..32 {
        reporter.attribute(format!("key-{index}"), "value")?;
    }
    reporter.remove_attribute("key-0");
    Ok(())
}

#[test]
fn a_detached_reporter_takes_every_report_and_reports_nothing() {
    let (readiness, storage) = storage();
    report_all(&storage).unwrap();
    assert_eq!(state(&readiness, "storage").0, State::Dead);
    let version = readiness.snapshot().version();
    for end in [drop, Reporter::retire, Reporter::leave_ready] {
        let detached = Reporter::detached();
        report_all(&detached).unwrap();
        // A library finds an invalid key without a registry, too.
        let invalid = detached.attribute("a key", "value").unwrap_err();
        assert!(matches!(invalid, AttributeError::Key { .. }));
        assert_eq!(format!("{detached:?}"), "Reporter(detached)");
        end(detached);
    }
    assert_eq!(readiness.snapshot().version(), version);
}

#[test]
fn a_repeated_report_publishes_nothing() {
    let (readiness, storage) = storage();
    let say: [&dyn Fn(); 6] = [
        &|| storage.starting("half"),
        &|| storage.ready(),
        &|| storage.degraded("slow"),
        &|| storage.failing("gone"),
        &|| storage.dead(""),
        &|| storage.attribute("version", "7").unwrap(),
    ];
    for say in say {
        let before = readiness.snapshot().version();
        say();
        let once = readiness.snapshot().version();
        assert_eq!(once, before + 1);
        say();
        assert_eq!(readiness.snapshot().version(), once);
    }
    storage.failing("one");
    let one = readiness.snapshot();
    storage.failing("two");
    let two = readiness.snapshot();
    assert_eq!(two.version(), one.version() + 1, "another reason is news");
    let transitions = |snapshot: &Snapshot| snapshot.subsystem("storage").unwrap().transitions();
    assert_eq!(transitions(&two), transitions(&one), "but no transition");
}

#[test]
fn the_latest_report_wins_dead_included() {
    let (readiness, storage) = storage();
    storage.dead("gone for good");
    storage.ready();
    assert!(readiness.verdict().is_ready());
}

#[test]
fn a_reason_is_kept_to_one_kibibyte() {
    let (readiness, storage) = storage();
    let endless = "é".repeat(1 << 19);
    storage.failing(&endless);
    let (_, reason) = state(&readiness, "storage");
    assert_eq!(reason.unwrap(), "é".repeat(512));
    let before = readiness.snapshot().version();
    storage.failing(&endless);
    assert_eq!(readiness.snapshot().version(), before, "a repeat is one");
    storage.failing("");
    assert_eq!(state(&readiness, "storage"), (State::Failing, None));
}

#[test]
fn attributes_show_until_removed_and_are_bounded() {
    let (readiness, storage) = storage();
    for index in 0..32 {
        storage.attribute(format!("key-{index}"), "value").unwrap();
    }
    assert_eq!(
        storage.attribute("one-more", ""),
        Err(AttributeError::TooMany {
            key: "one-more".to_owned()
        })
    );
    storage.attribute("key-0", "y".repeat(5_000)).unwrap();
    storage.remove_attribute("key-1");
    storage.remove_attribute("never-set");
    storage
        .attribute("runtime", "reserved names are fine as keys")
        .unwrap();
    assert_eq!(
        storage.attribute("a b", ""),
        Err(AttributeError::Key {
            key: "a b".to_owned(),
            source: NameError::Character { character: ' ' }
        })
    );
    let snapshot = readiness.snapshot();
    let view = snapshot.subsystem("storage").unwrap();
    let attributes: Vec<_> = view.attributes().collect();
    assert_eq!(attributes.len(), 32);
    assert_eq!(attributes[0], ("key-0", &*"y".repeat(1_024)));
    storage.ready();
    let snapshot = readiness.snapshot();
    let view = snapshot.subsystem("storage").unwrap();
    assert_eq!(view.attributes().count(), 32, "a report keeps them");
}

#[test]
fn a_report_publishes_state_reason_and_attributes_in_one_version() {
    let (readiness, storage) = storage();
    let send = |state, reason: &str, free: &str| {
        let report = storage.report(state).reason(reason).attribute("free", free);
        report.attribute("disk", "sda").send().unwrap();
        let snapshot = readiness.snapshot();
        let view = snapshot.subsystem("storage").unwrap();
        let free = view.attribute("free").unwrap().to_owned();
        let published = (view.state(), view.reason().map(str::to_owned), free);
        (snapshot.version(), published)
    };
    let before = readiness.snapshot().version();
    let full = (State::Failing, Some("full".to_owned()), "0".to_owned());
    assert_eq!(
        send(State::Failing, "full", "0"),
        (before + 1, full.clone())
    );
    assert_eq!(
        send(State::Failing, "full", "0"),
        (before + 1, full),
        "a repeat"
    );
    let same = (State::Failing, Some("full".to_owned()), "1".to_owned());
    assert_eq!(send(State::Failing, "full", "1"), (before + 2, same));
    let ready = (State::Ready, None, "9".to_owned());
    assert_eq!(send(State::Ready, "", "9"), (before + 3, ready));

    // Not sent.
    drop(storage.report(State::Failing).attribute("free", "0"));
    assert_eq!(readiness.snapshot().version(), before + 3);
    storage.report(State::Stale).send().unwrap();
    assert_eq!(state(&readiness, "storage").0, State::Failing);
    let detached = Reporter::detached();
    let invalid = detached.report(State::Ready).attribute("a key", "");
    assert!(invalid.send().is_err());
    detached
        .report(State::Ready)
        .attribute("key", "")
        .send()
        .unwrap();
}

#[test]
fn a_report_with_an_invalid_attribute_is_published_without_any() {
    let (readiness, storage) = storage();
    for index in 0..31 {
        storage.attribute(format!("key-{index}"), "value").unwrap();
    }
    let version = readiness.snapshot().version();
    let report = storage.report(State::Failing).reason("full");
    let report = report.attribute("valid", "").attribute("a key", "");
    let error = report.attribute("another key", "").send().unwrap_err();
    assert!(matches!(error, AttributeError::Key { key, .. } if key == "a key"));
    let report = storage.report(State::Dead).attribute("valid", "");
    let error = report.attribute("one-more", "").send().unwrap_err();
    assert!(matches!(error, AttributeError::TooMany { key } if key == "one-more"));

    let snapshot = readiness.snapshot();
    let view = snapshot.subsystem("storage").unwrap();
    assert_eq!(snapshot.version(), version + 2);
    assert_eq!((view.state(), view.reason()), (State::Dead, None));
    assert_eq!(view.attribute("valid"), None);
}

#[test]
fn an_unclaimed_subsystem_shows_as_such() {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        .build()
        .unwrap();
    let claim = |readiness: &Readiness| readiness.snapshot().subsystem("storage").unwrap().claim();
    assert_eq!(claim(&readiness), Claim::Unclaimed);
    let storage = readiness.reporter("storage").unwrap();
    assert_eq!(claim(&readiness), Claim::Held);
    drop(storage);
    assert_eq!(claim(&readiness), Claim::Dropped);
}

#[test]
fn pauses_overlap_and_the_last_reason_shows() {
    let (readiness, storage) = storage();
    storage.ready();
    let first = readiness.pause("standby");
    let second = readiness.pause("maintenance");
    assert_eq!(readiness.snapshot().paused(), Some("maintenance"));
    drop(second);
    assert_eq!(readiness.snapshot().paused(), Some("standby"));
    assert!(!readiness.verdict().is_ready());
    assert!(readiness.verdict().is_live() && readiness.verdict().is_healthy());
    drop(first);
    assert_eq!(readiness.snapshot().paused(), None);
    assert!(readiness.verdict().is_ready());
}

#[test]
fn a_scope_that_has_not_started_when_the_process_drains_never_starts() {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        .subsystem(Subsystem::new("index").optional())
        .scope("search", ["index"])
        .build()
        .unwrap();
    readiness.reporter("storage").unwrap().leave_ready();
    readiness.drain();
    readiness.reporter("index").unwrap().leave_ready();
    let search = readiness.scope("search").unwrap().verdict();
    assert_eq!(search.condition(), Condition::Starting);
    assert!(!search.has_started());
}

#[test]
fn pauses_end_in_any_order() {
    let (readiness, _storage) = storage();
    let [first, second, third] = ["a", "b", "c"].map(|reason| readiness.pause(reason));
    drop(first);
    assert_eq!(readiness.snapshot().paused(), Some("c"));
    drop(third);
    assert_eq!(readiness.snapshot().paused(), Some("b"));
    drop(second);
    assert_eq!(readiness.snapshot().paused(), None);
}

#[test]
fn phases_only_advance_and_started_is_for_the_subsystems_to_say() {
    let (readiness, storage) = storage();
    readiness.advance(Phase::Started);
    assert_eq!(readiness.snapshot().phase(), Phase::Starting);
    storage.ready();
    assert_eq!(readiness.snapshot().phase(), Phase::Started);
    readiness.advance(Phase::Closing);
    for earlier in [Phase::Starting, Phase::Started, Phase::Draining] {
        readiness.advance(earlier);
    }
    readiness.drain();
    assert_eq!(readiness.snapshot().phase(), Phase::Closing);
}

#[test]
fn a_reload_shows_as_long_as_any_guard_and_changes_no_verdict() {
    let (readiness, storage) = storage();
    storage.ready();
    let verdict = readiness.verdict();
    let first = readiness.reloading();
    let second = readiness.reloading();
    drop(first);
    assert!(readiness.snapshot().is_reloading());
    assert_eq!(readiness.verdict(), verdict);
    drop(second);
    assert!(!readiness.snapshot().is_reloading());
}

#[test]
fn progress_reports_like_starting() {
    let (readiness, storage) = storage();
    storage.progress("replaying its log");
    let detail = Some("replaying its log".to_owned());
    assert_eq!(state(&readiness, "storage"), (State::Starting, detail));
    let version = readiness.snapshot().version();
    storage.progress("replaying its log");
    assert_eq!(readiness.snapshot().version(), version, "nothing new");
    storage.ready();
    storage.progress("reconnecting");
    assert_eq!(readiness.verdict().condition(), Condition::Failing);
}

// === following ===

#[test]
fn a_subscription_gives_the_present_then_the_newest_and_never_misses_the_last() {
    let (readiness, storage) = storage();
    let mut subscription = readiness.subscribe();
    let first = subscription.changed().now_or_never().unwrap().unwrap();
    assert_eq!(first.version(), readiness.snapshot().version());

    let mut changed = task::spawn(subscription.changed());
    assert_pending!(changed.poll());
    storage.starting("half");
    storage.ready();
    assert!(changed.is_woken());
    let newest = assert_ready_ok!(changed.poll());
    assert!(newest.verdict().is_ready(), "what was overtaken is skipped");
    drop(changed);
    assert!(subscription.changed().now_or_never().is_none());
}

#[tokio::test]
async fn following_a_flapping_subsystem_lets_other_tasks_run() {
    let (readiness, storage) = storage();
    let mut subscription = readiness.subscribe();
    let other = tokio::spawn(async {});
    let changes = (0..10_000).map(|change| change.to_string());
    for change in changes.take_while(|_| !other.is_finished()) {
        storage.degraded(change);
        subscription.changed().await.unwrap();
    }
    assert!(other.is_finished());
}

#[tokio::test]
async fn frequent_polls_miss_no_change() {
    let (readiness, _storage) = storage();
    for _ in 0..1_000 {
        assert!(readiness.draining().now_or_never().is_none());
    }
    readiness.drain();
    assert!(readiness.draining().now_or_never().is_some());
}

#[test]
fn repeated_progress_wakes_no_task() {
    let (readiness, storage) = storage();
    storage.progress("reading");
    let mut waiting = task::spawn(readiness.wait_ready());
    assert_pending!(waiting.poll());
    storage.progress("reading");
    assert!(!waiting.is_woken());
    storage.progress("indexing");
    assert!(waiting.is_woken());
}

#[test]
fn a_cancelled_wait_for_a_change_loses_nothing() {
    let (readiness, storage) = storage();
    let mut subscription = readiness.subscribe();
    subscription.changed().now_or_never().unwrap().unwrap();
    {
        let mut cancelled = task::spawn(subscription.changed());
        assert_pending!(cancelled.poll());
        storage.ready();
        assert!(cancelled.is_woken());
    }
    let snapshot = subscription.changed().now_or_never().unwrap().unwrap();
    assert!(snapshot.verdict().is_ready());
}

#[test]
fn a_subscription_ends_with_the_registry_after_the_last_snapshot() {
    let (readiness, storage) = storage();
    let mut subscription = readiness.subscribe();
    drop(readiness);
    storage.ready();
    drop(storage);
    let last = subscription.changed().now_or_never().unwrap().unwrap();
    assert_eq!(last.verdict().condition(), Condition::Failing);
    let mut ended = task::spawn(subscription.changed());
    assert_ready_err!(ended.poll());
}

#[test]
fn waiting_for_readiness_ends_with_it_or_with_the_drain() {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        .subsystem(Subsystem::new("index").optional())
        .scope("search", ["index"])
        .build()
        .unwrap();
    let [storage, index] = ["storage", "index"].map(|name| readiness.reporter(name).unwrap());
    let search = readiness.scope("search").unwrap();
    assert_eq!(search.name().as_deref(), Some("search"));

    let mut process = task::spawn(readiness.wait_ready());
    let mut scope = task::spawn(search.wait_ready());
    assert_pending!(process.poll());
    assert_pending!(scope.poll());
    storage.ready();
    assert_ready_ok!(process.poll());
    assert_pending!(scope.poll());

    readiness.drain();
    assert_eq!(assert_ready_err!(scope.poll()), WaitError::Draining);
    index.ready();
    let again = readiness.wait_ready().now_or_never().unwrap();
    assert_eq!(again, Err(WaitError::Draining));
}

#[test]
fn a_long_stream_hears_of_the_drain_wherever_it_runs() {
    let (readiness, _storage) = storage();
    let mut draining = task::spawn(readiness.draining());
    assert_pending!(draining.poll());
    thread::spawn(move || readiness.drain()).join().unwrap();
    assert!(draining.is_woken());
    assert_ready!(draining.poll());
}

#[test]
fn many_writers_lose_nothing() {
    let names: Vec<_> = (0..8).map(|index| format!("s{index}")).collect();
    let builder = names.iter().fold(Readiness::builder(), |builder, name| {
        builder.subsystem(Subsystem::new(name))
    });
    let readiness = builder.build().unwrap();
    let before = readiness.snapshot().version();
    let reporters: Vec<_> = names
        .iter()
        .map(|name| readiness.reporter(name).unwrap())
        .collect();
    thread::scope(|scope| {
        for reporter in &reporters {
            scope.spawn(|| {
                for _ in 0..250 {
                    reporter.failing("gone");
                    reporter.ready();
                }
            });
        }
    });
    let snapshot = readiness.snapshot();
    assert_eq!(snapshot.version(), before + 8 + 8 * 500);
    assert!(snapshot.verdict().is_ready());
    assert!(snapshot.subsystems().all(|view| view.transitions() == 500));
}
