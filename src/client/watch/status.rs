use super::stream::{StreamEvent, StreamUpdate};
use crate::{
    client::causes::causes,
    state::Moment,
    wire::{JsonAnswer, JsonDrain, JsonScope, JsonSubsystem, JsonTick, JsonTransition},
};
use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// How long an event is news. The process sends a tick every 2 seconds.
const OLD_AFTER: Duration = Duration::from_secs(6);

/// The most transitions that are kept; the process keeps as many by default.
const HISTORY: usize = 256;

/// What is known of the process.
#[derive(Default)]
pub(super) struct ProcessStatus {
    /// The newest answer. Its lists are empty: they are in the fields below.
    pub(super) answer: JsonAnswer<'static>,
    pub(super) subsystems: Vec<Known>,
    /// The places in `subsystems`.
    places: HashMap<String, usize>,
    pub(super) scopes: Vec<JsonScope<'static>>,
    /// The oldest first.
    pub(super) history: VecDeque<JsonTransition<'static>>,
    /// When the newest event arrived.
    news: Option<Moment>,
    /// By how many milliseconds the wall clock of the process is ahead of that of this machine,
    /// modulo 2^64, because it may be behind. Zero until the process has sent its time.
    ahead: u64,
    /// When the phase ends, while the process drains or closes.
    phase_ends: Option<Instant>,
    /// Why the stream has ended, until it is back.
    pub(super) lost: Option<String>,
}

/// A subsystem, and when it entered its state, if the process shows that.
pub(super) struct Known {
    pub(super) it: JsonSubsystem<'static>,
    pub(super) since: Option<Instant>,
}

impl ProcessStatus {
    pub(super) fn apply(&mut self, update: StreamUpdate, now: Moment) {
        let event = match update {
            StreamUpdate::Event { event, .. } => event,
            StreamUpdate::Lost(error) => {
                self.lost = Some(causes(&error));
                return;
            }
        };
        (self.news, self.lost) = (Some(now), None);
        match event {
            StreamEvent::State(answer) => {
                *self = Self {
                    news: self.news,
                    ahead: self.ahead,
                    ..Self::default()
                };
                self.change(*answer, now.monotonic);
            }
            StreamEvent::Change(answer) => self.change(*answer, now.monotonic),
            StreamEvent::Tick(tick) => self.tick(tick, now),
        }
    }

    fn change(&mut self, mut answer: JsonAnswer<'static>, now: Instant) {
        if !answer.removed.is_empty() {
            let removed = &answer.removed;
            self.subsystems
                .retain(|known| !removed.contains(&known.it.name));
            let known = self.subsystems.iter().enumerate();
            self.places = known
                .map(|(place, known)| (known.it.name.to_string(), place))
                .collect();
        }
        for it in answer.subsystems.take().unwrap_or_default() {
            let age = it.for_ms.map(Duration::from_millis);
            let since = age.and_then(|age| now.checked_sub(age));
            let known = Known { it, since };
            match self.places.get(&*known.it.name) {
                Some(place) => self.subsystems[*place] = known,
                None => {
                    let name = known.it.name.to_string();
                    self.places.insert(name, self.subsystems.len());
                    self.subsystems.push(known);
                }
            }
        }
        for scope in answer.scopes.drain(..) {
            match self.scopes.iter_mut().find(|it| it.name == scope.name) {
                Some(known) => *known = scope,
                None => self.scopes.push(scope),
            }
        }
        self.history.extend(answer.history.drain(..));
        let excess = self.history.len().saturating_sub(HISTORY);
        self.history.drain(..excess);
        self.set_drain(answer.drain, now);
        self.answer = answer;
    }

    fn tick(&mut self, tick: JsonTick<'static>, now: Moment) {
        self.ahead = tick.time.wrapping_sub(unix_ms(now.wall));
        self.answer.traffic = Some(tick.traffic);
        self.answer.drain = tick.drain;
        self.set_drain(tick.drain, now.monotonic);
    }

    fn set_drain(&mut self, drain: Option<JsonDrain>, now: Instant) {
        let left = drain.and_then(|drain| drain.left_ms);
        self.phase_ends = left.and_then(|left| now.checked_add(Duration::from_millis(left)));
    }

    /// The verdict as a sentence. A tick has none: it is empty until there is an answer.
    pub(super) fn summary(&self) -> &str {
        let answer = &self.answer;
        answer.summary.as_ref().unwrap_or(&answer.status)
    }

    /// Whether there is a status to show.
    pub(super) fn is_known(&self) -> bool {
        !self.summary().is_empty()
    }

