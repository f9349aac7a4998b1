//! What time alone changes is published like any other report, so that every
//! surface sees it in the same version. One task does so when it is due; a reader
//! that notices first does it instead, and so does the timer thread a little
//! later, for the runtime of the task may hang, have ended, or have no thread.

use super::{
    background::TaskId,
    core::{Registry, now},
    log::DueLines,
    timer::{Caller, Event, LookAt, Reading},
    timer_thread,
};
use crate::{
    state::{Moment, Phase, ScopeId, Slot, State, SubsystemView},
    traffic::{ClassifyOutcome, ShardedCounters},
};
use std::{sync::Arc, time::Instant};

impl Registry {
    /// Follows what was published of the subsystem in `slot`; to be called
    /// after each publication that touched it.
    pub(super) fn update_timer(&self, slot: Slot) {
        let look_at = self.timer.follow(slot, Reading::take(), |follow| {
            self.read(|data| follow(data.views.get(slot).map(|view| &**view)));
        });
        self.wake_timer_thread(look_at);
    }

    fn wake_timer_thread(&self, LookAt(at): LookAt) {
        if let Some(at) = at {
            timer_thread::look_at(self.weak(), at);
        }
    }

    /// Publishes what is overdue, if anything is, and starts what could not run
    /// until now. For readers, so cheap as long as there is neither.
    #[inline]
    pub(crate) fn publish_overdue(&self) {
        self.background().start();
        if self.timer.is_waiting() && self.timer.is_due(tokio::time::Instant::now().into_std()) {
            self.run_timer(Caller::Reader, now(), Reading::take());
        }
    }

    /// What the timer thread does at the moment that was `planned`, and when it
    /// is to come again.
    pub(super) fn run_on_timer_thread(&self, planned: Instant) -> Option<Instant> {
        let reading = Reading::take();
        if self.timer.is_overdue(reading.real) {
            self.run_timer(Caller::Thread { planned }, now(), reading);
        }
        let unpolled = self.background().suspect_unpolled(reading.real);
        let due = self.timer.plan_thread();
        unpolled.into_iter().chain(due).min()
    }

    /// Publishes what time alone has changed, if it is time to look.
    #[cold]
    pub(super) fn run_timer(&self, caller: Caller, at: Moment, reading: Reading) {
        // No lock is taken for what is not due.
        if !self.timer.is_due(reading.now) {
            return;
        }
        let outcomes = &self.traffic().outcomes;
        let mut lines = DueLines::default();
        let sample = || {
            let sample = outcomes.sample(reading.now.into()).map(Into::into);
            let line = lines.find(self, reading.now);
            sample.into_iter().chain(line).min()
        };
        let mut published = Vec::new();
        let (events, look_at) = self.timer.look(reading, caller, sample);
        for (slot, declaration, event) in &events {
            let mut change = |change: &dyn Fn(&SubsystemView, Phase) -> Option<SubsystemView>| {
                let ((), new) = self.publish(|_, draft| {
                    let view = draft.view(*slot);
                    let view = view.filter(|view| Arc::ptr_eq(view.declaration(), declaration));
                    let next = view.and_then(|view| change(view, draft.phase()));
                    if next.is_some() {
                        draft.set(*slot, next);
                    }
                });
                published.extend(new);
            };
            change(&|view, phase| happened(view, event, phase, at));
            if let Event::Silence {
                heartbeat, seen, ..
            } = event
            {
                if heartbeat.count_after_publishing() != *seen {
                    // It spoke while we said that it did not, and may have
                    // found that what it said is what is published.
                    change(&|view, _| view.end_staleness(at));
                }
            }
        }
        self.wake_timer_thread(look_at);
        // Only now that all of it is published: a waker of the application may
        // take long.
        published.iter().for_each(|new| self.notify(&new.sealed));
        published.into_iter().for_each(|new| new.finish(self));
        lines.log(self);
        for (slot, _, event) in &events {
            if matches!(event, Event::Silence { .. }) {
                // A check that is not heard of may be one that is not run.
                self.background().suspect(TaskId::Check(*slot));
            }
        }
    }

