use super::members::Members;
use crate::{
    registry::{Readiness, handle::shortened},
    state::{Phase, State},
};
use std::sync::Arc;

/// Reports the state of one member of a [group](crate::Group); see
/// [`GroupHandle::add`](crate::GroupHandle::add).
///
/// Every setter is synchronous, may be called from any thread and needs no runtime. A
/// report that turns the state of the group is published before the setter returns.
/// Others change only the counts of the group, which are published at most 20 times a
/// second.
///
/// Reasons are cut to 1 KiB; an empty reason counts as no reason.
///
/// **Dropping a reporter is a report**: `failing("reporter dropped")`, or `dead` if the
/// last report was `dead`. The member stays, and can be
/// [claimed](crate::GroupHandle::reporter) again. While the process drains, a drop
/// reports nothing. Call [`retire`](Self::retire) to remove the member.
#[must_use = "dropping a reporter reports that its member fails"]
pub struct MemberReporter(Option<Claimed>);

/// The member of a reporter, whose drop is a report.
struct Claimed {
    readiness: Readiness,
    members: Arc<Members>,
    /// No other member has this slot, since only the reporter can retire the member.
    slot: usize,
}

impl MemberReporter {
    pub(super) fn new(readiness: Readiness, members: Arc<Members>, slot: usize) -> Self {
        Self(Some(Claimed {
            readiness,
            members,
            slot,
        }))
    }

    fn report(&self, state: State, reason: &str) {
        let reason = shortened(reason);
        if let Some(claimed) = &self.0 {
            let registry = claimed.readiness.registry();
            registry.background().start();
            registry.change_members(&claimed.members, |table, at| {
                table.report(claimed.slot, state, reason, at);
            });
        }
    }

    /// Reports that the member starts or recovers. It does not count as ready.
    pub fn starting(&self, detail: impl AsRef<str>) {
        self.report(State::Starting, detail.as_ref());
    }

    /// Reports that the member works.
    pub fn ready(&self) {
        self.report(State::Ready, "");
    }

    /// Reports that the member works, but worse than it should. It counts as ready.
    pub fn degraded(&self, reason: impl AsRef<str>) {
        self.report(State::Degraded, reason.as_ref());
    }

    /// Reports that the member does not work at the moment.
    pub fn failing(&self, reason: impl AsRef<str>) {
        self.report(State::Failing, reason.as_ref());
    }

    /// Reports that the member does not work and will not recover by itself.
    pub fn dead(&self, reason: impl AsRef<str>) {
        self.report(State::Dead, reason.as_ref());
    }

    /// Confirms that the last report still holds, in a group with a
    /// [ttl](crate::Group::ttl). If the member was stale, its last report holds again.
    pub fn heartbeat(&self) {
        if let Some(claimed) = &self.0 {
            let registry = claimed.readiness.registry();
            let slot = claimed.slot;
            registry.change_members(&claimed.members, |table, at| {
                table.beat(slot, at);
            });
        }
    }

    /// Removes the member from the group.
    pub fn retire(mut self) {
        if let Some(claimed) = self.0.take() {
            let registry = claimed.readiness.registry();
            let members = &claimed.members;
            registry.change_members(members, |table, _| table.retire(claimed.slot));
        }
    }
}

impl Drop for MemberReporter {
    fn drop(&mut self) {
        if let Some(claimed) = &self.0 {
            let registry = claimed.readiness.registry();
            let draining = registry.read(|data| data.phase >= Phase::Draining);
            registry.change_members(&claimed.members, |table, at| {
                table.drop_reporter(claimed.slot, draining, at);
            });
        }
    }
}

crate::debug::fields!(MemberReporter, |this| {
    group: this.0.as_ref().map(|claimed| &claimed.members.name),
});
