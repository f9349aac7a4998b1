use super::*;
use crate::registry::{Readiness, Reporter, Subsystem};

/// One reader of a process, whose every message arrives unless it is dropped.
struct Systemd {
    readiness: Readiness,
    rules: Rules,
    said: SentState,
    now: Instant,
    in_flight: Option<usize>,
    progress: u64,
    drained_by: Option<Instant>,
}

impl Systemd {
    fn of(readiness: &Readiness, rules: Rules) -> Self {
        let now = Instant::now();
        Self {
            readiness: readiness.clone(),
            rules,
            said: SentState::nothing(now),
            now,
            in_flight: None,
            progress: 0,
            drained_by: None,
        }
    }

    fn with<R>(&self, see: impl FnOnce(&Input<'_>) -> R) -> R {
        let snapshot = self.readiness.snapshot();
        see(&Input {
            data: &snapshot.0,
            in_flight: self.in_flight,
            progress: self.progress,
            drained_by: self.drained_by,
            now: self.now,
            clock: Some(NotifyState::MonotonicUsec(77)),
        })
    }

    /// What is sent now, until there is no more.
    fn hears(&mut self) -> Vec<String> {
        let mut heard = Vec::new();
        while let Some(Next { message, then }) =
            self.with(|input| self.said.next(&self.rules, input))
        {
            heard.push(message);
            self.said = then;
            assert!(heard.len() < 10, "there is no end to it: {heard:?}");
        }
        heard
    }

    fn later(&mut self, millis: u64) -> Vec<String> {
        self.now += Duration::from_millis(millis);
        self.hears()
    }

    /// When it speaks again by itself, in milliseconds.
    fn due(&self) -> Option<u128> {
        let due = self.with(|input| self.said.due(&self.rules, input))?;
        Some(due.saturating_duration_since(self.now).as_millis())
    }
}

fn starting() -> (Readiness, Reporter) {
    let builder = Readiness::builder().subsystem(Subsystem::new("storage").vital());
    let readiness = builder.build().unwrap();
    let storage = readiness.reporter("storage").unwrap();
    (readiness, storage)
}

#[test]
fn ready_is_said_once_at_the_start_latch() {
    let (readiness, storage) = starting();
    let mut systemd = Systemd::of(&readiness, Rules::default());
    assert_eq!(
        systemd.hears(),
        ["STATUS=starting 0/1: storage (never reported)"]
    );
    assert_eq!(systemd.later(1_000), [""; 0]);
    storage.ready();
    assert_eq!(systemd.hears(), ["READY=1\nSTATUS=ready"]);
    storage.failing("gone");
    // (What is reported here is stamped by the real clock.)
    assert_eq!(
        systemd.later(1_000),
        ["STATUS=not ready: storage (gone), 1 s"]
    );
    storage.ready();
    assert_eq!(systemd.later(1_000), ["STATUS=ready"]);
    assert_eq!(systemd.due(), None);
}

#[test]
fn what_did_not_arrive_is_said_again_as_it_is_then() {
    let (readiness, storage) = starting();
    let mut systemd = Systemd::of(&readiness, Rules::default());
    storage.ready();
    let lost = systemd.with(|input| systemd.said.next(&systemd.rules, input));
    assert_eq!(lost.unwrap().message, "READY=1\nSTATUS=ready");
    storage.failing("gone");
    assert_eq!(
        systemd.hears(),
        ["READY=1\nSTATUS=not ready: storage (gone)"]
    );
}

#[test]
fn stopping_is_said_once_and_only_when_the_process_drains() {
    let (readiness, storage) = starting();
    let mut systemd = Systemd::of(&readiness, Rules::default());
    storage.ready();
    systemd.hears();
    storage.retire();
    assert_eq!(systemd.later(1_000), [""; 0], "it is ready without it");
    readiness.drain();
    assert_eq!(systemd.hears(), ["STOPPING=1\nSTATUS=draining"]);
    readiness.advance(Phase::Closing);
    assert_eq!(systemd.later(1_000), ["STATUS=closing"]);
    readiness.advance(Phase::Closed);
    assert_eq!(systemd.later(1_000), ["STATUS=closed"]);
}

#[test]
fn a_process_that_drains_right_after_its_start_has_started() {
    let (readiness, storage) = starting();
    let mut systemd = Systemd::of(&readiness, Rules::default());
    storage.ready();
    readiness.drain();
    // In one message the last would win.
    assert_eq!(systemd.hears(), ["READY=1\nSTATUS=draining", "STOPPING=1"]);
}

#[test]
fn a_process_that_drains_before_its_start_never_is_ready() {
    let (readiness, storage) = starting();
    let mut systemd = Systemd::of(&readiness, Rules::default());
    readiness.drain();
    storage.ready();
    assert_eq!(systemd.hears(), ["STOPPING=1\nSTATUS=draining"]);
}

#[test]
fn a_pause_is_nothing_but_a_status() {
    let (readiness, storage) = starting();
    let mut systemd = Systemd::of(&readiness, Rules::default());
    storage.ready();
    systemd.hears();
    let pause = readiness.pause("standby");
    assert_eq!(systemd.later(1_000), ["STATUS=paused (standby)"]);
    drop(pause);
    assert_eq!(systemd.later(1_000), ["STATUS=ready"]);
}

// === reloads ===

#[test]
fn a_reload_is_told_with_the_clock_and_ends_ready() {
    let (readiness, storage) = starting();
    let mut systemd = Systemd::of(&readiness, Rules::default());
    storage.ready();
    systemd.hears();
    let begins = ["RELOADING=1\nMONOTONIC_USEC=77\nSTATUS=ready; reloading"];
    let reload = readiness.reloading();
    assert_eq!(systemd.later(1_000), begins);
    // systemd may have asked for this one while it saw the other.
    let another = readiness.reloading();
    assert_eq!(systemd.hears(), ["RELOADING=1\nMONOTONIC_USEC=77"]);
    drop(reload);
    assert_eq!(systemd.hears(), [""; 0]);
    drop(another);
    assert_eq!(systemd.hears(), ["READY=1\nSTATUS=ready"]);
}

#[test]
fn a_reload_that_nobody_saw_is_told_nevertheless() {
    let (readiness, storage) = starting();
    let mut systemd = Systemd::of(&readiness, Rules::default());
    storage.ready();
    systemd.hears();
    drop(readiness.reloading());
    let both = ["RELOADING=1\nMONOTONIC_USEC=77", "READY=1"];
    assert_eq!(systemd.hears(), both);
}

#[test]
fn a_reload_is_no_news_before_the_start_nor_after_the_end() {
    let (readiness, storage) = starting();
    let mut systemd = Systemd::of(&readiness, Rules::default());
    drop(readiness.reloading());
    let reload = readiness.reloading();
    assert_eq!(
        systemd.hears(),
        ["STATUS=starting 0/1: storage (never reported); reloading"]
    );
    storage.ready();
    assert_eq!(
        systemd.hears(),
        [
            "READY=1\nSTATUS=ready; reloading",
            "RELOADING=1\nMONOTONIC_USEC=77"
        ]
    );
    readiness.drain();
    assert_eq!(systemd.hears(), ["STOPPING=1\nSTATUS=draining"]);
    drop(reload);
    drop(readiness.reloading());
    assert_eq!(systemd.later(1_000), [""; 0]);
}

// === status ===

#[test]
fn what_flaps_does_not_keep_systemd_busy() {
    let (readiness, storage) = starting();
    let mut systemd = Systemd::of(&readiness, Rules::default());
    storage.ready();
    systemd.hears();
    let mut heard = 0;
    for round in 0..1_000 {
        storage.failing(format!("{round}"));
        heard += systemd.later(1).len();
    }
    assert_eq!(heard, 10);
    storage.ready();
    assert_eq!(systemd.later(100), ["STATUS=ready"]);
}

#[test]
fn the_last_status_of_a_flurry_is_told_in_time() {
    let (readiness, storage) = starting();
    let mut systemd = Systemd::of(&readiness, Rules::default());
    systemd.hears();
    storage.starting("opening");
    assert_eq!(systemd.later(40), [""; 0]);
    assert_eq!(systemd.due(), Some(60));
    assert_eq!(
        systemd.later(60),
        ["STATUS=starting 0/1: storage (starting: opening)"]
    );
}

#[test]
fn an_age_is_told_again_as_it_grows() {
    let (readiness, storage) = starting();
    let mut systemd = Systemd::of(&readiness, Rules::default());
    storage.ready();
    systemd.hears();
    storage.failing("gone");
    systemd.later(200);
    assert_eq!(systemd.due(), Some(1_000));
    assert_eq!(systemd.later(12_000).len(), 1);
    assert!(
        systemd.said.status.ends_with(" s"),
        "{}",
        systemd.said.status
    );
}

// === watchdog ===

const PING: Duration = Duration::from_secs(5);

fn watched(trigger: bool) -> Rules {
    Rules {
        ping_every: Some(PING),
        trigger,
        ..Rules::default()
    }
}

#[test]
fn pings_are_sent_while_liveness_is_green() {
    let (readiness, storage) = starting();
    let mut systemd = Systemd::of(&readiness, watched(false));
    let first = ["WATCHDOG=1\nSTATUS=starting 0/1: storage (never reported)"];
    assert_eq!(systemd.hears(), first, "before it has started, too");
    assert_eq!(systemd.due(), Some(5_000));
    assert_eq!(systemd.later(4_999), [""; 0]);
    assert_eq!(systemd.later(1), ["WATCHDOG=1"]);

    storage.ready();
    systemd.hears();
    storage.failing("not dead");
    assert!(systemd.later(5_000)[0].contains("WATCHDOG=1"));
    storage.dead("gave up");
    let heard = systemd.later(60_000);
    assert_eq!(heard.len(), 1);
    assert!(
        heard[0].starts_with("STATUS=not live: storage"),
        "{heard:?}"
    );
    storage.ready();
    assert_eq!(systemd.later(1), ["WATCHDOG=1\nSTATUS=ready"], "at once");
}

#[test]
fn pings_go_on_while_the_process_drains() {
    let (readiness, storage) = starting();
    let mut systemd = Systemd::of(&readiness, watched(false));
    storage.ready();
    readiness.drain();
    systemd.hears();
    assert_eq!(systemd.later(5_000), ["WATCHDOG=1"]);
}

#[test]
fn the_watchdog_is_triggered_once_for_each_death() {
    let (readiness, storage) = starting();
    let mut systemd = Systemd::of(&readiness, watched(true));
    storage.ready();
    systemd.hears();
    for _ in 0..2 {
        storage.dead("gave up");
        let heard = systemd.later(200);
        assert_eq!(heard.len(), 1);
        assert!(heard[0].starts_with("WATCHDOG=trigger\n"), "{heard:?}");
        storage.dead("still");
        let heard = systemd.later(200);
        assert!(heard[0].starts_with("STATUS=not live"), "{heard:?}");
        storage.ready();
        assert!(systemd.later(5_000)[0].starts_with("WATCHDOG=1"));
    }
}

// === extensions ===

fn extending() -> Rules {
    Rules {
        extend_start: Some(ExtendStart {
            each: Duration::from_secs(10),
            total: Duration::from_secs(25),
        }),
        extend_stop: true,
        ..Rules::default()
    }
}

#[test]
fn the_start_is_extended_by_progress_alone_and_not_for_ever() {
    let (readiness, storage) = starting();
    let mut systemd = Systemd::of(&readiness, extending());
    systemd.hears();
    storage.starting("opening");
    let heard = systemd.later(1_000);
    assert_eq!(heard, ["STATUS=starting 0/1: storage (starting: opening)"]);
    assert_eq!(systemd.due(), None, "progress rings");

    systemd.progress += 1;
    assert_eq!(systemd.later(1_000), ["EXTEND_TIMEOUT_USEC=10000000"]);
    systemd.progress += 1;
    assert_eq!(systemd.hears(), [""; 0]);
    assert_eq!(systemd.due(), Some(100), "soon enough");
    assert_eq!(systemd.later(100), ["EXTEND_TIMEOUT_USEC=10000000"]);
    assert_eq!(systemd.due(), None);
    assert_eq!(systemd.later(900), [""; 0]);
    systemd.progress += 5;
    // 22 of 25 seconds are over then.
    assert_eq!(systemd.later(19_000), ["EXTEND_TIMEOUT_USEC=3000000"]);
    systemd.progress += 1;
    assert_eq!(systemd.later(3_000), [""; 0]);
    assert_eq!(systemd.due(), None);
}

#[test]
fn the_start_may_be_extended_by_hours() {
    let (readiness, _storage) = starting();
    let rules = Rules {
        extend_start: Some(ExtendStart {
            each: Duration::from_secs(3 * 3_600),
            total: Duration::from_secs(24 * 3_600),
        }),
        ..Rules::default()
    };
    let mut systemd = Systemd::of(&readiness, rules);
    systemd.hears();
    systemd.progress += 1;
    assert_eq!(systemd.later(1_000), ["EXTEND_TIMEOUT_USEC=10800000000"]);
}

#[test]
fn without_being_asked_for_nothing_is_extended() {
    let (readiness, storage) = starting();
    let mut systemd = Systemd::of(&readiness, Rules::default());
    systemd.hears();
    systemd.progress += 1;
    assert_eq!(systemd.later(1_000), [""; 0]);
    storage.ready();
    readiness.drain();
    systemd.drained_by = Some(systemd.now + Duration::from_secs(25));
    systemd.hears();
    assert_eq!(systemd.later(5_000), [""; 0]);
}

#[test]
fn progress_after_the_start_extends_nothing() {
    let (readiness, storage) = starting();
    let mut systemd = Systemd::of(&readiness, extending());
    storage.ready();
    systemd.hears();
    systemd.progress += 1;
    assert_eq!(systemd.later(1_000), [""; 0]);
}

#[test]
fn the_stop_is_extended_bit_by_bit_until_the_drain_is_over() {
    let (readiness, storage) = starting();
    let mut systemd = Systemd::of(&readiness, extending());
    storage.ready();
    systemd.hears();
    readiness.drain();
    systemd.drained_by = Some(systemd.now + Duration::from_secs(18));
    assert_eq!(
        systemd.hears(),
        ["STOPPING=1\nEXTEND_TIMEOUT_USEC=15000000\nSTATUS=draining"]
    );
    assert_eq!(systemd.due(), Some(5_000));
    assert_eq!(systemd.later(5_000), ["EXTEND_TIMEOUT_USEC=15000000"]);
    // As long as it takes, and what it takes to end.
    assert_eq!(systemd.later(5_000), ["EXTEND_TIMEOUT_USEC=10000000"]);
    assert_eq!(systemd.later(5_000), ["EXTEND_TIMEOUT_USEC=5000000"]);
    assert_eq!(systemd.later(5_000), [""; 0]);
    assert_eq!(systemd.due(), None);
}
