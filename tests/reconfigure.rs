//! Changing what is expected while the process runs.

use futures_util::FutureExt;
use http::Request;
use http_body_util::BodyExt;
use std::{
    convert::Infallible,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};
use tower::ServiceExt;
use tower_readiness::{
    Claim, Condition, DeclareError, Group, NameError, Phase, Readiness, Reconfiguration,
    ReconfigureError, Reporter, Role, SettingError, State, Subsystem, TransitionKind,
    check::Check,
    probe::{Detail, Probes},
};

/// A started process with the scope `search` of `index`.
fn started() -> (Readiness, Reporter) {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        .subsystem(Subsystem::new("index").optional())
        .scope("search", ["index"])
        .build()
        .unwrap();
    readiness.reporter("storage").unwrap().leave_ready();
    let index = readiness.reporter("index").unwrap();
    index.ready();
    (readiness, index)
}

fn names(readiness: &Readiness) -> Vec<String> {
    let snapshot = readiness.snapshot();
    snapshot
        .subsystems()
        .map(|it| it.name().to_owned())
        .collect()
}

fn search(readiness: &Readiness) -> Condition {
    readiness.snapshot().scope("search").unwrap().condition()
}

#[test]
fn a_whole_configuration_is_replaced_in_one_version() {
    let (readiness, index) = started();
    let before = readiness.snapshot().version();
    readiness
        .reconfigure(|plan| {
            plan.add(Subsystem::new("vectors").optional())
                .add_to_scope("search", "vectors")
                .add_to_scope("search", "storage")
                .remove("index")
                .add(Subsystem::new("audit").informative())
                .role("storage", Role::Shared)
                .add(Subsystem::new("policy"));
        })
        .unwrap();
    let snapshot = readiness.snapshot();
    assert_eq!(snapshot.version(), before + 1);
    assert_eq!(names(&readiness).len(), 4);
    assert!(snapshot.subsystem("index").is_none());
    let policy = snapshot.subsystem("policy").unwrap();
    assert!(policy.is_pending());
    assert_eq!(policy.claim(), Claim::Unclaimed);
    assert_eq!(snapshot.subsystem("storage").unwrap().role(), Role::Shared);
    assert_eq!(snapshot.subsystem("storage").unwrap().state(), State::Ready);
    // A pending subsystem degrades, and a member that is down closes its scope.
    assert_eq!(snapshot.verdict().condition(), Condition::Degraded);
    assert_eq!(search(&readiness), Condition::Failing);
    let vectors = readiness.reporter("vectors").unwrap();
    vectors.ready();
    assert_eq!(search(&readiness), Condition::Ready);
    vectors.degraded("slow");
    assert_eq!(search(&readiness), Condition::Degraded);
    drop(index);
    assert_eq!(search(&readiness), Condition::Degraded);

    // Each change of a subsystem is in the history, under the same version.
    let history = readiness.history();
    let of_change = history.iter().filter(|it| it.version() == before + 1);
    let changed: Vec<_> = of_change
        .filter_map(|it| match it.kind() {
            TransitionKind::Subsystem { name, from, to } => Some((&**name, *from, *to)),
            _ => None,
        })
        .collect();
    let added = (None, Some(State::Starting));
    let expected = [
        ("index", (Some(State::Ready), None)),
        ("vectors", added),
        ("audit", added),
        ("policy", added),
    ];
    assert_eq!(changed, expected.map(|(name, (from, to))| (name, from, to)));
}

#[tokio::test]
async fn a_probe_of_a_scope_lists_the_members_that_it_has_now() {
    let (readiness, _index) = started();
    readiness
        .reconfigure(|plan| {
            plan.add_to_scope("search", "storage")
                .remove_from_scope("search", "index");
        })
        .unwrap();
    let probes = Probes::builder(&readiness).detail(Detail::Names);
    let request = Request::get("/readyz/search?verbose").body(String::new());
    let answer = probes.build().unwrap().oneshot(request.unwrap()).await;
    let body = answer.unwrap().into_body().collect().await.unwrap();
    let text = String::from_utf8(body.to_bytes().into()).unwrap();
    assert!(
        text.contains("storage") && !text.contains("index"),
        "{text}"
    );
}

#[test]
fn a_plan_without_changes_publishes_nothing() {
    let (readiness, _index) = started();
    let before = readiness.snapshot().version();
    readiness.reconfigure(|_| ()).unwrap();
    let same = readiness.reconfigure(|plan| {
        plan.role("index", Role::Optional)
            .remove_from_scope("search", "index")
            .add_to_scope("search", "index")
            .add(Subsystem::new("brief"))
            .remove("brief");
    });
    same.unwrap();
    assert_eq!(readiness.snapshot().version(), before);
}

