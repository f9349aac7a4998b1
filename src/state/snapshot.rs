use super::{
    counts::Counts,
    history::History,
    verdict::{Facts, Verdict},
    view::SubsystemView,
    views::{Slot, Views},
    vocabulary::Phase,
};
use std::sync::Arc;

/// Identifies one scope of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScopeId {
    /// The default scope: the process as a whole.
    Process,
    Named(usize),
}

/// The counts of a scope, its start latch, and the verdict that follows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScopeStatus {
    pub(crate) counts: Counts,
    pub(crate) started: bool,
    pub(crate) verdict: Verdict,
}

#[derive(Clone, Debug)]
pub(crate) struct ScopeState {
    pub(crate) name: Arc<str>,
    pub(crate) members: Arc<[Slot]>,
    pub(crate) status: ScopeStatus,
    /// The version of the first snapshot with this verdict and these members' views.
    pub(crate) changed_in: u64,
}

/// How many reloads have begun, and how many of them are under way. The first
/// count shows a reload that was over before a reader loaded a snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reloads {
    pub(crate) begun: u64,
    pub(crate) under_way: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct Data {
    pub(crate) version: u64,
    pub(crate) phase: Phase,
    pub(crate) pause: Option<Arc<str>>,
    pub(crate) reloads: Reloads,
    pub(crate) views: Views,
    pub(crate) process: ScopeStatus,
    pub(crate) scopes: Vec<ScopeState>,
    pub(crate) history: History,
}

impl Data {
    pub(crate) fn status(&self, scope: ScopeId) -> &ScopeStatus {
        match scope {
            ScopeId::Process => &self.process,
            ScopeId::Named(index) => &self.scopes[index].status,
        }
    }

    pub(crate) fn verdict(&self, scope: ScopeId) -> Verdict {
        self.status(scope).verdict
    }

    /// The verdict for the given counts, under the phase and the pause of this
    /// snapshot.
    pub(crate) fn verdict_for(&self, counts: Counts, started: bool, vital_dead: bool) -> Verdict {
        Verdict::from_facts(Facts {
            condition: counts.condition(started),
            started,
            phase: self.phase,
            paused: self.pause.is_some(),
            vital_dead,
        })
    }

    /// All scopes, the process first.
    pub(crate) fn scope_ids(&self) -> impl Iterator<Item = ScopeId> + use<> {
        std::iter::once(ScopeId::Process).chain((0..self.scopes.len()).map(ScopeId::Named))
    }

    /// Whether a scope that had started is down while its checked members (at
    /// least one) are all up.
    pub(crate) fn is_disputed(&self, scope: ScopeId) -> bool {
        let ScopeStatus {
            counts,
            started,
            verdict,
        } = self.status(scope);
        *started
            && !verdict.condition().is_able()
            && counts.checked_up > 0
            && counts.checked_down == 0
    }

    pub(crate) fn scope_id(&self, name: &str) -> Option<ScopeId> {
        self.scopes
            .iter()
            .position(|scope| *scope.name == *name)
            .map(ScopeId::Named)
    }

    /// The name of a scope, or `None` for the process.
    pub(crate) fn scope_name(&self, scope: ScopeId) -> Option<&Arc<str>> {
        match scope {
            ScopeId::Process => None,
            ScopeId::Named(index) => Some(&self.scopes[index].name),
        }
    }

    /// The members of a scope. Every subsystem is a member of the process.
    pub(crate) fn members(&self, scope: ScopeId) -> impl Iterator<Item = &SubsystemView> {
        let (all, named) = match scope {
            ScopeId::Process => (Some(self.views.iter()), None),
            ScopeId::Named(index) => (None, Some(index)),
        };
        let named = named.into_iter().flat_map(|index| {
            let members = self.scopes[index].members.iter();
            let members = members.filter_map(|slot| self.views.get(*slot));
            // The slot of a retired member may hold a subsystem of other scopes.
            members.filter(move |view| view.scopes().contains(&index))
        });
        all.into_iter().flatten().chain(named).map(|view| &**view)
    }

    pub(crate) fn subsystem(&self, name: &str) -> Option<&SubsystemView> {
        self.members(ScopeId::Process)
            .find(|view| view.name() == name)
    }

    /// The verdict on a scope with this subsystem as its only member.
    pub(crate) fn verdict_of_subsystem(&self, view: &SubsystemView) -> Verdict {
        self.verdict_for(
            view.effect_on_scope(),
            view.has_been_up(),
            self.process.counts.vital_dead > 0,
        )
    }
}

/// The states of all subsystems, the phase and the verdicts at one moment. A
/// snapshot is immutable, and clones share its data.
///
/// Traffic, probes and every other surface answer from the newest snapshot,
/// so answers that carry the same [version](Self::version) agree.
///
/// ```
/// use tower_readiness::{Readiness, State, Subsystem};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let readiness = Readiness::builder()
///     .subsystem(Subsystem::new("storage"))
///     .build()?;
/// let storage = readiness.reporter("storage")?;
///
/// let before = readiness.snapshot();
/// storage.ready();
/// let after = readiness.snapshot();
///
/// assert!(!before.verdict().is_ready(), "a snapshot never changes");
/// assert!(after.verdict().is_ready());
/// assert!(after.version() > before.version());
/// assert_eq!(after.subsystem("storage").unwrap().state(), State::Ready);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Snapshot(pub(crate) Arc<Data>);

impl Snapshot {
    /// Returns the number of this snapshot. It is higher in each snapshot that is
    /// published.
    pub fn version(&self) -> u64 {
        self.0.version
    }

    /// Returns the phase of the process.
    pub fn phase(&self) -> Phase {
        self.0.phase
    }

    /// Returns the reason for the pause, or `None` if the process is not paused. Of
    /// several pauses that hold, the latest gives the reason.
    pub fn paused(&self) -> Option<&str> {
        self.0.pause.as_deref()
    }

    /// Returns whether the process [reloads](crate::Readiness::reloading) its
    /// configuration, which changes no verdict.
    pub fn is_reloading(&self) -> bool {
        self.0.reloads.under_way > 0
    }

    /// Returns the verdict on the process as a whole.
    pub fn verdict(&self) -> Verdict {
        self.0.process.verdict
    }

    /// Returns the verdict on a named scope, or `None` if no scope has this name.
    pub fn scope(&self, name: &str) -> Option<Verdict> {
        self.0.scope_id(name).map(|scope| self.0.verdict(scope))
    }

    /// Returns the names of the scopes, in the order of their declaration.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.0.scopes.iter().map(|scope| &*scope.name)
    }

    /// Returns the subsystem of this name, or `None`. The search is linear.
    pub fn subsystem(&self, name: &str) -> Option<&SubsystemView> {
        self.0.subsystem(name)
    }

    /// Returns all subsystems, in the order of their declaration. A subsystem added
    /// while running may take the position of a retired one.
    pub fn subsystems(&self) -> impl Iterator<Item = &SubsystemView> {
        self.0.members(ScopeId::Process)
    }
}

crate::debug::fields!(Snapshot, |this| {
    version: this.version(),
    phase: this.phase(),
    paused: this.paused(),
    reloading: this.is_reloading(),
    condition: this.verdict().condition(),
    ready: this.verdict().is_ready(),
});
