use super::{
    error::SystemdError,
    options::SystemdOptions,
    protocol::{Input, Next, Rules, SentState},
    sender::Sender,
};
use crate::{
    race::{First, race},
    registry::{Registry, RegistryClosed, Start, TaskId},
    state::Phase,
};
use sd_notify::NotifyState;
use std::{
    future::pending,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    task::yield_now,
    time::{Instant, sleep_until},
};

/// How soon a message that was not taken is tried again, at first and at last.
const AGAIN_AFTER: Duration = Duration::from_millis(50);
const AGAIN_AT_MOST: Duration = Duration::from_secs(2);

/// However short the watchdog: a shorter interval is none to a timer.
const PING_AT_MOST_EVERY: Duration = Duration::from_millis(1);

pub(super) fn start(
    registry: &Arc<Registry>,
    sender: Sender,
    options: &SystemdOptions,
    watchdog: Option<Duration>,
) -> Result<(), SystemdError> {
    let rules = Rules {
        ping_every: watchdog.map(|watchdog| (watchdog / 2).max(PING_AT_MOST_EVERY)),
        trigger: options.trigger,
        extend_start: options.extend_start,
        extend_stop: options.extend_stop,
    };
    let new = registry.background().add(TaskId::Mirror("systemd"), || {
        // Shared by the tasks of one runtime after the other, for what has been
        // said stays said.
        let mirror = Arc::new(Mutex::new(Mirror::new(sender, rules)));
        let registry = Arc::downgrade(registry);
        let start: Start = Arc::new(move || {
            let (registry, mirror) = (registry.upgrade()?, Arc::clone(&mirror));
            Some(Box::pin(run(registry, mirror)))
        });
        start
    });
    if !new {
        return Err(SystemdError::Twice);
    }
    registry.background().start();
    Ok(())
}

async fn run(registry: Arc<Registry>, mirror: Arc<Mutex<Mirror>>) {
    loop {
        // The runtime of who keeps the time may be what hangs.
        registry.publish_overdue();
        let (seen, due) = {
            // No one else is there, unless a runtime is about to end.
            let mut mirror = mirror.lock().unwrap_or_else(PoisonError::into_inner);
            mirror.look(&registry)
        };
        // What flaps faster than it is looked at would be looked at for ever.
        yield_now().await;
        let due = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => pending().await,
            }
        };
        let newer = registry.wait_for(|data| (data.version > seen.version).then_some(()));
        let further = registry.progress_beyond(seen.progress);
        if let First::Left(Err(RegistryClosed {})) = race(newer, race(further, due)).await {
            return;
        }
    }
}

#[derive(Debug)]
struct Mirror {
    rules: Rules,
    sender: Sender,
    said: SentState,
    /// A message was not taken.
    trouble: Option<Trouble>,
    warned: bool,
}

struct Seen {
    version: u64,
    progress: u64,
}

#[derive(Clone, Copy, Debug)]
struct Trouble {
    lasts: Duration,
    until: Instant,
}

impl Mirror {
    fn new(sender: Sender, rules: Rules) -> Self {
        Self {
            rules,
            sender,
            said: SentState::nothing(Instant::now()),
            trouble: None,
            warned: false,
        }
    }

    /// Says what there is to say. Gives what it has seen, and when to look
    /// again.
    fn look(&mut self, registry: &Registry) -> (Seen, Option<Instant>) {
        let progress = registry.progress();
        let snapshot = registry.load();
        let traffic = registry.traffic();
        let data = &*snapshot.0;
        let drains = data.phase >= Phase::Draining;
        let input = Input {
            data,
            in_flight: traffic.flights.count().filter(|_| drains),
            progress,
            drained_by: traffic.drain_clock.over_at_latest(),
            now: Instant::now(),
            clock: NotifyState::monotonic_usec_now().ok(),
        };
        let seen = Seen {
            version: data.version,
            progress,
        };
        (seen, self.say(&input))
    }

    fn say(&mut self, input: &Input<'_>) -> Option<Instant> {
        if let Some(trouble) = self.trouble.filter(|trouble| trouble.until > input.now) {
            return Some(trouble.until);
        }
        while let Some(Next { message, then }) = self.said.next(&self.rules, input) {
            if let Err(error) = self.sender.send(&message) {
                self.warn(&error);
                return Some(self.try_again(input.now));
            }
            self.said = then;
            self.trouble = None;
        }
        self.said.due(&self.rules, input)
    }

    fn try_again(&mut self, now: Instant) -> Instant {
        // Late is better than never, but not for a ping.
        let most = self
            .rules
            .ping_every
            .map_or(AGAIN_AT_MOST, |every| every / 2);
        let lasts = self
            .trouble
            .map_or(AGAIN_AFTER, |trouble| trouble.lasts * 2)
            .min(most.min(AGAIN_AT_MOST));
        let until = now + lasts;
        self.trouble = Some(Trouble { lasts, until });
        until
    }

    /// The first time only: whoever repairs it needs to know once.
    fn warn(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.warned, true) {
            log(error);
        }
    }
}

#[cfg(feature = "tracing")]
fn log(error: &io::Error) {
    crate::logging::line(tracing::Level::WARN, || {
        let error = error.to_string();
        move |span| {
            crate::logging::event!(
                warn,
                span,
                %error,
                "systemd cannot be told; it is tried again, and not logged again"
            );
        }
    });
}

#[cfg(not(feature = "tracing"))]
fn log(_: &io::Error) {}