#[test]
fn a_role_counts_at_once_and_keeps_the_reporter_and_the_latch() {
    let (readiness, index) = started();
    index.failing("gone");
    let condition_as = |role| {
        let changed = readiness.reconfigure(|plan| {
            plan.role("index", role);
        });
        changed.unwrap();
        assert!(readiness.verdict().has_started());
        readiness.verdict().condition()
    };
    assert_eq!(condition_as(Role::Informative), Condition::Ready);
    assert_eq!(condition_as(Role::Required), Condition::Failing);
    assert_eq!(condition_as(Role::Shared), Condition::Degraded);
    readiness
        .reconfigure(|plan| {
            plan.vital("index");
        })
        .unwrap();
    index.dead("gone for good");
    assert!(!readiness.verdict().is_live());
    assert_eq!(condition_as(Role::Required), Condition::Failing);
    assert!(readiness.verdict().is_live(), "no longer vital");
    index.ready();
    assert_eq!(condition_as(Role::Optional), Condition::Ready);
}

#[test]
fn the_start_waits_for_no_subsystem_that_becomes_required_later() {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        .subsystem(Subsystem::new("policy"))
        .subsystem(Subsystem::new("index").optional())
        .build()
        .unwrap();
    let storage = readiness.reporter("storage").unwrap();
    readiness
        .reconfigure(|plan| {
            plan.role("index", Role::Required)
                .add(Subsystem::new("late"));
        })
        .unwrap();
    storage.ready();
    assert!(!readiness.verdict().has_started(), "policy is missing");
    readiness
        .reconfigure(|plan| {
            plan.role("policy", Role::Optional);
        })
        .unwrap();
    assert!(readiness.verdict().has_started());
    assert_eq!(readiness.verdict().condition(), Condition::Failing);
}

#[test]
fn a_removed_subsystem_is_out_of_reach_of_its_reporter() {
    let (readiness, index) = started();
    let replace = |readiness: &Readiness| {
        let replaced = readiness.reconfigure(|plan| {
            plan.remove("index")
                .add(Subsystem::new("index").optional())
                .add_to_scope("search", "index");
        });
        replaced.unwrap();
        readiness.reporter("index").unwrap()
    };
    let orphans = [index, replace(&readiness)];
    let new = replace(&readiness);
    // The slots of the removed ones are free again.
    let others = ["a", "b"].map(|name| readiness.add(Subsystem::new(name)).unwrap());
    others.iter().for_each(Reporter::ready);
    new.ready();
    let version = readiness.snapshot().version();
    let [first, second] = orphans;
    first.failing("orphan");
    first.heartbeat();
    first
        .report(State::Dead)
        .attribute("key", "")
        .send()
        .unwrap();
    drop(first);
    second.attribute("key", "value").unwrap();
    second.retire();
    assert_eq!(readiness.snapshot().version(), version);
    assert_eq!(names(&readiness).len(), 4);
    assert_eq!(search(&readiness), Condition::Ready);
}

