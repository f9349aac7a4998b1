use super::*;
use crate::registry::{Readiness, Reporter, Subsystem};

/// Receives the messages of a process. All of them arrive, unless a test drops one.
struct Observer {
    readiness: Readiness,
    rules: Rules,
    sent: SentState,
    now: Instant,
    in_flight: Option<usize>,
    progress: u64,
    drained_by: Option<Instant>,
}

impl Observer {
    fn new(readiness: &Readiness, rules: Rules) -> Self {
        let now = Instant::now();
        Self {
            readiness: readiness.clone(),
            rules,
            sent: SentState::nothing(now),
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

    /// Returns all messages that are due now.
    fn messages(&mut self) -> Vec<String> {
        let mut messages = Vec::new();
        while let Some(NextMessage { message, after }) =
            self.with(|input| self.sent.next(&self.rules, input))
        {
            messages.push(message);
            self.sent = after;
            assert!(messages.len() < 10, "messages without end: {messages:?}");
        }
        messages
    }

    fn later(&mut self, millis: u64) -> Vec<String> {
        self.now += Duration::from_millis(millis);
        self.messages()
    }

    /// Returns the time until the next message, in milliseconds.
    fn due(&self) -> Option<u128> {
        let due = self.with(|input| self.sent.due(&self.rules, input))?;
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
fn ready_is_sent_once_at_the_start() {
    let (readiness, storage) = starting();
    let mut observer = Observer::new(&readiness, Rules::default());
    assert_eq!(
        observer.messages(),
        ["STATUS=starting 0/1: storage (never reported)"]
    );
    assert_eq!(observer.later(1_000), [""; 0]);
    storage.ready();
    assert_eq!(observer.messages(), ["READY=1\nSTATUS=ready"]);
    storage.failing("gone");
    // (Reports have timestamps of the real clock.)
    assert_eq!(
        observer.later(1_000),
        ["STATUS=not ready: storage (gone), 1s"]
    );
    storage.ready();
    assert_eq!(observer.later(1_000), ["STATUS=ready"]);
    assert_eq!(observer.due(), None);
}

#[test]
fn a_lost_message_is_sent_again_with_the_current_state() {
    let (readiness, storage) = starting();
    let mut observer = Observer::new(&readiness, Rules::default());
    storage.ready();
    let lost = observer.with(|input| observer.sent.next(&observer.rules, input));
    assert_eq!(lost.unwrap().message, "READY=1\nSTATUS=ready");
    storage.failing("gone");
    assert_eq!(
        observer.messages(),
        ["READY=1\nSTATUS=not ready: storage (gone)"]
    );
}

#[test]
fn stopping_is_sent_once_and_only_when_the_process_drains() {
    let (readiness, storage) = starting();
    let mut observer = Observer::new(&readiness, Rules::default());
    storage.ready();
    observer.messages();
    storage.retire();
    assert_eq!(
        observer.later(1_000),
        [""; 0],
        "a retired subsystem does not count"
    );
    readiness.drain();
    assert_eq!(observer.messages(), ["STOPPING=1\nSTATUS=draining"]);
    readiness.advance(Phase::Closing);
    assert_eq!(observer.later(1_000), ["STATUS=closing"]);
    readiness.advance(Phase::Closed);
    assert_eq!(observer.later(1_000), ["STATUS=closed"]);
}

#[test]
fn a_process_that_drains_right_after_its_start_has_started() {
    let (readiness, storage) = starting();
    let mut observer = Observer::new(&readiness, Rules::default());
    storage.ready();
    readiness.drain();
    // In one message, systemd would see only the last.
    assert_eq!(
        observer.messages(),
        ["READY=1\nSTATUS=draining", "STOPPING=1"]
    );
}

#[test]
fn a_process_that_drains_before_its_start_never_is_ready() {
    let (readiness, storage) = starting();
    let mut observer = Observer::new(&readiness, Rules::default());
    readiness.drain();
    storage.ready();
    assert_eq!(observer.messages(), ["STOPPING=1\nSTATUS=draining"]);
}

#[test]
fn a_pause_changes_only_the_status() {
    let (readiness, storage) = starting();
    let mut observer = Observer::new(&readiness, Rules::default());
    storage.ready();
    observer.messages();
    let pause = readiness.pause("standby");
    assert_eq!(observer.later(1_000), ["STATUS=paused (standby)"]);
    drop(pause);
    assert_eq!(observer.later(1_000), ["STATUS=ready"]);
}

// === reloads ===

#[test]
fn a_reload_is_sent_with_the_clock_and_ends_ready() {
    let (readiness, storage) = starting();
    let mut observer = Observer::new(&readiness, Rules::default());
    storage.ready();
    observer.messages();
    let begins = ["RELOADING=1\nMONOTONIC_USEC=77\nSTATUS=ready; reloading"];
    let reload = readiness.reloading();
    assert_eq!(observer.later(1_000), begins);
    // systemd may have requested this reload during the other.
    let another = readiness.reloading();
    assert_eq!(observer.messages(), ["RELOADING=1\nMONOTONIC_USEC=77"]);
    drop(reload);
    assert_eq!(observer.messages(), [""; 0]);
    drop(another);
    assert_eq!(observer.messages(), ["READY=1\nSTATUS=ready"]);
}

#[test]
fn a_reload_that_is_over_before_the_update_is_sent() {
    let (readiness, storage) = starting();
    let mut observer = Observer::new(&readiness, Rules::default());
    storage.ready();
    observer.messages();
    drop(readiness.reloading());
    let both = ["RELOADING=1\nMONOTONIC_USEC=77", "READY=1"];
    assert_eq!(observer.messages(), both);
}

#[test]
fn reloads_before_the_start_and_while_draining_are_not_sent() {
    let (readiness, storage) = starting();
    let mut observer = Observer::new(&readiness, Rules::default());
    drop(readiness.reloading());
    let reload = readiness.reloading();
    assert_eq!(
        observer.messages(),
        ["STATUS=starting 0/1: storage (never reported); reloading"]
    );
    storage.ready();
    assert_eq!(
        observer.messages(),
        [
            "READY=1\nSTATUS=ready; reloading",
            "RELOADING=1\nMONOTONIC_USEC=77"
        ]
    );
    readiness.drain();
    assert_eq!(observer.messages(), ["STOPPING=1\nSTATUS=draining"]);
    drop(reload);
    drop(readiness.reloading());
    assert_eq!(observer.later(1_000), [""; 0]);
}

// === status ===

#[test]
fn a_flapping_subsystem_sends_few_messages() {
    let (readiness, storage) = starting();
    let mut observer = Observer::new(&readiness, Rules::default());
    storage.ready();
    observer.messages();
    let mut count = 0;
    for round in 0..1_000 {
        storage.failing(format!("{round}"));
        count += observer.later(1).len();
    }
    assert_eq!(count, 10);
    storage.ready();
    assert_eq!(observer.later(100), ["STATUS=ready"]);
}

#[test]
fn the_last_of_many_statuses_is_sent_in_time() {
    let (readiness, storage) = starting();
    let mut observer = Observer::new(&readiness, Rules::default());
    observer.messages();
    storage.starting("opening");
    assert_eq!(observer.later(40), [""; 0]);
    assert_eq!(observer.due(), Some(60));
    assert_eq!(
        observer.later(60),
        ["STATUS=starting 0/1: storage (starting: opening)"]
    );
}

#[test]
fn a_status_is_sent_again_as_its_age_grows() {
    let (readiness, storage) = starting();
    let mut observer = Observer::new(&readiness, Rules::default());
    storage.ready();
    observer.messages();
    storage.failing("gone");
    observer.later(200);
    assert_eq!(observer.due(), Some(1_000));
    assert_eq!(observer.later(12_000).len(), 1);
    assert!(
        observer.sent.status.ends_with('s'),
        "{}",
        observer.sent.status
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
    let mut observer = Observer::new(&readiness, watched(false));
    let first = ["WATCHDOG=1\nSTATUS=starting 0/1: storage (never reported)"];
    assert_eq!(observer.messages(), first, "also before the start");
    assert_eq!(observer.due(), Some(5_000));
    assert_eq!(observer.later(4_999), [""; 0]);
    assert_eq!(observer.later(1), ["WATCHDOG=1"]);

    storage.ready();
    observer.messages();
    storage.failing("not dead");
    assert!(observer.later(5_000)[0].contains("WATCHDOG=1"));
    storage.dead("gave up");
    let messages = observer.later(60_000);
    assert_eq!(messages.len(), 1);
    assert!(
        messages[0].starts_with("STATUS=not live: storage"),
        "{messages:?}"
    );
    storage.ready();
    assert_eq!(observer.later(1), ["WATCHDOG=1\nSTATUS=ready"], "at once");
}

#[test]
fn pings_go_on_while_the_process_drains() {
    let (readiness, storage) = starting();
    let mut observer = Observer::new(&readiness, watched(false));
    storage.ready();
    readiness.drain();
    observer.messages();
    assert_eq!(observer.later(5_000), ["WATCHDOG=1"]);
}

#[test]
fn the_watchdog_is_triggered_once_for_each_death() {
    let (readiness, storage) = starting();
    let mut observer = Observer::new(&readiness, watched(true));
    storage.ready();
    observer.messages();
    for _ in 0..2 {
        storage.dead("gave up");
        let messages = observer.later(200);
        assert_eq!(messages.len(), 1);
        assert!(
            messages[0].starts_with("WATCHDOG=trigger\n"),
            "{messages:?}"
        );
        storage.dead("still");
        let messages = observer.later(200);
        assert!(messages[0].starts_with("STATUS=not live"), "{messages:?}");
        storage.ready();
        assert!(observer.later(5_000)[0].starts_with("WATCHDOG=1"));
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
fn only_progress_extends_the_start_and_up_to_a_total() {
    let (readiness, storage) = starting();
    let mut observer = Observer::new(&readiness, extending());
    observer.messages();
    storage.starting("opening");
    let messages = observer.later(1_000);
    assert_eq!(
        messages,
        ["STATUS=starting 0/1: storage (starting: opening)"]
    );
    assert_eq!(observer.due(), None, "progress wakes the task");

    observer.progress += 1;
    assert_eq!(observer.later(1_000), ["EXTEND_TIMEOUT_USEC=10000000"]);
    observer.progress += 1;
    assert_eq!(observer.messages(), [""; 0]);
    assert_eq!(observer.due(), Some(100), "soon enough");
    assert_eq!(observer.later(100), ["EXTEND_TIMEOUT_USEC=10000000"]);
    assert_eq!(observer.due(), None);
    assert_eq!(observer.later(900), [""; 0]);
    observer.progress += 5;
    // 22 of 25 seconds are over by then.
    assert_eq!(observer.later(19_000), ["EXTEND_TIMEOUT_USEC=3000000"]);
    observer.progress += 1;
    assert_eq!(observer.later(3_000), [""; 0]);
    assert_eq!(observer.due(), None);
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
    let mut observer = Observer::new(&readiness, rules);
    observer.messages();
    observer.progress += 1;
    assert_eq!(observer.later(1_000), ["EXTEND_TIMEOUT_USEC=10800000000"]);
}

#[test]
fn without_options_nothing_is_extended() {
    let (readiness, storage) = starting();
    let mut observer = Observer::new(&readiness, Rules::default());
    observer.messages();
    observer.progress += 1;
    assert_eq!(observer.later(1_000), [""; 0]);
    storage.ready();
    readiness.drain();
    observer.drained_by = Some(observer.now + Duration::from_secs(25));
    observer.messages();
    assert_eq!(observer.later(5_000), [""; 0]);
}

#[test]
fn progress_after_the_start_extends_nothing() {
    let (readiness, storage) = starting();
    let mut observer = Observer::new(&readiness, extending());
    storage.ready();
    observer.messages();
    observer.progress += 1;
    assert_eq!(observer.later(1_000), [""; 0]);
}

#[test]
fn the_stop_is_extended_in_steps_until_the_drain_is_over() {
    let (readiness, storage) = starting();
    let mut observer = Observer::new(&readiness, extending());
    storage.ready();
    observer.messages();
    readiness.drain();
    observer.drained_by = Some(observer.now + Duration::from_secs(18));
    assert_eq!(
        observer.messages(),
        ["STOPPING=1\nEXTEND_TIMEOUT_USEC=15000000\nSTATUS=draining"]
    );
    assert_eq!(observer.due(), Some(5_000));
    assert_eq!(observer.later(5_000), ["EXTEND_TIMEOUT_USEC=15000000"]);
    // The rest of the drain, and the time to exit.
    assert_eq!(observer.later(5_000), ["EXTEND_TIMEOUT_USEC=10000000"]);
    assert_eq!(observer.later(5_000), ["EXTEND_TIMEOUT_USEC=5000000"]);
    assert_eq!(observer.later(5_000), [""; 0]);
    assert_eq!(observer.due(), None);
}
