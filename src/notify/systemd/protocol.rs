use super::{options::ExtendStart, status::Status};
use crate::state::{Data, Phase};
use sd_notify::NotifyState;
use std::time::Duration;
use tokio::time::Instant;

/// Between two messages that can wait. What flaps is not to keep systemd busy.
const GAP: Duration = Duration::from_millis(100);

/// How often a status is written anew that shows an age or a count.
const AGE_EVERY: Duration = Duration::from_secs(1);

/// How often, and by how much, the stop is extended. One lost message in
/// between does no harm.
const EXTEND_STOP_EVERY: Duration = Duration::from_secs(5);
const EXTEND_STOP_BY: Duration = Duration::from_secs(15);

/// What a process that has been cut off takes to end.
const END: Duration = Duration::from_secs(2);

/// What is to be said beyond what is always said.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    pub(super) ping_every: Option<Duration>,
    pub(super) trigger: bool,
    pub(super) extend_start: Option<ExtendStart>,
    pub(super) extend_stop: bool,
}

/// Everything that a message depends on, as it is now.
pub(super) struct Input<'a> {
    pub(super) data: &'a Data,
    pub(super) in_flight: Option<usize>,
    /// How often the start has got further.
    pub(super) progress: u64,
    /// When the drain is over at the latest, if that is known.
    pub(super) drained_by: Option<Instant>,
    pub(super) now: Instant,
    /// `CLOCK_MONOTONIC`, which a reload is told with.
    pub(super) clock: Option<NotifyState<'static>>,
}

impl Input<'_> {
    fn drains(&self) -> bool {
        self.data.phase >= Phase::Draining
    }

    fn is_live(&self) -> bool {
        self.data.process.verdict.is_live()
    }

    fn has_started(&self) -> bool {
        self.data.process.verdict.has_started()
    }

    fn status(&self) -> Status {
        Status::of(self.data, self.in_flight, self.now.into_std())
    }
}

/// What systemd has been told, which is what it goes by. It changes only when a
/// message has arrived there.
#[derive(Clone, Debug)]
pub(super) struct SentState {
    since: Instant,
    ready: bool,
    stopping: bool,
    triggered: bool,
    reloading: bool,
    /// How many reloads had begun.
    reloads: u64,
    /// How far the start was when it was extended.
    progress: u64,
    pinged: Option<Instant>,
    stop_extended: Option<Instant>,
    status: String,
    /// When something was said that could have waited.
    chatted: Option<Instant>,
}

/// A message, and what has been said once it has arrived.
pub(super) struct Next {
    pub(super) message: String,
    pub(super) then: SentState,
}

impl SentState {
    /// Nothing so far.
    pub(super) fn nothing(now: Instant) -> Self {
        Self {
            since: now,
            ready: false,
            stopping: false,
            triggered: false,
            reloading: false,
            reloads: 0,
            progress: 0,
            pinged: None,
            stop_extended: None,
            status: String::new(),
            chatted: None,
        }
    }

    /// The next message, if there is anything to say. There may be another one
    /// after it: of `READY`, `RELOADING` and `STOPPING` in one message, systemd
    /// sees but the last.
    pub(super) fn next(&self, rules: &Rules, input: &Input<'_>) -> Option<Next> {
        let mut then = self.clone();
        let mut says = Vec::new();
        if let Some(turn) = then.turn(input) {
            let reloads = matches!(turn, NotifyState::Reloading);
            says.push(turn);
            says.extend(input.clock.clone().filter(|_| reloads));
        }
        says.extend(then.trigger(rules, input));
        says.extend(then.ping(rules, input));
        let extended = then
            .extend_start(rules, input)
            .or_else(|| then.extend_stop(rules, input))
            .map(extension);
        says.extend(extended.as_deref().map(NotifyState::Custom));
        let status = input.status().text;
        if status != self.status && (!says.is_empty() || self.may_chat(input.now)) {
            says.push(NotifyState::Status(&status));
            then.chatted = Some(input.now);
            then.status.clone_from(&status);
        }
        if says.is_empty() {
            return None;
        }
        let lines: Vec<_> = says.iter().map(ToString::to_string).collect();
        let message = lines.join("\n");
        Some(Next { message, then })
    }