    /// Whether the status may be over.
    pub(super) fn is_old(&self, now: Instant) -> bool {
        let is_old = |news: Moment| now.saturating_duration_since(news.monotonic) >= OLD_AFTER;
        self.lost.is_some() || self.news.is_none_or(is_old)
    }

    /// The time of the newest event: by the clock of the process, or by that of this
    /// machine until the process has sent its time.
    pub(super) fn time_of_news(&self) -> Option<u64> {
        Some(unix_ms(self.news?.wall).wrapping_add(self.ahead))
    }

    /// The time that is left of the phase, while the process drains or closes.
    pub(super) fn left(&self, now: Instant) -> Option<Duration> {
        Some(self.phase_ends?.saturating_duration_since(now))
    }
}

/// Milliseconds since 1970; a time before counts as 1970.
fn unix_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::now;

    fn answer(json: &str) -> Box<JsonAnswer<'static>> {
        let json = format!(r#"{{"probe":"status","ok":true,"status":"ready",{json}}}"#);
        Box::new(serde_json::from_str(&json).unwrap())
    }

    fn subsystem(name: &str, state: &str) -> String {
        format!(
            r#"{{"name":"{name}","role":"required","vital":false,"pending":false,"state":"{state}"}}"#
        )
    }

    fn apply(status: &mut ProcessStatus, event: StreamEvent) {
        let data = String::new();
        status.apply(StreamUpdate::Event { event, data }, now());
    }

    fn states(status: &ProcessStatus) -> Vec<(&str, &str)> {
        let known = status.subsystems.iter();
        known
            .map(|known| (&*known.it.name, &*known.it.state))
            .collect()
    }

    #[test]
    fn a_change_replaces_adds_and_removes_and_a_state_replaces_all() {
        let mut status = ProcessStatus::default();
        assert!(!status.is_known() && status.is_old(Instant::now()));
        let three = ["a", "b", "c"]
            .map(|name| subsystem(name, "ready"))
            .join(",");
        let state = || StreamEvent::State(answer(&format!(r#""subsystems":[{three}]"#)));
        apply(&mut status, state());
        assert!(status.is_known());

        let changed = [subsystem("d", "starting"), subsystem("c", "dead")].join(",");
        let change = format!(r#""subsystems":[{changed}],"removed":["b"]"#);
        apply(&mut status, StreamEvent::Change(answer(&change)));
        assert_eq!(
            states(&status),
            [("a", "ready"), ("c", "dead"), ("d", "starting")]
        );
        let change = format!(r#""subsystems":[{}]"#, subsystem("d", "ready"));
        apply(&mut status, StreamEvent::Change(answer(&change)));
        assert_eq!(states(&status)[2], ("d", "ready"));

        apply(&mut status, state());
        assert_eq!(
            states(&status),
            [("a", "ready"), ("b", "ready"), ("c", "ready")]
        );
    }

    #[test]
    fn the_time_of_an_event_is_that_of_its_arrival_by_the_clock_of_the_process() {
        let mut status = ProcessStatus::default();
        let wall = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let mut event = |event, seconds| {
            let data = String::new();
            let now = Moment {
                wall: wall(seconds),
                monotonic: Instant::now(),
            };
            status.apply(StreamUpdate::Event { event, data }, now);
            status.time_of_news()
        };
        let state = || StreamEvent::State(answer(r#""subsystems":[]"#));
        assert_eq!(event(state(), 1_000), Some(1_000_000), "of this machine");
        let tick = include_str!("../../wire/tick.json");
        let mut tick: JsonTick<'_> = serde_json::from_str(tick).unwrap();
        for time in [900_500, 1_100_500] {
            tick.time = time;
            assert_eq!(event(StreamEvent::Tick(tick.clone()), 1_000), Some(time));
            let change = StreamEvent::Change(answer(r#""removed":[]"#));
            assert_eq!(event(change, 1_001), Some(time + 1_000));
            // The stream was lost for an hour.
            assert_eq!(event(state(), 4_600), Some(time + 3_600_000));
        }
    }

    #[test]
    fn the_history_is_bounded() {
        let mut status = ProcessStatus::default();
        for version in 0..2 * HISTORY {
            let transition = format!(r#"{{"version":{version},"kind":"phase","refused":0}}"#);
            let change = format!(r#""history":[{transition}]"#);
            apply(&mut status, StreamEvent::Change(answer(&change)));
        }
        assert_eq!(status.history.len(), HISTORY);
        assert_eq!(status.history[0].version, HISTORY as u64);
    }
}
