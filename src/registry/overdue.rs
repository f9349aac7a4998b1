//! Publishes changes that are due at a time, like any report, so that every reader
//! sees them in the same version. The timer task publishes a change when it is due,
//! unless a reader comes first. The timer thread publishes it a little later, in
//! case the runtime of the task hangs, has ended, or has no thread.

use super::{
    background::TaskId,
    core::{Registry, now},
    log::DueLines,
    timer::{Caller, Expired, Reading, TtlEvent, WakeThreadAt},
    timer_thread,
};
use crate::state::{Moment, Phase, Slot, State, SubsystemView};
#[cfg(all(feature = "gate", feature = "tracing"))]
use crate::{state::Reason, traffic::RefusalEpisode};
#[cfg(feature = "gate")]
use crate::{
    state::ScopeId,
    traffic::{ClassifyOutcome, ShardedCounters},
};
use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

impl Registry {
    /// Updates the timer of the subsystem in `slot`, after each publication that
    /// changed the subsystem.
    pub(super) fn update_timer(&self, slot: Slot) {
        let wake_at = self.timer.update(slot, Reading::take(), |set| {
            self.read(|data| set(data.views.get(slot).map(|view| &**view)));
        });
        self.wake_timer_thread(wake_at);
    }

    fn wake_timer_thread(&self, WakeThreadAt(at): WakeThreadAt) {
        if let Some(at) = at {
            timer_thread::wake_at(self.weak().clone(), at);
        }
    }

    /// Publishes overdue changes and starts idle tasks. Every reader calls it
    /// first, so it is cheap if there are none.
    #[inline]
    pub(crate) fn publish_overdue(&self) {
        self.background().start();
        if self.timer.is_waiting() && self.timer.is_due(tokio::time::Instant::now().into_std()) {
            self.run_timer(Caller::Reader, Reading::take());
        }
    }

    /// Publishes the changes that are due, and logs the lines that are due.
    #[cold]
    pub(super) fn run_timer(&self, caller: Caller, reading: Reading) {
        // Avoids the lock before the next deadline.
        if !self.timer.is_due(reading.now) {
            return;
        }
        // The time at which the deadlines are taken: at an earlier one, the view of a
        // taken deadline would not change any more.
        let at = Moment {
            wall: SystemTime::now(),
            monotonic: reading.now,
        };
        self.run_groups(caller, reading);
        let outcomes = &self.traffic().outcomes;
        let mut lines = DueLines::default();
        let sample = || {
            let sample = outcomes.sample(reading.now.into()).map(Into::into);
            let newest = || self.load();
            let line = lines.collect(&self.scheduled_lines, self.traffic(), newest, reading.now);
            // Reads the groups last, so that no change is missed that came meanwhile.
            let group = self.groups().due();
            sample.into_iter().chain(line).chain(group).min()
        };
        let mut published = Vec::new();
        let (events, wake_at) = self.timer.check(reading, caller, sample);
        for expired in &events {
            let slot = expired.slot;
            let mut change = |change: &dyn Fn(&SubsystemView, Phase) -> Option<SubsystemView>| {
                let ((), new) = self.publish(|_, draft| {
                    let view = draft.view(slot).filter(|view| expired.is_of(view));
                    let next = view.and_then(|view| change(view, draft.phase()));
                    if next.is_some() {
                        draft.set(slot, next);
                    }
                });
                published.extend(new);
            };
            change(&|view, phase| view_after(view, expired, phase, at));
            if let TtlEvent::Silence { seen, .. } = expired.event {
                if expired.heartbeat.count_after_publishing() != seen {
                    // The subsystem reported while this published that it is stale.
                    // The report may have found its state published already.
                    change(&|view, _| view.end_staleness(at));
                }
            }
        }
        self.wake_timer_thread(wake_at);
        // After all is published, since a waker of the application may take long.
        published.iter().for_each(|new| self.notify(&new.published));
        published.into_iter().for_each(|new| new.finish(self));
        lines.log(|| self.load());
        for Expired {
            declaration, event, ..
        } in events
        {
            if matches!(event, TtlEvent::Silence { .. }) {
                // A check without a heartbeat may be on a runtime that is stuck.
                self.background().suspect(TaskId::of_check(&declaration));
            }
        }
        // Last, since a destructor of the application may take long.
        outcomes.retire();
    }

    /// Adds the timer task, unless it exists.
    pub(super) fn start_timer(self: &Arc<Self>) {
        self.background().add(TaskId::TtlTimer, || {
            let registry = Arc::downgrade(self);
            Arc::new(move || Some(Box::pin(timer_task(registry.upgrade()?))))
        });
    }

