use super::{
    core::{Registry, WriterState, now},
    error::{BuildError, DeclareError},
    group::{Group, Groups},
    history::{DEFAULT_CAPACITY, MAX_CAPACITY, Recorder},
    meters::Meters,
    name,
    readiness::Readiness,
    subsystem::Subsystem,
};
use crate::state::{History, Role, Slot, SnapshotBuilder, SubsystemView};
use std::{collections::HashMap, sync::Arc};

impl Readiness {
    /// Returns a builder, which declares the subsystems of a process.
    pub fn builder() -> Builder {
        Builder::default()
    }
}

/// Declares the subsystems and scopes of a process; see
/// [`Readiness::builder`].
///
/// [`build`](Self::build) checks all names and settings.
#[must_use = "a builder does nothing until it builds"]
#[derive(Clone, Debug, Default)]
pub struct Builder {
    subsystems: Vec<Subsystem>,
    /// The groups, each with the index of its subsystem.
    groups: Vec<(usize, Group)>,
    scopes: Vec<(String, Vec<String>)>,
    allow_empty: bool,
    history: Option<usize>,
    #[cfg(feature = "check")]
    checks_at_once: Option<usize>,
    #[cfg(feature = "metrics")]
    series_for: Option<usize>,
}

impl Builder {
    /// Declares a subsystem. The startup latch waits for every required subsystem
    /// that is declared here.
    pub fn subsystem(mut self, subsystem: Subsystem) -> Self {
        self.subsystems.push(subsystem);
        self
    }

    /// Declares a group of like subsystems, which is one subsystem for the process. A
    /// [scope](Self::scope) may name it.
    pub fn group(mut self, group: Group) -> Self {
        self.groups.push((self.subsystems.len(), group.clone()));
        self.subsystems.push(group.subsystem);
        self
    }

    /// Declares a scope: a subset of the subsystems. **All members count inside
    /// the scope**, whatever their role.
    ///
    /// A scope is for routes that need a subsystem which is optional for the
    /// process. If the scope `search` contains the optional subsystem `index`, a
    /// gate on `search` refuses requests while the index is down, and the other
    /// routes are served. A member named twice counts once.
    pub fn scope(
        mut self,
        name: impl Into<String>,
        members: impl IntoIterator<Item: Into<String>>,
    ) -> Self {
        let members = members.into_iter().map(Into::into).collect();
        self.scopes.push((name.into(), members));
        self
    }

    /// Allows a registry without a required subsystem; its process counts as
    /// started at once.
    pub fn allow_empty(mut self) -> Self {
        self.allow_empty = true;
        self
    }

    /// Sets how many transitions the [history](Readiness::history) keeps, at most
    /// 65,536. By default 256: some 40 KiB, and the reasons, of which each has 1 KiB
    /// at most. 0 turns the history off.
    pub fn history(self, transitions: usize) -> Self {
        Self {
            history: Some(transitions),
            ..self
        }
    }

    /// Limits how many [checks](crate::check) run at once, for a process with so many that
    /// their sockets or threads would run out. Others wait for their turn.
    ///
    /// There is no limit by default, because checks that hang keep their turn until their
    /// timeout, and a check that waits longer than the [ttl](Subsystem::ttl) of its
    /// subsystem makes the subsystem stale: under a tight limit, dependencies that hang
    /// take those that work with them. Before its first result a check makes no subsystem
    /// stale. A check that has waited for its ttl goes to the end of the queue once, at the
    /// next call on a runtime: the registry does not know whether the check waits for its
    /// turn, or for a runtime that no thread drives.
    #[cfg(feature = "check")]
    pub fn checks_at_once(self, checks: usize) -> Self {
        Self {
            checks_at_once: Some(checks),
            ..self
        }
    }

    /// Sets how many subsystems have metrics of their own: those that are declared
    /// first. By default 200. The rest counts in `readiness_subsystems` alone, so that
    /// a process with thousands of subsystems does not burden its Prometheus.
    ///
    /// A subsystem [added](Readiness::add) while running takes the place of a retired
    /// one, and so may be among the first. Whether a subsystem has metrics of its own
    /// never changes during its life.
    #[cfg(feature = "metrics")]
    pub fn metrics_for(self, subsystems: usize) -> Self {
        Self {
            series_for: Some(subsystems),
            ..self
        }
    }