#[test]
fn a_plan_that_makes_no_sense_changes_nothing() {
    let (readiness, _index) = started();
    readiness
        .add(Subsystem::new("spare").optional())
        .unwrap()
        .leave_ready();
    let version = readiness.snapshot().version();
    let refused = |plan: &dyn Fn(&mut Reconfiguration)| {
        let error = readiness.reconfigure(|it| {
            // Not applied either.
            it.add(Subsystem::new("new")).role("spare", Role::Shared);
            plan(it);
        });
        assert_eq!(readiness.snapshot().version(), version);
        error.unwrap_err()
    };
    let [storage, index, scope, disk, new] =
        ["storage", "index", "search", "disk", "new"].map(str::to_owned);
    let duplicate = |name: &String| {
        ReconfigureError::Declaration(DeclareError::Duplicate { name: name.clone() })
    };
    for name in [&index, &scope, &new] {
        assert_eq!(
            refused(&|it| {
                it.add(Subsystem::new(name));
            }),
            duplicate(name)
        );
    }
    let is_unknown = |error| {
        matches!(error, ReconfigureError::UnknownSubsystem(it)
        if it.name == "disk" && it.known.contains("storage"))
    };
    assert!(is_unknown(refused(&|it| {
        it.remove(&disk);
    })));
    assert!(is_unknown(refused(&|it| {
        it.role(&disk, Role::Shared);
    })));
    assert!(is_unknown(refused(&|it| {
        it.add_to_scope(&scope, &disk);
    })));
    let twice = refused(&|it| {
        it.remove("spare").remove("spare");
    });
    assert!(
        matches!(twice, ReconfigureError::UnknownSubsystem { .. }),
        "{twice}"
    );
    let unknown = refused(&|it| {
        it.add_to_scope("api", &index);
    });
    assert!(matches!(unknown, ReconfigureError::UnknownScope(it) if it.name == "api"));
    assert_eq!(
        refused(&|it| {
            it.add_to_scope(&scope, &index);
        }),
        ReconfigureError::AlreadyMember {
            scope: scope.clone(),
            member: index.clone()
        }
    );
    assert_eq!(
        refused(&|it| {
            it.remove_from_scope(&scope, &storage);
        }),
        ReconfigureError::NotMember {
            scope: scope.clone(),
            member: storage.clone()
        }
    );
    let empty = ReconfigureError::EmptyScope {
        scope: scope.clone(),
    };
    assert_eq!(
        refused(&|it| {
            it.remove_from_scope(&scope, &index);
        }),
        empty
    );
    assert_eq!(
        refused(&|it| {
            it.remove(&index);
        }),
        empty
    );
    let invalid = refused(&|it| {
        it.add(Subsystem::new("a/b"));
    });
    let slash = NameError::Character { character: '/' };
    assert_eq!(
        invalid,
        ReconfigureError::Declaration(DeclareError::Name {
            name: "a/b".into(),
            source: slash
        })
    );
    let own = refused(&|it| {
        it.remove("runtime");
    });
    assert_eq!(
        own,
        ReconfigureError::Declaration(DeclareError::Name {
            name: "runtime".into(),
            source: NameError::Reserved
        })
    );
    let ttl = Subsystem::new("vectors").ttl(Duration::ZERO);
    let invalid = refused(&|it| {
        it.add(ttl.clone());
    });
    assert!(matches!(
        invalid,
        ReconfigureError::Declaration(DeclareError::Setting { name, source: SettingError::OutOfBounds { .. } })
            if name == "vectors"
    ));
}

/// The subsystem `runtime` is required, but says nothing about the application.
#[tokio::test]
async fn a_watch_of_the_runtime_is_no_required_subsystem_that_is_left() {
    let (readiness, _index) = started();
    let watch = tower_readiness::watch::RuntimeWatch::default();
    readiness.watch_runtime(watch).unwrap();
    let refused = readiness.reconfigure(|plan| {
        plan.remove("storage");
    });
    assert_eq!(refused, Err(ReconfigureError::NothingRequired));
}

/// The drop of a check may report, as that of a reporter does.
#[test]
fn a_subsystem_that_is_not_added_is_dropped_outside_of_the_lock() {
    type Plan = fn(&mut Reconfiguration, Subsystem);
    let duplicate: Plan = |plan, owner| {
        plan.add(Subsystem::new("owner")).add(owner);
    };
    let before_an_error: Plan = |plan, owner| {
        plan.add(owner).remove("unknown");
    };
    let after_an_error: Plan = |plan, owner| {
        plan.remove("unknown").add(owner);
    };
    let removed: Plan = |plan, owner| {
        plan.add(owner).remove("owner");
    };
    for plan in [duplicate, before_an_error, after_an_error, removed] {
        let (readiness, index) = started();
        let check = move || {
            index.heartbeat();
            async { Ok::<(), Infallible>(()) }
        };
        let owner = Subsystem::new("owner").check(Check::every(Duration::from_secs(1)), check);
        let (done, dropped) = mpsc::channel();
        thread::spawn(move || {
            // The result is that of `a_plan_that_makes_no_sense_changes_nothing`.
            let _ = readiness.reconfigure(|it| plan(it, owner));
            done.send(search(&readiness)).unwrap();
        });
        let search = dropped.recv_timeout(Duration::from_secs(60));
        assert_eq!(search.unwrap(), Condition::Failing);
    }
}

#[test]
fn the_last_required_subsystem_stays_unless_that_is_allowed() {
    let (readiness, _index) = started();
    let shared = |plan: &mut tower_readiness::Reconfiguration| {
        plan.role("storage", Role::Shared);
    };
    let refused = [
        readiness.reconfigure(shared),
        readiness.reconfigure(|plan| {
            plan.remove("storage");
        }),
    ];
    assert_eq!(
        refused,
        [
            Err(ReconfigureError::NothingRequired),
            Err(ReconfigureError::NothingRequired)
        ]
    );
    readiness
        .reconfigure(|plan| {
            shared(plan);
            plan.role("index", Role::Required);
        })
        .unwrap();
    readiness
        .reconfigure(|plan| {
            plan.allow_empty().role("index", Role::Optional);
        })
        .unwrap();
    // None was required before.
    readiness
        .reconfigure(|plan| {
            plan.role("index", Role::Shared);
        })
        .unwrap();

    let builder = Readiness::builder().allow_empty();
    let allowed = builder
        .subsystem(Subsystem::new("storage"))
        .build()
        .unwrap();
    allowed.reconfigure(shared).unwrap();
}

