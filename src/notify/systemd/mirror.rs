use super::{
    error::SystemdError,
    messages::{Input, NextMessage, Rules, SentState},
    sender::Sender,
};
use crate::{
    meters::Counter,
    mutex::Mutex,
    registry::{Registry, RegistryClosed, Start, TaskId},
    state::Phase,
};
use sd_notify::NotifyState;
use std::{future::pending, mem, sync::Arc, time::Duration};
use tokio::{
    task::yield_now,
    time::{Instant, sleep_until},
};

/// The pause before a failed message is retried: the first, doubled after each
/// failure, and the longest.
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LONGEST_RETRY: Duration = Duration::from_secs(2);

/// The shortest interval of pings: tokio's timer has a resolution of 1 ms.
const PING_AT_MOST_EVERY: Duration = Duration::from_millis(1);

pub(super) fn start(
    registry: &Arc<Registry>,
    sender: Sender,
    mut rules: Rules,
    watchdog: Option<Duration>,
) -> Result<(), SystemdError> {
    rules.ping_every = watchdog.map(|watchdog| (watchdog / 2).max(PING_AT_MOST_EVERY));
    let new = registry.background().add(TaskId::Mirror("systemd"), || {
        // The task restarts on another runtime when its runtime ends, so all of
        // its runs share the record of sent messages.
        let mirror = Arc::new(Mutex::new(Mirror::new(sender, rules)));
        let registry = Arc::downgrade(registry);
        let start: Start = Arc::new(move || {
            let (registry, mirror) = (registry.upgrade()?, Arc::clone(&mirror));
            Some(Box::pin(run(registry, mirror)))
        });
        start
    });
    if !new {
        return Err(SystemdError::AlreadyRunning);
    }
    registry.background().start();
    Ok(())
}

async fn run(registry: Arc<Registry>, mirror: Arc<Mutex<Mirror>>) {
    loop {
        // The runtime with the registry's timer may hang while this one runs.
        registry.publish_overdue();
        let seen = {
            // Contended only with an earlier task, while its runtime shuts down.
            let mut mirror = mirror.lock();
            mirror.update(&registry)
        };
        // Without this, a subsystem that flaps faster than this loop runs would
        // keep the task from ever yielding its thread.
        yield_now().await;
        let due = async {
            match seen.due {
                Some(due) => sleep_until(due).await,
                None => pending().await,
            }
        };
        let newer = registry.wait_for(|data| (data.version > seen.version).then_some(()));
        tokio::select! { biased;
            newer = newer => if let Err(RegistryClosed {}) = newer {
                return;
            },
            () = registry.progress_beyond(seen.progress) => {}
            () = due => {}
        }
    }
}

#[derive(Debug)]
struct Mirror {
    rules: Rules,
    sender: Sender,
    sent: SentState,
    /// The pending retry, after a message could not be sent.
    retry: Option<Retry>,
    warned: bool,
}

/// The version and progress that an update has read, and when the next is due
/// without a newer one.
struct Seen {
    version: u64,
    progress: u64,
    due: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Retry {
    delay: Duration,
    at: Instant,
}

impl Mirror {
    fn new(sender: Sender, rules: Rules) -> Self {
        Self {
            rules,
            sender,
            sent: SentState::nothing(Instant::now()),
            retry: None,
            warned: false,
        }
    }

    /// Sends all messages that are due.
    fn update(&mut self, registry: &Registry) -> Seen {
        let progress = registry.progress();
        let snapshot = registry.load();
        let traffic = registry.traffic();
        let data = &*snapshot.0;
        let drains = data.phase >= Phase::Draining;
        let input = Input {
            data,
            in_flight: traffic.flights.count().filter(|_| drains),
            progress,
            drained_by: registry.drain_clock().over_at_latest(),
            now: Instant::now(),
            clock: NotifyState::monotonic_usec_now().ok(),
        };
        Seen {
            version: data.version,
            progress,
            due: self.send_due(&input, &registry.meters().systemd_errors),
        }
    }

    fn send_due(&mut self, input: &Input<'_>, errors: &Counter) -> Option<Instant> {
        if let Some(retry) = self.retry.filter(|retry| retry.at > input.now) {
            return Some(retry.at);
        }
        while let Some(NextMessage { message, after }) = self.sent.next(&self.rules, input) {
            if let Err(error) = self.sender.send(&message) {
                errors.increment();
                // One line is enough to find the cause.
                if !mem::replace(&mut self.warned, true) {
                    crate::log::line!(
                        warn, "systemd_failed", { error: error.to_string() },
                        %error, "cannot notify systemd; retrying, without logging further failures"
                    );
                }
                return Some(self.schedule_retry(input.now));
            }
            self.sent = after;
            self.retry = None;
        }
        self.sent.due(&self.rules, input)
    }

    fn schedule_retry(&mut self, now: Instant) -> Instant {
        // A ping must not be late, so half its interval is a limit too.
        let most = self
            .rules
            .ping_every
            .map_or(LONGEST_RETRY, |every| every / 2);
        let delay = self
            .retry
            .map_or(FIRST_RETRY, |retry| retry.delay * 2)
            .min(most.min(LONGEST_RETRY));
        let at = now + delay;
        self.retry = Some(Retry { delay, at });
        at
    }
}