    /// Builds the registry. Every subsystem begins as
    /// [starting](crate::State::Starting) and unclaimed.
    ///
    /// On a tokio runtime whose timers are not enabled, a task of the registry panics, and a
    /// thread of the crate publishes in its place what becomes due.
    ///
    /// # Errors
    ///
    /// When a name is invalid or used twice, a setting of a subsystem or group is invalid,
    /// a scope has no members or an undeclared one, no subsystem is required and
    /// [`allow_empty`](Self::allow_empty) was not called, the
    /// [history](Self::history) is too long, or no check may run.
    pub fn build(self) -> Result<Readiness, BuildError> {
        let mut writer_state = WriterState::default();
        writer_state.allows_empty = self.allow_empty;
        for subsystem in &self.subsystems {
            name::check_declared(&subsystem.name)?;
            subsystem.validate()?;
            if writer_state.slots.contains_key(&*subsystem.name) {
                let name = subsystem.name.clone();
                return Err(DeclareError::Duplicate { name }.into());
            }
            writer_state.take_slot(Arc::from(&*subsystem.name));
        }
        for (_, group) in &self.groups {
            group.validate()?;
        }
        if !self.allow_empty && !self.subsystems.iter().any(Subsystem::is_required) {
            return Err(BuildError::NothingRequired);
        }
        let history = self.history.unwrap_or(DEFAULT_CAPACITY);
        if history > MAX_CAPACITY {
            return Err(BuildError::LongHistory {
                transitions: history,
                most: MAX_CAPACITY,
            });
        }

        #[cfg(feature = "check")]
        let checks_at_once = match self.checks_at_once.unwrap_or(usize::MAX) {
            0 => return Err(BuildError::NoChecksAtOnce),
            // The semaphore's own limit, which no process reaches.
            checks => checks.min(tokio::sync::Semaphore::MAX_PERMITS),
        };

        let mut scopes: Vec<(Arc<str>, Arc<[Slot]>)> = Vec::with_capacity(self.scopes.len());
        let mut scopes_of: HashMap<Slot, Vec<usize>> = HashMap::new();
        for (scope, members) in self.scopes {
            name::check_declared(&scope)?;
            if writer_state.slots.contains_key(&*scope)
                || scopes.iter().any(|(name, _)| **name == *scope)
            {
                return Err(DeclareError::Duplicate { name: scope }.into());
            }
            if members.is_empty() {
                return Err(BuildError::EmptyScope { scope });
            }
            let mut slots = Vec::with_capacity(members.len());
            for member in members {
                let Some(slot) = writer_state.slots.get(&*member) else {
                    return Err(BuildError::UnknownMember { scope, member });
                };
                let of_member = scopes_of.entry(*slot).or_default();
                if !of_member.contains(&scopes.len()) {
                    of_member.push(scopes.len());
                    slots.push(*slot);
                }
            }
            scopes.push((scope.into(), slots.into()));
        }

        let at = now();
        let groups = self.groups.iter();
        let groups = groups.map(|(index, group)| group.members(Slot(*index)).into());
        let groups = Groups(groups.collect());
        let views = self
            .subsystems
            .iter()
            .enumerate()
            .map(|(index, subsystem)| {
                let scopes = scopes_of.remove(&Slot(index)).unwrap_or_default();
                let view = SubsystemView::declared(subsystem.declare(true, scopes), at);
                match groups.get(&subsystem.name) {
                    Some(group) => group.first(&view, at),
                    None => view,
                }
            });
        writer_state.recorder = Recorder::new(at, scopes.len());
        let first = SnapshotBuilder::first(scopes, views, History::new(history));
        let meters = Meters {
            #[cfg(feature = "metrics")]
            series_for: self.series_for,
            ..Meters::default()
        };
        let registry = Registry::new(
            Arc::clone(&first),
            writer_state,
            meters,
            groups,
            #[cfg(feature = "check")]
            checks_at_once,
        );
        for (index, subsystem) in self.subsystems.iter().enumerate() {
            let slot = Slot(index);
            if let Some(view) = first.views.get(slot) {
                registry.start_tasks(slot, subsystem, view.declaration());
                registry.update_timer(slot);
            }
        }
        #[cfg(feature = "tracing")]
        registry.log_start();
        registry.background().start();
        Ok(Readiness::new(registry))
    }
}

impl Subsystem {
    fn is_required(&self) -> bool {
        self.role == Role::Required
    }
}
