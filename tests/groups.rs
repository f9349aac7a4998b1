//! Groups: members that report, the quorum, and what the snapshot shows of them.

use std::{
    fmt::{self, Write as _},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};
use tokio::time::{advance, timeout};
use tower_readiness::{
    BuildError, ClaimError, Condition, DeclareError, Group, MemberCounts, MemberError,
    MemberReporter, NameError, Quorum, Readiness, SettingError, State, Subsystem, SubsystemView,
    UnknownGroup,
};

const INTERVAL: Duration = Duration::from_millis(50);
const TTL: Duration = Duration::from_secs(8);

fn built(group: Group) -> Readiness {
    let builder = Readiness::builder().allow_empty().group(group);
    builder.build().unwrap()
}

fn upstream() -> Group {
    Group::new("upstream")
        .degraded_below(0.9)
        .failing_below(0.1)
}

fn members(readiness: &Readiness, count: usize) -> Vec<MemberReporter> {
    let group = readiness.group("upstream").unwrap();
    let add = |number| group.add(format!("10.0.0.{number}:80")).unwrap();
    (0..count).map(add).collect()
}

fn view(readiness: &Readiness) -> SubsystemView {
    readiness.snapshot().subsystem("upstream").unwrap().clone()
}

fn state(readiness: &Readiness) -> State {
    view(readiness).state()
}

fn counts(readiness: &Readiness) -> MemberCounts {
    *view(readiness).members().unwrap()
}

#[tokio::test(start_paused = true)]
async fn members_decide_the_state_of_their_group() {
    let readiness = built(upstream());
    assert_eq!(state(&readiness), State::Ready, "an empty group");
    let members = members(&readiness, 10);
    assert_eq!(state(&readiness), State::Failing, "none has reported");
    members[0].ready();
    assert_eq!(state(&readiness), State::Degraded);
    members[1..9].iter().for_each(MemberReporter::ready);
    assert_eq!(state(&readiness), State::Ready);
    members[0].degraded("slow");
    assert_eq!(state(&readiness), State::Ready, "degraded counts as ready");
    members[1].starting("connects again");
    assert_eq!(state(&readiness), State::Degraded);
    members[1].dead("gone");
    advance(INTERVAL).await;
    assert_eq!(
        view(&readiness).reason().unwrap(),
        "8 of 10 ready; 1 dead: 10.0.0.1:80; 1 starting; 1 degraded"
    );
    let counts = counts(&readiness);
    assert_eq!((counts.ready(), counts.total()), (8, 10));
    assert_eq!(counts.in_state(State::Dead), 1);
    assert_eq!(readiness.snapshot().subsystems().count(), 1);
}

#[tokio::test(start_paused = true)]
async fn changes_that_do_not_turn_the_group_are_published_20_times_a_second() {
    let readiness = built(upstream());
    let members = members(&readiness, 100);
    members.iter().for_each(MemberReporter::ready);
    advance(INTERVAL).await;
    assert_eq!(counts(&readiness).ready(), 100);
    let first = readiness.snapshot().version();
    let second = 20;
    for _ in 0..second * 10 {
        advance(INTERVAL / 10).await;
        // 91 of 100 are still enough.
        members[..9]
            .iter()
            .for_each(|member| member.failing("down"));
        members[..9].iter().for_each(MemberReporter::ready);
    }
    let published = readiness.snapshot().version() - first;
    assert!(
        (second - 1..=second + 1).contains(&published),
        "{published}"
    );

    // A repeated report changes nothing.
    advance(INTERVAL * 2).await;
    let version = readiness.snapshot().version();
    members.iter().for_each(MemberReporter::ready);
    advance(INTERVAL * 2).await;
    assert_eq!(readiness.snapshot().version(), version);

    // This turns the group, so it does not wait.
    members[..10]
        .iter()
        .for_each(|member| member.failing("down"));
    assert_eq!(state(&readiness), State::Ready);
    members[10].failing("down");
    assert_eq!(state(&readiness), State::Degraded);
    assert_eq!(counts(&readiness).in_state(State::Failing), 11);
}

/// The timer publishes waiting changes to subscribers, who do not ask for them.
#[tokio::test(start_paused = true)]
async fn a_subscriber_gets_the_last_counts() {
    let readiness = built(upstream());
    let members = members(&readiness, 20);
    members.iter().for_each(MemberReporter::ready);
    members[7].failing("down");
    let mut subscription = readiness.subscribe();
    let counts = async {
        loop {
            let snapshot = subscription.changed().await.unwrap();
            let group = snapshot.subsystem("upstream").unwrap();
            if group.members().unwrap().in_state(State::Failing) == 1 {
                break;
            }
        }
    };
    timeout(TTL, counts).await.unwrap();
}