#[test]
fn a_group_changes_its_role_and_its_scopes_but_stays() {
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        .group(Group::new("upstream").failing_below(1.0))
        .scope("search", ["storage"])
        .build()
        .unwrap();
    readiness.reporter("storage").unwrap().leave_ready();
    let refused = readiness.reconfigure(|plan| {
        plan.remove("upstream");
    });
    let name = "upstream".to_owned();
    assert_eq!(refused, Err(ReconfigureError::Group { name }));
    readiness
        .reconfigure(|plan| {
            plan.role("upstream", Role::Required)
                .add_to_scope("search", "upstream");
        })
        .unwrap();
    let member = readiness
        .group("upstream")
        .unwrap()
        .add("[::1]:80")
        .unwrap();
    member.ready();
    assert_eq!(search(&readiness), Condition::Ready);
    member.failing("gone");
    assert_eq!(search(&readiness), Condition::Failing);
    assert_eq!(readiness.verdict().condition(), Condition::Failing);
}

#[test]
fn a_drain_during_a_reconfiguration_goes_on() {
    let (readiness, index) = started();
    readiness
        .reconfigure(|plan| {
            // The plan holds no lock.
            readiness.drain();
            index.failing("gone");
            plan.role("index", Role::Required)
                .add(Subsystem::new("policy"));
        })
        .unwrap();
    let verdict = readiness.verdict();
    assert_eq!(verdict.phase(), Phase::Draining);
    assert_eq!(
        (verdict.condition(), verdict.is_ready()),
        (Condition::Failing, false)
    );
    assert!(readiness.snapshot().subsystem("policy").is_some());
}

#[tokio::test(start_paused = true)]
async fn checks_and_ttls_begin_and_end_with_their_subsystems() {
    let (readiness, _index) = started();
    let asked = Arc::new(AtomicUsize::new(0));
    let checked = |readiness: &Readiness| {
        let asked = Arc::clone(&asked);
        let check = Check::every(Duration::from_secs(1)).jitter(0.0);
        let subsystem = Subsystem::new("database").optional().check(check, move || {
            asked.fetch_add(1, Ordering::Relaxed);
            async { Ok::<(), Infallible>(()) }
        });
        let hangs = Check::every(Duration::from_secs(1));
        let hanging = Subsystem::new("hanging").optional();
        let hanging = hanging.check(hangs, pending::<Result<(), Infallible>>);
        readiness.reconfigure(|plan| {
            plan.add(subsystem).add(hanging);
            plan.add(Subsystem::new("beating").ttl(Duration::from_secs(10)));
        })
    };
    checked(&readiness).unwrap();
    let beating = readiness.reporter("beating").unwrap();
    beating.ready();
    tokio::time::sleep(Duration::from_millis(5_500)).await;
    assert_eq!(asked.load(Ordering::Relaxed), 6);
    let state = |name: &str| readiness.snapshot().subsystem(name).unwrap().state();
    assert_eq!(state("database"), State::Ready);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(state("beating"), State::Stale);

    let handle = readiness.check_handle("database").unwrap();
    let before = asked.load(Ordering::Relaxed);
    readiness
        .reconfigure(|plan| {
            plan.remove("database").remove("hanging").remove("beating");
        })
        .unwrap();
    handle.ask_now();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(asked.load(Ordering::Relaxed), before);
    checked(&readiness).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(
        asked.load(Ordering::Relaxed) > before,
        "a new check under the old name"
    );
    drop(beating);
    assert_eq!(state("beating"), State::Starting);
}

#[test]
fn concurrent_reconfigurations_lose_nothing() {
    let (readiness, index) = started();
    let threads = 4;
    thread::scope(|scope| {
        for thread in 0..threads {
            let readiness = &readiness;
            scope.spawn(move || {
                for _ in 0..100 {
                    let name = format!("tenant-{thread}");
                    let added = readiness.reconfigure(|plan| {
                        plan.add(Subsystem::new(&name).optional())
                            .add_to_scope("search", &name);
                    });
                    added.unwrap();
                    let reporter = readiness.reporter(&name).unwrap();
                    reporter.ready();
                    readiness
                        .reconfigure(|plan| {
                            plan.remove(&name);
                        })
                        .unwrap();
                    reporter.failing("orphan");
                }
            });
        }
        for _ in 0..100 {
            index.failing("flaps");
            index.ready();
        }
    });
    assert_eq!(names(&readiness), ["storage", "index"]);
    assert_eq!(search(&readiness), Condition::Ready);
    assert_eq!(readiness.verdict().condition(), Condition::Ready);
    assert!(readiness.subscribe().changed().now_or_never().is_some());
}
