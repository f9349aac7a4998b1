use super::{
    error::{MemberError, UnknownGroup},
    members::Members,
    reporter::MemberReporter,
    table::Table,
};
use crate::{
    registry::{Readiness, name},
    state::text::{listed_names, shown_name},
};
use std::{sync::Arc, time::Instant};

impl Readiness {
    /// Returns a handle on the group `name`, which adds members.
    ///
    /// # Errors
    ///
    /// When no group of this name was [declared](crate::Builder::group).
    pub fn group(&self, name: &str) -> Result<GroupHandle, UnknownGroup> {
        let groups = self.registry().groups();
        let members = groups.get(name).ok_or_else(|| UnknownGroup {
            name: shown_name(name),
            known: listed_names(groups.names()),
        })?;
        Ok(GroupHandle {
            readiness: self.clone(),
            members: Arc::clone(members),
        })
    }
}

/// A handle on a [group](crate::Group); see [`Readiness::group`].
///
/// Cheap to clone. All methods can be called from any thread, without a runtime.
#[derive(Clone)]
pub struct GroupHandle {
    readiness: Readiness,
    members: Arc<Members>,
}

impl GroupHandle {
    /// Adds a member, and returns its reporter. The member does not count as ready until
    /// it reports that. [`MemberReporter::retire`] removes it.
    ///
    /// The name is 1 to 128 of `A-Z a-z 0-9 . _ - : [ ]`. Names of members have to differ
    /// inside one group only.
    ///
    /// # Errors
    ///
    /// When the name is invalid or taken, or the group has a million members.
    pub fn add(&self, member: impl AsRef<str>) -> Result<MemberReporter, MemberError> {
        let member = member.as_ref();
        name::check_free(member).map_err(|source| MemberError::Name {
            name: shown_name(member),
            source,
        })?;
        self.reporter_of(|table, at| table.add(member, at))
    }

    /// Claims a member whose reporter has been dropped, so that a restarted task
    /// recovers.
    ///
    /// # Errors
    ///
    /// When there is no such member, or another reporter of it is alive.
    pub fn reporter(&self, member: &str) -> Result<MemberReporter, MemberError> {
        self.reporter_of(|table, _| table.claim(member))
    }

    fn reporter_of(
        &self,
        slot: impl FnOnce(&mut Table, Instant) -> Result<usize, MemberError>,
    ) -> Result<MemberReporter, MemberError> {
        let slot = self
            .readiness
            .registry()
            .change_members(&self.members, slot)?;
        let (readiness, members) = (self.readiness.clone(), Arc::clone(&self.members));
        Ok(MemberReporter::new(readiness, members, slot))
    }
}

crate::debug::fields!(GroupHandle, |this| {
    name: this.members.name,
    members: this.members.counts(),
});