#[test]
fn without_a_runtime_a_reader_publishes_what_is_due() {
    let readiness = built(upstream());
    let members = members(&readiness, 20);
    members.iter().for_each(MemberReporter::ready);
    members[7].failing("down");
    let begun = Instant::now();
    while counts(&readiness).in_state(State::Failing) == 0 {
        assert!(begun.elapsed() < Duration::from_secs(20));
        thread::yield_now();
    }
}

#[tokio::test(start_paused = true)]
async fn the_reason_of_a_group_is_cut_to_1_kib() {
    let readiness = built(Group::new("upstream").ttl(TTL));
    let group = readiness.group("upstream").unwrap();
    let members: Vec<_> = (0..9)
        .map(|number| group.add(format!("{number}{}", "x".repeat(127))).unwrap())
        .collect();
    members[..3].iter().for_each(MemberReporter::ready);
    advance(TTL * 2).await;
    members[3..6].iter().for_each(|member| member.dead("down"));
    members[6..]
        .iter()
        .for_each(|member| member.failing("down"));
    advance(INTERVAL).await;
    let reason = view(&readiness).reason().unwrap().to_owned();
    assert_eq!(reason.len(), 1_024);
    assert!(reason.starts_with("0 of 9 ready; 3 dead: 3xxx"), "{reason}");
}

