use super::plan::{Change, Reconfiguration};
use crate::{
    registry::{
        core::WriterState,
        error::{DeclareError, ReconfigureError, UnknownScope, UnknownSubsystem},
        name,
        subsystem::Subsystem,
    },
    state::{Declaration, Moment, Role, ScopeId, Slot, SnapshotBuilder, SubsystemView},
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    vec,
};

/// The subsystems and scopes that a plan names, as they will be. It takes time in
/// proportion to the plan and to the scopes that it changes, since it is made under the
/// writer lock. It keeps the subsystems that are not added until it is dropped, after the
/// lock: their checks are values of the application, whose drop may report.
pub(super) struct Draft {
    /// The rest of the plan.
    changes: vec::IntoIter<Change>,
    allows_empty: bool,
    entries: Vec<Entry>,
    /// The last entry of each name.
    by_name: HashMap<String, usize>,
    /// The members of each changed scope that the plan does not name.
    others: BTreeMap<usize, Vec<Slot>>,
}

struct Entry {
    subject: Subject,
    role: Role,
    vital: bool,
    scopes: Vec<usize>,
    is_removed: bool,
}

enum Subject {
    Present(Slot, Arc<SubsystemView>),
    Added(Box<Subsystem>),
}

/// The subsystems that a reconfiguration has added and removed.
pub(super) struct Applied {
    pub(super) added: Vec<(Slot, Box<Subsystem>, Arc<Declaration>)>,
    pub(super) removed: Vec<Arc<Declaration>>,
}

impl Draft {
    pub(super) fn new(plan: Reconfiguration) -> Self {
        Self {
            changes: plan.changes.into_iter(),
            allows_empty: plan.allows_empty,
            entries: Vec::new(),
            by_name: HashMap::new(),
            others: BTreeMap::new(),
        }
    }

    /// Applies the plan to the names of the present snapshot, and checks the result.
    pub(super) fn resolve(
        &mut self,
        writer_state: &WriterState,
        builder: &SnapshotBuilder,
    ) -> Result<(), ReconfigureError> {
        let registry = Present {
            writer_state,
            builder,
        };
        while let Some(change) = self.changes.next() {
            self.take(change, &registry)?;
        }
        self.find_others(&registry)?;
        let is_empty = || self.takes_last_required(&registry);
        if !self.allows_empty && !writer_state.allows_empty && is_empty() {
            return Err(ReconfigureError::NothingRequired);
        }
        Ok(())
    }

    fn take(&mut self, change: Change, registry: &Present<'_>) -> Result<(), ReconfigureError> {
        match change {
            Change::Add(subsystem) => {
                let name = subsystem.name.clone();
                let is_taken =
                    self.find(&name, registry).is_ok() || registry.builder.has_scope(&name);
                let index = self.entries.len();
                self.entries.push(Entry {
                    role: subsystem.role,
                    vital: subsystem.vital,
                    subject: Subject::Added(subsystem),
                    scopes: Vec::new(),
                    is_removed: false,
                });
                if is_taken {
                    return Err(DeclareError::Duplicate { name }.into());
                }
                self.by_name.insert(name, index);
            }
            Change::Remove(name) => {
                let entry = self.find(&name, registry)?;
                // Its members report to its slot for the life of the registry.
                if entry.before().is_some_and(|view| view.members().is_some()) {
                    return Err(ReconfigureError::Group { name });
                }
                entry.is_removed = true;
                entry.scopes.clear();
            }
            Change::Role { name, role, vital } => {
                let entry = self.find(&name, registry)?;
                (entry.role, entry.vital) = (role, vital);
            }
            Change::Join { scope, member } => {
                let index = registry.scope(&scope)?;
                let scopes = &mut self.find(&member, registry)?.scopes;
                if scopes.contains(&index) {
                    return Err(ReconfigureError::AlreadyMember { scope, member });
                }
                scopes.push(index);
            }
            Change::Leave { scope, member } => {
                let index = registry.scope(&scope)?;
                let scopes = &mut self.find(&member, registry)?.scopes;
                let Some(at) = scopes.iter().position(|it| *it == index) else {
                    return Err(ReconfigureError::NotMember { scope, member });
                };
                scopes.remove(at);
            }
        }
        Ok(())
    }

    /// The entry of a subsystem that exists after the changes so far.
    fn find(&mut self, name: &str, registry: &Present<'_>) -> Result<&mut Entry, ReconfigureError> {
        let index = match self.by_name.get(name) {
            Some(index) => *index,
            None => {
                let (slot, view) = registry.subsystem(name)?;
                self.by_name.insert(name.to_owned(), self.entries.len());
                self.entries.push(Entry {
                    role: view.role(),
                    vital: view.is_vital(),
                    scopes: view.scopes().to_vec(),
                    subject: Subject::Present(slot, view),
                    is_removed: false,
                });
                self.entries.len() - 1
            }
        };
        let entry = &mut self.entries[index];
        if entry.is_removed {
            return Err(registry.unknown(name));
        }
        Ok(entry)
    }

    /// Finds the scopes whose members change, with the members that stay as they are.
    fn find_others(&mut self, registry: &Present<'_>) -> Result<(), ReconfigureError> {
        let data = registry.builder.data();
        let changed = self.entries.iter().flat_map(Entry::changed_scopes);
        let slots = self.slots();
        for index in changed {
            let members = data.scopes[index].members.iter();
            let is_other = |slot: &&Slot| {
                let view = data.views.get(**slot);
                !slots.contains(slot) && view.is_some_and(|it| it.scopes().contains(&index))
            };
            let find = || members.filter(is_other).copied().collect();
            self.others.entry(index).or_insert_with(find);
        }
        for (index, others) in &self.others {
            let mut named = self.entries.iter();
            if others.is_empty() && !named.any(|entry| entry.scopes.contains(index)) {
                let scope = data.scopes[*index].name.to_string();
                return Err(ReconfigureError::EmptyScope { scope });
            }
        }
        Ok(())
    }