    /// Lets the timer run at `due`, for lines in the log or for groups.
    pub(super) fn run_timer_at(&self, due: Instant) {
        let Some(registry) = self.weak().upgrade() else {
            return;
        };
        registry.start_timer();
        let wake_at = self.timer.wake_by(Some(due), Reading::take());
        self.wake_timer_thread(wake_at);
        self.background().start();
    }

    /// Logs at intervals which subsystems the start waits for.
    #[cfg(feature = "tracing")]
    pub(super) fn log_start(&self) {
        let (newest, now) = (|| self.load(), now().monotonic);
        let mut none_yet = DueLines::default();
        if let Some(due) = none_yet.collect(&self.scheduled_lines, self.traffic(), newest, now) {
            self.run_timer_at(due);
        }
    }

    /// Registers a layer whose requests are counted, and returns its counters.
    #[cfg(feature = "gate")]
    pub(crate) fn observe(
        self: &Arc<Self>,
        scope: ScopeId,
        in_flight: bool,
        classifier: Option<&Arc<dyn ClassifyOutcome>>,
    ) -> Arc<ShardedCounters> {
        let now = now().monotonic.into();
        let traffic = self.traffic();
        let shards = traffic.observe(scope, in_flight, classifier, now);
        self.update_disputes();
        let due = traffic.outcomes.sample(now).map(Into::into);
        let wake_at = self.timer.wake_by(due, Reading::take());
        self.wake_timer_thread(wake_at);
        self.start_timer();
        shards
    }

    /// Updates in which scopes the outcomes of requests and the reports disagree.
    pub(super) fn update_disputes(&self) {
        let is_disputed = |scope| self.read(|data| data.is_disputed(scope));
        let now = now().monotonic.into();
        self.traffic().outcomes.dispute(now, is_disputed);
    }
}

#[cfg(all(feature = "gate", feature = "tracing"))]
impl Registry {
    /// The episode in which the gates of a scope count refused requests.
    pub(crate) fn episode(&self, scope: ScopeId, dry_run: bool) -> Arc<RefusalEpisode> {
        let episodes = &self.traffic().episodes;
        episodes.get_or_insert(scope, dry_run, now().monotonic)
    }

    /// Counts a refused request, and logs it if it is the first of an episode.
    pub(crate) fn log_refused(&self, episode: &RefusalEpisode, reason: Reason) {
        let at = now().monotonic;
        if episode.count(reason, at) {
            self.log_first_refused(episode, at);
        }
    }

    #[cold]
    fn log_first_refused(&self, episode: &RefusalEpisode, at: Instant) {
        if let Some((event, due)) = episode.begin(at, self.load()) {
            super::log::log_refusals(event);
            self.run_timer_at(due);
        }
    }
}

/// The view of a subsystem after the event of `expired`, or `None` if it stays the same.
fn view_after(
    view: &SubsystemView,
    expired: &Expired,
    phase: Phase,
    at: Moment,
) -> Option<SubsystemView> {
    match expired.event {
        TtlEvent::Silence { lasted, seen } => {
            let silent = expired.heartbeat.count() == seen && view.active_ttl().is_some();
            // While the process drains, tasks end in any order.
            let counts = silent && phase < Phase::Draining;
            counts.then(|| view.become_stale(lasted, at))
        }
        TtlEvent::Late { .. } if phase >= Phase::Draining => view.end_staleness(at),
        TtlEvent::Late { lasted } => {
            let recovered = view.end_staleness(at);
            let reason = format!("not polled for {lasted:.0?}, while other tasks are");
            let view = recovered.as_ref().unwrap_or(view);
            Some(view.report(State::Degraded, Some(&reason), at))
        }
        TtlEvent::Recovered => view.end_staleness(at),
        TtlEvent::Time => view.pass_time(phase, at),
    }
}

async fn timer_task(registry: Arc<Registry>) {
    loop {
        registry.timer.wait().await;
        registry.run_timer(Caller::TtlTimer, Reading::take());
    }
}

#[cfg(all(test, not(tower_readiness_loom)))]
mod tests {
    use super::*;
    use crate::{Readiness, Reporter, Subsystem};
    use std::time::Duration;

    const TTL: Duration = Duration::from_secs(8);

    fn silent() -> (Readiness, Reporter, Reading) {
        let policy = Subsystem::new("policy").ttl(TTL);
        let readiness = Readiness::builder().subsystem(policy).build().unwrap();
        let policy = readiness.reporter("policy").unwrap();
        policy.ready();
        (readiness, policy, Reading::take())
    }

    /// The state after the timer has run, `now` after the report by the clock of
    /// the runtime and `real` after it by the real clock.
    fn found(readiness: &Readiness, begun: Reading, now: Duration, real: Duration) -> State {
        let reading = Reading {
            now: begun.now + now,
            real: begun.real + real,
            is_paused: now != real,
        };
        readiness.registry().run_timer(Caller::TtlTimer, reading);
        let data = readiness.registry().load();
        data.subsystem("policy").unwrap().state()
    }