    /// Takes on a keeper, unless there is one.
    pub(super) fn start_timer(self: &Arc<Self>) {
        self.background().add(TaskId::TtlTimer, || {
            let registry = Arc::downgrade(self);
            Arc::new(move || Some(Box::pin(timer_task(registry.upgrade()?))))
        });
    }

    /// Looks at `due` for lines that are to be logged.
    #[cfg(feature = "tracing")]
    pub(super) fn log_at(&self, due: Instant) {
        let Some(registry) = self.weak().upgrade() else {
            return;
        };
        registry.start_timer();
        let look_at = self.timer.wake_by(Some(due), Reading::take());
        self.wake_timer_thread(look_at);
        self.background().start();
    }

    /// Observes what becomes of the requests of a layer: the counters for them.
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
        let look_at = self.timer.wake_by(due, Reading::take());
        self.wake_timer_thread(look_at);
        self.start_timer();
        shards
    }

    /// Follows which gates refuse what the checks see no reason to.
    pub(super) fn update_disputes(&self) {
        let is_disputed = |scope| self.read(|data| data.is_disputed(scope));
        let now = now().monotonic.into();
        self.traffic().outcomes.dispute(now, is_disputed);
    }
}

/// What has become of a subsystem, or `None` if it is as it was.
fn happened(
    view: &SubsystemView,
    event: &Event,
    phase: Phase,
    at: Moment,
) -> Option<SubsystemView> {
    match event {
        Event::Silence {
            lasted,
            heartbeat,
            seen,
        } => {
            let silent = heartbeat.count() == *seen && view.active_ttl().is_some();
            // While it drains, tasks end in any order.
            let counts = silent && phase < Phase::Draining;
            counts.then(|| view.become_stale(*lasted, at))
        }
        Event::Late { .. } if phase >= Phase::Draining => view.end_staleness(at),
        Event::Late { lasted } => {
            let spoken = view.end_staleness(at);
            let reason = format!("no turn for {lasted:.0?}, while others get theirs");
            let view = spoken.as_ref().unwrap_or(view);
            Some(view.report(State::Degraded, Some(&reason), at))
        }
        Event::Life => view.end_staleness(at),
        Event::Time => view.pass_time(at),
    }
}

async fn timer_task(registry: Arc<Registry>) {
    loop {
        registry.timer.wait().await;
        registry.run_timer(Caller::TtlTimer, now(), Reading::take());
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

    /// What the keeper finds so long after the report, by the clock of the
    /// runtime and by the real one.
    fn found(readiness: &Readiness, begun: Reading, now: Duration, real: Duration) -> State {
        let reading = Reading {
            now: begun.now + now,
            real: begun.real + real,
            is_paused: now != real,
        };
        let at = Moment {
            monotonic: reading.now,
            ..super::now()
        };
        readiness
            .registry()
            .run_timer(Caller::TtlTimer, at, reading);
        let data = readiness.registry().load();
        data.subsystem("policy").unwrap().state()
    }

    #[test]
    fn a_process_that_was_frozen_gives_one_more_ttl() {
        let (readiness, policy, begun) = silent();
        let found = |time| found(&readiness, begun, time, time);
        let looks = [0, 1, 2, 3, 4].map(|quarter| found(TTL * 100 + TTL / 4 * quarter));
        assert_eq!(looks[..4], [State::Ready; 4]);
        assert_eq!(looks[4], State::Stale);
        drop(policy);
    }

    /// A check speaks for it, so that it may not fall silent.
    #[cfg(feature = "check")]
    #[test]
    fn to_leave_ready_is_a_sign_of_life() {
        let second = Duration::from_secs(1);
        let check: super::super::Check = Arc::new(|_| Box::pin(std::future::pending()));
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

    #[test]
    fn a_paused_clock_that_is_moved_ahead_is_no_freeze() {
        let (readiness, policy, begun) = silent();
        let real = Duration::from_millis(1);
        assert_eq!(found(&readiness, begun, TTL * 100, real), State::Stale);
        drop(policy);
    }
}