    /// The slots of the present subsystems that the plan names.
    fn slots(&self) -> HashSet<Slot> {
        let present = self
            .entries
            .iter()
            .filter_map(|entry| match &entry.subject {
                Subject::Present(slot, _) => Some(*slot),
                Subject::Added(_) => None,
            });
        present.collect()
    }

    /// Whether a required subsystem is lost, and none is left. A subsystem of the crate
    /// itself does not count, since it says nothing about the application.
    fn takes_last_required(&self, registry: &Present<'_>) -> bool {
        let is_lost = |entry: &Entry| match &entry.subject {
            Subject::Present(_, view) => view.role() == Role::Required && !entry.is_required(),
            Subject::Added(_) => false,
        };
        if !self.entries.iter().any(is_lost) || self.entries.iter().any(Entry::is_required) {
            return false;
        }
        let slots = self.slots();
        let mut others = registry.writer_state.slots.iter();
        !others.any(|(name, slot)| {
            let view = registry.builder.view(*slot);
            let is_required = view.is_some_and(|view| view.role() == Role::Required);
            is_required && !slots.contains(slot) && name::check(name).is_ok()
        })
    }

    /// Makes the changes in the next snapshot.
    pub(super) fn apply(
        &mut self,
        writer_state: &mut WriterState,
        builder: &mut SnapshotBuilder,
        at: Moment,
    ) -> Applied {
        let entries = std::mem::take(&mut self.entries).into_iter();
        let (gone, kept) = entries.partition(|it| it.is_removed);
        self.entries = gone;
        let kept: Vec<_> = kept;
        let removed = self
            .entries
            .iter()
            .filter_map(|entry| match &entry.subject {
                Subject::Present(slot, view) => Some((*slot, Arc::clone(view.declaration()))),
                // Added and removed by the same plan.
                Subject::Added(_) => None,
            });
        let removed: Vec<_> = removed.collect();
        let added = kept.iter().filter_map(|entry| match &entry.subject {
            Subject::Added(subsystem) => Some(&*subsystem.name),
            Subject::Present(..) => None,
        });
        let names = removed.iter().map(|(_, declaration)| &*declaration.name);
        let mut taken = writer_state.replace(names, added).into_iter();

        let mut members = std::mem::take(&mut self.others);
        for (slot, _) in &removed {
            builder.set(*slot, None);
        }
        let mut added = Vec::new();
        for entry in kept {
            let is_changed = entry.is_changed();
            let slot = match entry.subject {
                Subject::Present(slot, view) => {
                    if is_changed {
                        let scopes = entry.scopes.clone();
                        let next = view.with_membership(entry.role, entry.vital, scopes);
                        builder.set(slot, Some(next));
                    }
                    slot
                }
                Subject::Added(mut subsystem) => {
                    // As many as were taken.
                    let Some(slot) = taken.next() else { continue };
                    (subsystem.role, subsystem.vital) = (entry.role, entry.vital);
                    let declared = subsystem.declare(false, entry.scopes.clone());
                    let declaration = Arc::clone(&declared.declaration);
                    builder.set(slot, Some(SubsystemView::declared(declared, at)));
                    added.push((slot, subsystem, declaration));
                    slot
                }
            };
            for scope in entry.scopes {
                // Scopes whose members stay the same are not listed.
                if let Some(members) = members.get_mut(&scope) {
                    members.push(slot);
                }
            }
        }
        for (scope, members) in members {
            builder.set_members(scope, members);
        }
        Applied {
            added,
            removed: removed.into_iter().map(|(_, it)| it).collect(),
        }
    }
}

impl Entry {
    fn is_required(&self) -> bool {
        self.role == Role::Required && !self.is_removed
    }

    fn before(&self) -> Option<&SubsystemView> {
        match &self.subject {
            Subject::Present(_, view) => Some(view),
            Subject::Added(_) => None,
        }
    }

    /// Whether the subsystem counts otherwise than before.
    fn is_changed(&self) -> bool {
        self.before().is_none_or(|view| {
            (view.role(), view.is_vital(), view.scopes()) != (self.role, self.vital, &*self.scopes)
        })
    }

    /// The scopes that the subsystem joins or leaves.
    fn changed_scopes(&self) -> impl Iterator<Item = usize> {
        let before = self.before().map(SubsystemView::scopes).unwrap_or_default();
        let left = before.iter().filter(|it| !self.scopes.contains(it));
        let joined = self.scopes.iter().filter(|it| !before.contains(it));
        left.chain(joined).copied()
    }
}

/// The registry as it is.
struct Present<'a> {
    writer_state: &'a WriterState,
    builder: &'a SnapshotBuilder,
}

impl Present<'_> {
    fn subsystem(&self, name: &str) -> Result<(Slot, Arc<SubsystemView>), ReconfigureError> {
        let slot = self.writer_state.slots.get(name);
        let found = slot.and_then(|slot| Some((*slot, Arc::clone(self.builder.view(*slot)?))));
        found.ok_or_else(|| self.unknown(name))
    }

    fn scope(&self, name: &str) -> Result<usize, ReconfigureError> {
        let data = self.builder.data();
        match data.scope_id(name) {
            Some(ScopeId::Named(index)) => Ok(index),
            Some(ScopeId::Process) | None => Err(UnknownScope::new(name, data).into()),
        }
    }

    fn unknown(&self, name: &str) -> ReconfigureError {
        UnknownSubsystem::new(name, self.builder.names()).into()
    }
}
