use super::status::StatusLine;
use crate::state::{Data, Phase};
use sd_notify::NotifyState;
use std::time::Duration;
use tokio::time::Instant;

/// The shortest time between two deferrable messages, so that a subsystem that
/// flaps does not keep systemd busy.
const GAP: Duration = Duration::from_millis(100);

/// The interval at which a status with an age or a count is rendered again.
const REFRESH_EVERY: Duration = Duration::from_secs(1);

/// The interval and the length of the stop extensions. One lost message in
/// between does no harm.
const EXTEND_STOP_EVERY: Duration = Duration::from_secs(5);
const EXTEND_STOP_BY: Duration = Duration::from_secs(15);

/// The time that a process takes to exit after its cap.
const EXIT: Duration = Duration::from_secs(2);

/// Which optional messages to send.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    pub(super) ping_every: Option<Duration>,
    pub(super) trigger: bool,
    pub(super) extend_start: Option<ExtendStart>,
    pub(super) extend_stop: bool,
}

/// By how much each progress report extends the start, and the longest start.
#[derive(Clone, Copy, Debug)]
pub(super) struct ExtendStart {
    pub(super) each: Duration,
    pub(super) total: Duration,
}

/// The current state that the messages depend on.
pub(super) struct Input<'a> {
    pub(super) data: &'a Data,
    pub(super) in_flight: Option<usize>,
    /// The number of progress reports of the start.
    pub(super) progress: u64,
    /// The latest end of the drain, if a `Shutdown` sets a cap.
    pub(super) drained_by: Option<Instant>,
    pub(super) now: Instant,
    /// The `CLOCK_MONOTONIC` timestamp that `RELOADING=1` requires.
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

    fn status(&self) -> StatusLine {
        StatusLine::render(self.data, self.in_flight, self.now.into_std())
    }
}

/// The content of the messages sent so far, which is the state that systemd has
/// of this process. It changes only when a message was sent successfully.
#[derive(Clone, Debug)]
pub(super) struct SentState {
    since: Instant,
    ready: bool,
    stopping: bool,
    triggered: bool,
    reloading: bool,
    /// The number of reloads begun, at the last message.
    reloads: u64,
    /// The number of progress reports at the last extension of the start.
    progress: u64,
    pinged: Option<Instant>,
    stop_extended: Option<Instant>,
    status: String,
    /// The time of the last deferrable message (a status, or an extension of the
    /// start).
    deferrable_at: Option<Instant>,
}

/// A message, and the state after it was sent successfully.
pub(super) struct NextMessage {
    pub(super) message: String,
    pub(super) after: SentState,
}

impl SentState {
    /// Returns the state before the first message.
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
            deferrable_at: None,
        }
    }

    /// Returns the next message that is due, if any. Another may follow at once:
    /// of `READY`, `RELOADING` and `STOPPING` in one message, systemd sees only
    /// the last.
    pub(super) fn next(&self, rules: &Rules, input: &Input<'_>) -> Option<NextMessage> {
        let mut after = self.clone();
        let mut assignments = Vec::new();
        if let Some(transition) = after.transition(input) {
            let reloads = matches!(transition, NotifyState::Reloading);
            assignments.push(transition);
            assignments.extend(input.clock.clone().filter(|_| reloads));
        }
        assignments.extend(after.trigger(rules, input));
        assignments.extend(after.ping(rules, input));
        let extended = after
            .extend_start(rules, input)
            .or_else(|| after.extend_stop(rules, input))
            .map(extension);
        assignments.extend(extended.as_deref().map(NotifyState::Custom));
        let status = input.status().text;
        if status != self.status && (!assignments.is_empty() || self.gap_is_over(input.now)) {
            assignments.push(NotifyState::Status(&status));
            after.deferrable_at = Some(input.now);
            after.status.clone_from(&status);
        }
        if assignments.is_empty() {
            return None;
        }
        let lines: Vec<_> = assignments.iter().map(ToString::to_string).collect();
        let message = lines.join("\n");
        Some(NextMessage { message, after })
    }

    /// Returns the transition to send next: ready, reloading, ready again,
    /// stopping.
    fn transition(&mut self, input: &Input<'_>) -> Option<NotifyState<'static>> {
        let reloads = input.data.reloads;
        if input.has_started() && !self.ready {
            self.ready = true;
            // Reloads that ended before the start are not sent.
            self.reloads = reloads.begun - u64::from(reloads.under_way > 0);
            return Some(NotifyState::Ready);
        }
        if input.drains() {
            let was_sent = std::mem::replace(&mut self.stopping, true);
            return (!was_sent).then_some(NotifyState::Stopping);
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
        let was_sent = std::mem::replace(&mut self.triggered, red);
        (rules.trigger && red && !was_sent).then_some(NotifyState::WatchdogTrigger)
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
        let by = self.start_extension(rules, input)?;
        let may = self.gap_is_over(input.now);
        may.then(|| {
            self.progress = input.progress;
            self.deferrable_at = Some(input.now);
            by
        })
    }

    /// Returns the length of the extension, if the start has made progress since
    /// the last.
    fn start_extension(&self, rules: &Rules, input: &Input<'_>) -> Option<Duration> {
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
            (left + EXIT).min(EXTEND_STOP_BY)
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

    fn gap_is_over(&self, now: Instant) -> bool {
        self.deferrable_at.is_none_or(|at| now >= at + GAP)
    }

    /// Returns the time of the next message, if no snapshot is published before.
    /// Call it after all messages that are due were sent.
    pub(super) fn due(&self, rules: &Rules, input: &Input<'_>) -> Option<Instant> {
        let now = input.now;
        let status = input.status();
        let has_deferred =
            status.text != self.status || self.start_extension(rules, input).is_some();
        let deferred = self.deferrable_at.map(|at| at + GAP);
        let deferred = deferred.filter(|_| has_deferred);
        let refresh = status.changes_with_time.then(|| now + REFRESH_EVERY);
        let stop = Self::stop_can_be_extended(rules, input).map(|_| self.stop_extension_due(input));
        [deferred, refresh, stop, self.ping_due(rules, input)]
            .into_iter()
            .flatten()
            .min()
    }
}

/// Renders `EXTEND_TIMEOUT_USEC`. `NotifyState` has 32 bits for it, little more
/// than an hour; systemd reads 64.
fn extension(by: Duration) -> String {
    format!("EXTEND_TIMEOUT_USEC={}", by.as_micros())
}

#[cfg(test)]
mod tests;
