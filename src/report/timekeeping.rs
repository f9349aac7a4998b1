//! What time alone changes is published like any other report, so that every
//! surface sees it in the same version. One task does so when it is due; whoever
//! reads and notices first does it instead, for the task's runtime may be what
//! hangs.

use super::{
    core::{Core, now},
    jobs::JobId,
    keeper::{Event, Looker},
    log,
};
use crate::{
    state::{Moment, Phase, ScopeId, Slot, SubsystemView},
    traffic::{ClassifyOutcome, Shards},
};
use std::{sync::Arc, time::Duration};

impl Core {
    /// Follows what was published of the subsystem in `slot`; to be called
    /// after each publication that touched it.
    pub(super) fn follow(&self, slot: Slot) {
        self.keeper.follow(slot, now().monotonic, |follow| {
            self.look(|data| follow(data.views.get(slot).map(|view| &**view)));
        });
    }

    /// Publishes what is overdue, if anything is. For readers, so cheap as long
    /// as nothing is.
    #[inline]
    pub(crate) fn notice(&self) {
        if self.keeper.is_waiting() {
            self.keep(Looker::Reader, now());
        }
    }

    /// The same, for who sleeps as long as [nothing is due](Self::nothing_due_for).
    pub(crate) fn keep_time(&self) {
        self.keep(Looker::Keeper, now());
    }

    /// How long there is nothing to publish, unless somebody reports; `None`
    /// for ever.
    pub(crate) fn nothing_due_for(&self) -> Option<Duration> {
        let due = self.keeper.due()?;
        Some(due.saturating_duration_since(now().monotonic))
    }

    /// Publishes what time alone has changed, if it is time to look.
    #[cold]
    pub(super) fn keep(&self, looker: Looker, at: Moment) {
        // Readers take no lock for what is not due.
        if self.keeper.due().is_none_or(|due| due > at.monotonic) {
            return;
        }
        let outcomes = &self.traffic().outcomes;
        let sample = || outcomes.sample(at.monotonic.into()).map(Into::into);
        let mut published = Vec::new();
        for (slot, declaration, event) in self.keeper.look(at.monotonic, looker, sample) {
            let mut change = |change: &dyn Fn(&SubsystemView, Phase) -> Option<SubsystemView>| {
                let ((), sealed) = self.publish(|_, draft| {
                    let view = draft.view(slot);
                    let view = view.filter(|view| Arc::ptr_eq(view.declaration(), &declaration));
                    let next = view.and_then(|view| change(view, draft.phase()));
                    if next.is_some() {
                        draft.set(slot, next);
                    }
                });
                published.extend(sealed);
            };
            change(&|view, phase| happened(view, &event, phase, at));
            if let Event::Silence { pulse, seen, .. } = &event {
                if pulse.count_after_publishing() != *seen {
                    // It spoke while we said that it did not, and may have
                    // found that what it said is what is published.
                    change(&|view, _| view.speak_again(at));
                }
            }
        }
        // Only now that all of it is published: a log that nobody reads blocks
        // whoever writes to it.
        published.iter().for_each(|sealed| self.spread(sealed));
        published.into_iter().for_each(log::published);
    }

    /// Takes on a keeper, unless there is one.
    pub(super) fn hire_keeper(self: &Arc<Self>) {
        self.jobs().add(JobId::Keeper, || {
            let core = Arc::downgrade(self);
            Arc::new(move || Some(Box::pin(keep_time(core.upgrade()?))))
        });
    }

    /// Observes what becomes of the requests of a layer: the counters for them.
    pub(crate) fn observe(
        self: &Arc<Self>,
        scope: ScopeId,
        in_flight: bool,
        classifier: Option<&Arc<dyn ClassifyOutcome>>,
    ) -> Arc<Shards> {
        let now = now().monotonic.into();
        let traffic = self.traffic();
        let shards = traffic.observe(scope, in_flight, classifier, now);
        self.follow_disputes();
        self.keeper
            .wake_by(traffic.outcomes.sample(now).map(Into::into));
        self.hire_keeper();
        shards
    }

    /// Follows which gates refuse what the checks see no reason to.
    pub(super) fn follow_disputes(&self) {
        let is_disputed = |scope| self.look(|data| data.is_disputed(scope));
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
            pulse,
            seen,
        } => {
            let silent = pulse.count() == *seen && view.awaits_sign_of_life().is_some();
            // While it drains, tasks end in any order.
            let counts = silent && phase < Phase::Draining;
            counts.then(|| view.fall_silent(*lasted, at))
        }
        Event::Life => view.speak_again(at),
        Event::Time => view.pass_time(at),
    }
}

async fn keep_time(core: Arc<Core>) {
    loop {
        core.keeper.wait().await;
        core.keep_time();
    }
}