/// The formatter is code of the application.
#[test]
fn a_handle_is_formatted_without_the_lock_of_its_group() {
    struct Reporting(MemberReporter);
    impl fmt::Write for Reporting {
        fn write_str(&mut self, _: &str) -> fmt::Result {
            self.0.ready();
            Ok(())
        }
    }
    let readiness = built(upstream());
    let [member] = members(&readiness, 1).try_into().unwrap();
    let (done, formatted) = mpsc::channel();
    thread::spawn(move || {
        let group = readiness.group("upstream").unwrap();
        write!(Reporting(member), "{group:?}").unwrap();
        done.send(()).unwrap();
    });
    formatted.recv_timeout(Duration::from_secs(60)).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_dropped_reporter_fails_its_member_until_another_claims_it() {
    let readiness = built(Group::new("upstream"));
    let group = readiness.group("upstream").unwrap();
    let member = group.add("a").unwrap();
    member.ready();
    assert_eq!(state(&readiness), State::Ready);
    let held = MemberError::Held { name: "a".into() };
    assert_eq!(group.reporter("a").unwrap_err(), held);
    drop(member);
    assert_eq!(state(&readiness), State::Degraded);
    advance(INTERVAL).await;
    assert_eq!(
        view(&readiness).reason(),
        Some("0 of 1 ready; 1 failing: a")
    );

    let member = group.reporter("a").unwrap();
    member.ready();
    assert_eq!(state(&readiness), State::Ready);
    member.dead("gone");
    drop(member);
    advance(INTERVAL).await;
    assert_eq!(counts(&readiness).in_state(State::Dead), 1, "still dead");
    group.reporter("a").unwrap().retire();
    assert_eq!(state(&readiness), State::Ready);
    advance(INTERVAL).await;
    assert_eq!(counts(&readiness).total(), 0);
}

#[tokio::test(start_paused = true)]
async fn while_the_process_drains_a_drop_reports_nothing() {
    let readiness = built(Group::new("upstream"));
    let members = members(&readiness, 2);
    members.iter().for_each(MemberReporter::ready);
    readiness.drain();
    drop(members);
    advance(INTERVAL).await;
    assert_eq!(state(&readiness), State::Ready);
    assert_eq!(counts(&readiness).ready(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_silent_member_is_stale_until_it_is_heard() {
    let readiness = built(Group::new("upstream").ttl(TTL));
    let members = members(&readiness, 3);
    members[0].ready();
    members[1].ready();
    for _ in 0..5 {
        advance(TTL / 4).await;
        members[0].heartbeat();
    }
    // The third has never reported.
    let in_states = |readiness: &Readiness| {
        let counts = counts(readiness);
        [State::Ready, State::Stale, State::Starting].map(|state| counts.in_state(state))
    };
    assert_eq!(in_states(&readiness), [1, 1, 1]);
    members[1].heartbeat();
    advance(INTERVAL).await;
    assert_eq!(in_states(&readiness), [2, 0, 1]);
    readiness.drain();
    advance(TTL * 2).await;
    assert_eq!(in_states(&readiness), [2, 0, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_group_goes_down_after_its_hold_down() {
    let readiness = built(upstream().hold_down(TTL));
    let member = readiness.group("upstream").unwrap().add("a").unwrap();
    member.ready();
    member.failing("down");
    assert_eq!(state(&readiness), State::Ready);
    assert_eq!(view(&readiness).damped().unwrap().state(), State::Failing);
    advance(TTL).await;
    assert_eq!(state(&readiness), State::Failing);
}

#[test]
fn with_a_margin_a_group_does_not_flap() {
    let readiness = built(upstream().recovery_margin(2_usize));
    let members = members(&readiness, 10);
    members.iter().for_each(MemberReporter::ready);
    members[..3]
        .iter()
        .for_each(|member| member.failing("down"));
    assert_eq!(state(&readiness), State::Degraded);
    members[..2].iter().for_each(MemberReporter::ready);
    assert_eq!(state(&readiness), State::Degraded, "9 of 10");
    members[2].ready();
    assert_eq!(state(&readiness), State::Ready);
}

#[test]
fn a_failing_group_counts_by_its_role_and_in_its_scopes() {
    let after_failure = |group: Group| {
        let builder = Readiness::builder().allow_empty().group(group);
        let readiness = builder.scope("proxy", ["upstream"]).build().unwrap();
        let started = readiness.verdict().condition();
        let member = readiness.group("upstream").unwrap().add("a").unwrap();
        member.ready();
        let ready = readiness.verdict().condition();
        member.failing("down");
        let snapshot = readiness.snapshot();
        let scope = snapshot.scope("proxy").unwrap().condition();
        [started, ready, snapshot.verdict().condition(), scope]
    };
    let upstream = || upstream().at_least(1);
    let [starting, ready] = [Condition::Starting, Condition::Ready];
    let (degraded, failing) = (Condition::Degraded, Condition::Failing);
    assert_eq!(
        after_failure(upstream()),
        [starting, ready, degraded, failing]
    );
    assert_eq!(
        after_failure(upstream().required()),
        [starting, ready, failing, failing]
    );
    assert_eq!(
        after_failure(upstream().optional()),
        [degraded, ready, degraded, failing]
    );
}

#[test]
fn wrong_names_are_typed_errors() {
    let readiness = built(Group::new("upstream"));
    let unknown: UnknownGroup = readiness.group("downstream").unwrap_err();
    assert!(unknown.to_string().contains(r#""downstream""#));
    assert!(unknown.known.contains(r#""upstream""#));
    let claimed = readiness.reporter("upstream").unwrap_err();
    let name = "upstream".to_owned();
    assert_eq!(claimed, ClaimError::Group { name });

    let group = readiness.group("upstream").unwrap();
    let member = group.add("a").unwrap();
    let name = || "a".to_owned();
    assert_eq!(
        group.add("a").unwrap_err(),
        MemberError::Duplicate { name: name() }
    );
    member.retire();
    assert_eq!(
        group.reporter("a").unwrap_err(),
        MemberError::Unknown { name: name() }
    );
    assert_eq!(
        group.add("").unwrap_err(),
        MemberError::Name {
            name: String::new(),
            source: NameError::Empty
        }
    );
    group.add("readiness").unwrap().retire();
}

#[test]
fn settings_are_checked_at_build() {
    let error = |group: Group| {
        let builder = Readiness::builder().allow_empty().group(group);
        match builder.build().unwrap_err() {
            BuildError::Declaration(DeclareError::Setting { name, source })
                if name == "upstream" =>
            {
                source
            }
            other => panic!("{other:?}"),
        }
    };
    let group = || Group::new("upstream");
    assert!(matches!(
        error(group().degraded_below(0.1).failing_below(0.9)),
        SettingError::ThresholdOrder {
            degraded: Quorum::Share(_),
            ..
        }
    ));
    assert!(matches!(
        error(group().failing_below(1.5)),
        SettingError::Fraction {
            what: "failing_below",
            ..
        }
    ));
    assert!(matches!(
        error(group().at_least(1_000_001)),
        SettingError::TooManyMembers {
            what: "at_least",
            ..
        }
    ));
    assert!(matches!(
        error(group().ttl(Duration::ZERO)),
        SettingError::OutOfBounds { .. }
    ));
    assert!(matches!(
        error(group().hold_down(Duration::ZERO)),
        SettingError::OutOfBounds { .. }
    ));
    let twice = Readiness::builder()
        .subsystem(Subsystem::new("upstream"))
        .group(group());
    let name = "upstream".to_owned();
    assert_eq!(
        twice.build().unwrap_err(),
        BuildError::Declaration(DeclareError::Duplicate { name })
    );
    let invalid = Readiness::builder().allow_empty().group(Group::new(""));
    assert!(matches!(
        invalid.build().unwrap_err(),
        BuildError::Declaration(DeclareError::Name {
            source: NameError::Empty,
            ..
        })
    ));
}
