//! Publishes the counts and the state of groups, as reports of their subsystems.

use super::{
    members::{Inner, Members},
    pace::Publish,
    table::Table,
};
use crate::{
    registry::{
        core::{Registry, now},
        timer::{Caller, Reading},
    },
    state::Phase,
};
use std::time::Instant;

/// How many slots are looked at under the lock of a group at once, so that a report
/// waits for no more than that.
pub(super) const CHUNK: usize = 256;

impl Registry {
    /// Changes the members, and publishes the change now or later.
    pub(super) fn change_members<R>(
        &self,
        group: &Members,
        change: impl FnOnce(&mut Table, Instant) -> R,
    ) -> R {
        let at = tokio::time::Instant::now().into_std();
        let (result, publish, look_at) = {
            let mut inner = group.inner.lock();
            let result = change(&mut inner.table, at);
            let silence = inner.silence.as_mut();
            let look_at = silence.and_then(|silence| silence.begin(at));
            (result, inner.settle(&group.thresholds, at), look_at)
        };
        let planned = self.publish_at(group, publish, true);
        if let Some(due) = planned.into_iter().chain(look_at).min() {
            self.run_timer_at(due);
        }
        result
    }

    /// Publishes now if that is due; otherwise returns when the timer has to.
    fn publish_at(
        &self,
        group: &Members,
        publish: Option<Publish>,
        waits_for_log: bool,
    ) -> Option<Instant> {
        match publish? {
            Publish::Turn => self.publish_group(group, waits_for_log),
            Publish::Now => self.publish_group(group, false),
            Publish::At(due) => return Some(due),
            Publish::Planned => {}
        }
        None
    }

    /// Publishes the newest counts, unless another thread has.
    fn publish_group(&self, group: &Members, waits_for_log: bool) {
        self.write(waits_for_log, |_, draft| {
            let at = now();
            let mut inner = group.inner.lock();
            let state = inner.state;
            if inner.pace.take(state, at.monotonic) {
                let next = draft
                    .view(group.slot)
                    .map(|view| group.show(&inner, view, at));
                if let Some(view) = &next {
                    view.declaration().meters.last_report.set_now();
                }
                drop(inner);
                draft.set(group.slot, next);
            }
        });
    }

    /// Publishes changes of groups that are due, and finds the members that are silent.
    pub(in crate::registry) fn run_groups(&self, caller: Caller, reading: Reading) {
        for group in &self.groups().0 {
            self.find_silent(group, caller, reading);
            let due = group.inner.lock().pace.due();
            if due.is_some_and(|due| due <= reading.now) {
                self.publish_group(group, false);
            }
        }
    }

    fn find_silent(&self, group: &Members, caller: Caller, reading: Reading) {
        let limit = {
            let Inner { silence, table, .. } = &mut *group.inner.lock();
            let Some(silence) = silence else {
                return;
            };
            let draining = self.read(|data| data.phase >= Phase::Draining);
            if draining || table.is_empty() {
                silence.end();
            }
            silence.limit(reading, caller)
        };
        let mut next = limit.map(|limit| (0, limit));
        while let Some((from, limit)) = next {
            let publish = {
                let mut inner = group.inner.lock();
                let further = inner.table.find_silent(from, CHUNK, limit, reading.now);
                next = further.map(|from| (from, limit));
                inner.settle(&group.thresholds, reading.now)
            };
            // The timer asks afterwards when the rest is due.
            self.publish_at(group, publish, false);
        }
    }
}

#[cfg(all(test, not(tower_readiness_loom)))]
mod tests {
    use super::*;
    use crate::registry::{Group, Readiness};
    use std::time::Duration;

    #[test]
    fn an_empty_group_needs_no_timer() {
        let group = Group::new("upstream").ttl(Duration::from_secs(8));
        let builder = Readiness::builder().allow_empty().group(group);
        let readiness = builder.build().unwrap();
        let registry = readiness.registry();
        let group = readiness.group("upstream").unwrap();
        let due_after = |seconds| {
            let now = Instant::now() + Duration::from_secs(seconds);
            let reading = Reading {
                now,
                real: now,
                is_paused: false,
            };
            registry.run_groups(Caller::TtlTimer, reading);
            registry.groups().due()
        };
        let member = group.add("a").unwrap();
        assert!(due_after(60).is_some());
        member.retire();
        assert_eq!(due_after(120), None);
    }
}