    /// What the process turns to: ready, reloading, ready again, stopping.
    fn turn(&mut self, input: &Input<'_>) -> Option<NotifyState<'static>> {
        let reloads = input.data.reloads;
        if input.has_started() && !self.ready {
            self.ready = true;
            // Those that are over have never been of interest.
            self.reloads = reloads.begun - u64::from(reloads.under_way > 0);
            return Some(NotifyState::Ready);
        }
        if input.drains() {
            let told = std::mem::replace(&mut self.stopping, true);
            return (!told).then_some(NotifyState::Stopping);
        }
        if self.ready && reloads.begun > self.reloads {
            self.reloads = reloads.begun;
            self.reloading = true;
            return Some(NotifyState::Reloading);
        }
        if self.reloading && reloads.under_way == 0 {
            self.reloading = false;
            return Some(NotifyState::Ready);
        }
        None
    }

    fn trigger(&mut self, rules: &Rules, input: &Input<'_>) -> Option<NotifyState<'static>> {
        let red = !input.is_live();
        let told = std::mem::replace(&mut self.triggered, red);
        (rules.trigger && red && !told).then_some(NotifyState::WatchdogTrigger)
    }

    fn ping(&mut self, rules: &Rules, input: &Input<'_>) -> Option<NotifyState<'static>> {
        let due = self.ping_due(rules, input)? <= input.now;
        due.then(|| {
            self.pinged = Some(input.now);
            NotifyState::Watchdog
        })
    }

    fn ping_due(&self, rules: &Rules, input: &Input<'_>) -> Option<Instant> {
        let every = rules.ping_every.filter(|_| input.is_live())?;
        Some(self.pinged.map_or(input.now, |pinged| pinged + every))
    }

    fn extend_start(&mut self, rules: &Rules, input: &Input<'_>) -> Option<Duration> {
        let by = self.start_can_be_extended(rules, input)?;
        let may = self.may_chat(input.now);
        may.then(|| {
            self.progress = input.progress;
            self.chatted = Some(input.now);
            by
        })
    }

    /// By how much, if it has got further.
    fn start_can_be_extended(&self, rules: &Rules, input: &Input<'_>) -> Option<Duration> {
        let ExtendStart { each, total } = rules.extend_start?;
        let left = (self.since + total).saturating_duration_since(input.now);
        let waits = !input.has_started() && !input.drains() && !left.is_zero();
        (waits && input.progress > self.progress).then_some(each.min(left))
    }

    fn extend_stop(&mut self, rules: &Rules, input: &Input<'_>) -> Option<Duration> {
        let left = Self::stop_can_be_extended(rules, input)?;
        let due = self.stop_extension_due(input) <= input.now;
        due.then(|| {
            self.stop_extended = Some(input.now);
            (left + END).min(EXTEND_STOP_BY)
        })
    }

    fn stop_can_be_extended(rules: &Rules, input: &Input<'_>) -> Option<Duration> {
        let by = input
            .drained_by
            .filter(|_| rules.extend_stop && input.drains())?;
        let left = by.saturating_duration_since(input.now);
        (!left.is_zero()).then_some(left)
    }

    fn stop_extension_due(&self, input: &Input<'_>) -> Instant {
        self.stop_extended
            .map_or(input.now, |extended| extended + EXTEND_STOP_EVERY)
    }

    fn may_chat(&self, now: Instant) -> bool {
        self.chatted.is_none_or(|chatted| now >= chatted + GAP)
    }

    /// When there will be something to say, unless something is published
    /// before. Everything that is due has been said.
    pub(super) fn due(&self, rules: &Rules, input: &Input<'_>) -> Option<Instant> {
        let now = input.now;
        let status = input.status();
        let can_wait =
            status.text != self.status || self.start_can_be_extended(rules, input).is_some();
        let chat = self.chatted.map(|chatted| chatted + GAP);
        let chat = chat.filter(|_| can_wait);
        let age = status.ages.then(|| now + AGE_EVERY);
        let stop = Self::stop_can_be_extended(rules, input).map(|_| self.stop_extension_due(input));
        [chat, age, stop, self.ping_due(rules, input)]
            .into_iter()
            .flatten()
            .min()
    }
}

/// In full: `NotifyState` has 32 bits for it, little more than an hour, where
/// systemd reads 64.
fn extension(by: Duration) -> String {
    format!("EXTEND_TIMEOUT_USEC={}", by.as_micros())
}

#[cfg(test)]
mod tests;
