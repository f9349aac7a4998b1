use super::{group_state::Thresholds, members::Members, share_or_number::Quorum};
use crate::{
    registry::{DeclareError, Subsystem, bounded},
    state::Slot,
};
use std::time::Duration;

/// The declaration of a group: many like subsystems, such as the upstreams of a proxy,
/// of which a part is enough.
///
/// A group is one subsystem for the process and on every surface. Its members come and
/// go while the process runs, and each has a [reporter](crate::MemberReporter) of its
/// own. How many of them are ready decides the state of the group.
///
/// **A group is [shared](crate::Role::Shared)** unless another role is chosen, since
/// replicas share their upstreams. [`failing_below`](Self::failing_below) of a shared
/// group therefore only *degrades* a process that has been ready; otherwise the outage
/// of one pool of backends would take all replicas out of service. A
/// [scope](crate::Builder::scope) with the group fails with it.
///
/// ```
/// use tower_readiness::{Group, Readiness, State, Subsystem};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let readiness = Readiness::builder()
///     .subsystem(Subsystem::new("listener"))
///     .group(Group::new("upstream").degraded_below(0.9).failing_below(0.1))
///     .build()?;
///
/// let upstreams = readiness.group("upstream")?;
/// let first = upstreams.add("10.0.0.1:8080")?;
/// let second = upstreams.add("10.0.0.2:8080")?;
/// first.ready();
/// second.failing("connection refused");
///
/// let snapshot = readiness.snapshot();
/// let group = snapshot.subsystem("upstream").unwrap();
/// assert_eq!(group.state(), State::Degraded);
/// assert_eq!(group.members().unwrap().ready(), 1);
/// # Ok(())
/// # }
/// ```
///
/// # Costs
///
/// | members | 100 | 5,000 | 100,000 |
/// |---|---|---|---|
/// | a report that changes the state of its member | 50 ns | 59 ns | 152 ns |
/// | a report that repeats it | 44 ns | 45 ns | 110 ns |
/// | adding and retiring a member | 0.25 µs | 0.25 µs | 0.34 µs |
/// | memory of a member, with its name, a short reason and its reporter | | 240 bytes | 207 bytes |
///
/// The times are medians of three runs on a shared machine with two cores
/// (`cargo bench --bench groups`). The members report in turn, so that at 100,000 each
/// report waits for memory. `cargo bench --bench budgets` counts bytes and instructions,
/// and CI compares them. A report that turns the state of the group is published at once:
/// it takes 11,400 instructions with 5,000 members and 14,100 with 100,000, where the
/// change of a single subsystem takes 8,200. A page of 50 members takes 68,500.
#[must_use = "a group has to be declared"]
#[derive(Clone, Debug)]
pub struct Group {
    pub(in crate::registry) subsystem: Subsystem,
    pub(super) thresholds: Thresholds,
    pub(super) ttl: Option<Duration>,
}

impl Group {
    /// Declares a [shared](crate::Role::Shared) group.
    ///
    /// The name is that of a [subsystem](Subsystem::new).
    /// [`Builder::build`](crate::Builder::build) checks it and all settings.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            subsystem: Subsystem::new(name).shared(),
            thresholds: Thresholds::default(),
            ttl: None,
        }
    }

    /// Sets the role [`Role::Required`](crate::Role::Required): the process is ready only
    /// while the group is up, and its start waits for the group.
    pub fn required(mut self) -> Self {
        self.subsystem.role = crate::Role::Required;
        self
    }

    /// Sets the role [`Role::Optional`](crate::Role::Optional).
    pub fn optional(mut self) -> Self {
        self.subsystem = self.subsystem.optional();
        self
    }

    /// Sets the role [`Role::Informative`](crate::Role::Informative).
    pub fn informative(mut self) -> Self {
        self.subsystem = self.subsystem.informative();
        self
    }

    /// Makes the group [degraded](crate::State::Degraded) while fewer members than this
    /// are ready. By default while one of them is not.
    ///
    /// Members that are ready or degraded count as ready. Members that have not reported
    /// yet, or are [stale](Self::ttl), do not. A group without members is ready, unless
    /// [`at_least`](Self::at_least) is set.
    pub fn degraded_below(mut self, quorum: impl Into<Quorum>) -> Self {
        self.thresholds.degraded_below = quorum.into();
        self
    }

    /// Makes the group [failing](crate::State::Failing) while fewer members than this
    /// are ready. By default the group never fails. A group that has never been up is
    /// starting instead, until a member fails.
    ///
    /// A failing group only degrades the process if it is [shared](crate::Role::Shared),
    /// as groups are by default, and has been up before.
    pub fn failing_below(mut self, quorum: impl Into<Quorum>) -> Self {
        self.thresholds.failing_below = Some(quorum.into());
        self
    }

    /// Makes the group failing, or starting if it has never been up, while fewer than
    /// `members` are ready, even if it has fewer members. Without this a group is ready
    /// before its first member is added.
    pub fn at_least(mut self, members: usize) -> Self {
        self.thresholds.at_least = members;
        self
    }

    /// Lets the group recover from a threshold only when so many members more than the
    /// threshold are ready, or all. A group whose members come and go near a threshold
    /// then does not flap. By default there is no margin.
    pub fn recovery_margin(mut self, quorum: impl Into<Quorum>) -> Self {
        self.thresholds.margin = Some(quorum.into());
        self
    }

    /// Makes the group count as down only after it has been down for this long; see
    /// [`Subsystem::hold_down`].
    pub fn hold_down(mut self, time: Duration) -> Self {
        self.subsystem = self.subsystem.hold_down(time);
        self
    }

    /// Makes a member [stale](crate::State::Stale) if its reporter neither reports nor
    /// sends a heartbeat for `ttl`, after its first report.
    ///
    /// From 1 millisecond to a day. As the timer looks at the members four times in a
    /// ttl, a member becomes stale after `ttl` to 1.25 × `ttl`. If the process was
    /// stopped meanwhile, each member gets one more ttl. While the process drains, no
    /// member becomes stale.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// The members of the group whose view is in `slot`: none so far.
    pub(in crate::registry) fn members(&self, slot: Slot) -> Members {
        let name = self.subsystem.name.as_str().into();
        Members::new(name, slot, self.thresholds, self.ttl)
    }

    pub(in crate::registry) fn validate(&self) -> Result<(), DeclareError> {
        let ttl = self.ttl.map(|ttl| bounded("ttl of members", ttl));
        let checked = ttl.transpose().and_then(|_| self.thresholds.validate());
        checked.map_err(|source| self.subsystem.invalid(source))
    }
}