    #[test]
    fn a_process_that_was_stopped_gives_one_more_ttl() {
        let (readiness, policy, begun) = silent();
        let found = |time| found(&readiness, begun, time, time);
        let states = [0, 1, 2, 3, 4].map(|quarter| found(TTL * 100 + TTL / 4 * quarter));
        assert_eq!(states[..4], [State::Ready; 4]);
        assert_eq!(states[4], State::Stale);
        drop(policy);
    }

    /// The state after an event of the timer, whose subsystem has sent `beats` meanwhile.
    /// `None` if it stays the same.
    fn after(event: TtlEvent, beats: u32, phase: Phase) -> Option<State> {
        let (readiness, policy, _) = silent();
        let registry = readiness.registry();
        let data = registry.load();
        let view = data.subsystem("policy").unwrap();
        let declaration = Arc::clone(view.declaration());
        let heartbeat = registry.timer.heartbeat_of(Slot(0), &declaration).unwrap();
        let event = match event {
            TtlEvent::Silence { lasted, .. } => TtlEvent::Silence {
                lasted,
                seen: heartbeat.count(),
            },
            other => other,
        };
        (0..beats).for_each(|_| heartbeat.beat());
        let expired = Expired {
            slot: Slot(0),
            declaration,
            heartbeat,
            event,
        };
        let after = view_after(view, &expired, phase, now());
        drop(policy);
        after.map(|view| view.state())
    }

    #[test]
    fn a_heartbeat_that_follows_the_deadline_keeps_the_subsystem_ready() {
        let silence = TtlEvent::Silence {
            lasted: TTL,
            seen: 0,
        };
        assert_eq!(after(silence, 0, Phase::Started), Some(State::Stale));
        assert_eq!(after(silence, 1, Phase::Started), None);
        assert_eq!(after(silence, 0, Phase::Draining), None);
    }

    #[test]
    fn a_runtime_that_is_late_is_degraded_until_the_process_drains() {
        let late = TtlEvent::Late { lasted: TTL };
        assert_eq!(after(late, 0, Phase::Started), Some(State::Degraded));
        assert_eq!(after(late, 0, Phase::Draining), None);
    }

    /// A subsystem with a check may still become stale.
    #[cfg(feature = "check")]
    #[test]
    fn leave_ready_counts_as_a_heartbeat() {
        let second = Duration::from_secs(1);
        let check = super::super::Check {
            thresholds: crate::state::Thresholds::FIRST,
            start: Arc::new(|_, _| Box::pin(std::future::pending())),
        };
        let policy = Subsystem::new("policy").ttl(TTL);
        let policy = policy.with_check(second, second, Ok(check));
        let readiness = Readiness::builder().subsystem(policy).build().unwrap();
        let policy = readiness.reporter("policy").unwrap();
        policy.ready();
        let registry = readiness.registry();
        let declaration = registry.read(|data| {
            let view = data.subsystem("policy").unwrap();
            Arc::clone(view.declaration())
        });
        let heartbeat = registry.timer.heartbeat_of(Slot(0), &declaration).unwrap();
        let before = heartbeat.count();
        policy.leave_ready();
        assert_eq!(heartbeat.count(), before + 1);
    }

    /// The clock goes on between the reading and the publication.
    #[test]
    fn a_deadline_changes_the_view_at_the_time_that_was_read() {
        let hold = Duration::from_secs(60);
        let (held, pending) = (Subsystem::new("held"), Subsystem::new("pending"));
        let readiness = Readiness::builder().subsystem(held.hold_down(hold));
        let readiness = readiness.build().unwrap();
        let held = readiness.reporter("held").unwrap();
        held.ready();
        held.failing("down");
        let pending = readiness.add(pending.ready_within(hold)).unwrap();
        let read = Instant::now() + hold;
        let reading = Reading {
            now: read,
            real: read,
            is_paused: false,
        };
        let registry = readiness.registry();
        registry.run_timer(Caller::TtlTimer, reading);
        let data = registry.load();
        let found = |name| data.subsystem(name).unwrap();
        assert_eq!(found("held").state(), State::Failing);
        assert!(!found("pending").is_pending());
        drop((held, pending));
    }

    #[test]
    fn a_paused_clock_that_is_advanced_does_not_count_as_a_stop() {
        for real in [Duration::from_millis(1), TTL * 200] {
            let (readiness, policy, begun) = silent();
            assert_eq!(found(&readiness, begun, TTL * 100, real), State::Stale);
            drop(policy);
        }
    }
}
