use super::{
    counts::Counts,
    history::History,
    snapshot::{Data, Reloads, ScopeState, ScopeStatus},
    transition::Transition,
    verdict::{Facts, Verdict},
    view::SubsystemView,
    views::{Slot, Views},
    vocabulary::{Condition, Phase},
};
use std::sync::Arc;

/// Builds the next snapshot. The builder copies the present snapshot at the
/// first change; without a change, it publishes none.
pub(crate) struct SnapshotBuilder {
    base: Arc<Data>,
    next: Option<Data>,
    touched: Touched,
}

/// The slots set in one change. A report sets a single one, which takes no allocation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Touched {
    last: Option<Slot>,
    earlier: Vec<Slot>,
}

impl Touched {
    fn add(&mut self, slot: Slot) {
        let before = self.last.replace(slot);
        self.earlier.extend(before.filter(|before| *before != slot));
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Slot> {
        self.earlier.iter().copied().chain(self.last)
    }

    /// The slot, if it is the only one.
    #[cfg(feature = "tracing")]
    pub(crate) fn single(&self) -> Option<Slot> {
        self.last.filter(|_| self.earlier.is_empty())
    }
}

/// The snapshot before a change, the snapshot after it, and the slots set.
#[derive(Clone)]
pub(crate) struct Published {
    pub(crate) before: Arc<Data>,
    pub(crate) after: Arc<Data>,
    pub(crate) touched: Touched,
}

impl Published {
    /// The slots set, where time alone can change the old or the new subsystem.
    pub(crate) fn timed(&self) -> impl Iterator<Item = Slot> {
        self.touched.iter().filter(|slot| {
            [&self.before, &self.after].into_iter().any(|data| {
                let view = data.views.get(*slot);
                view.is_some_and(|view| view.declaration().is_timed())
            })
        })
    }

    /// Whether a scope begins or ceases to be [disputed](Data::is_disputed).
    pub(crate) fn changes_disputes(&self) -> bool {
        let mut scopes = self.after.scope_ids();
        scopes.any(|scope| self.before.is_disputed(scope) != self.after.is_disputed(scope))
    }
}

impl SnapshotBuilder {
    pub(crate) fn new(base: Arc<Data>) -> Self {
        Self {
            base,
            next: None,
            touched: Touched::default(),
        }
    }

    /// The first snapshot: the scopes by name and members, the views in the
    /// order of their slots.
    pub(crate) fn first(
        scopes: impl IntoIterator<Item = (Arc<str>, Arc<[Slot]>)>,
        views: impl IntoIterator<Item = SubsystemView>,
        history: History,
    ) -> Arc<Data> {
        let initial = ScopeStatus {
            counts: Counts::default(),
            started: false,
            verdict: Verdict::from_facts(Facts {
                condition: Condition::Starting,
                started: false,
                phase: Phase::Starting,
                paused: false,
                vital_dead: false,
            }),
        };
        let scopes = scopes.into_iter().map(|(name, members)| ScopeState {
            name,
            members,
            status: initial,
            changed_in: 1,
        });
        let mut first = Data {
            version: 0,
            phase: Phase::Starting,
            pause: None,
            reloads: Reloads::default(),
            views: Views::default(),
            process: initial,
            scopes: scopes.collect(),
            history,
        };
        for (index, view) in views.into_iter().enumerate() {
            set(&mut first, Slot(index), Some(view));
        }
        complete(&mut first);
        Arc::new(first)
    }

    pub(crate) fn data(&self) -> &Data {
        self.next.as_ref().unwrap_or(&self.base)
    }

    fn next(&mut self) -> &mut Data {
        self.next.get_or_insert_with(|| Data::clone(&self.base))
    }

    pub(crate) fn phase(&self) -> Phase {
        self.data().phase
    }

    pub(crate) fn has_scope(&self, name: &str) -> bool {
        self.data().scope_id(name).is_some()
    }

    pub(crate) fn view(&self, slot: Slot) -> Option<&Arc<SubsystemView>> {
        self.data().views.get(slot)
    }

    /// The names of the subsystems, in the order of their slots.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.data().views.iter().map(|view| view.name())
    }

    /// Sets the view of a slot; `None` empties the slot.
    pub(crate) fn set(&mut self, slot: Slot, view: Option<SubsystemView>) {
        set(self.next(), slot, view);
        self.touched.add(slot);
    }

    /// Sets the members of a scope. The views of the members name the scope as well.
    pub(crate) fn set_members(&mut self, scope: usize, members: Vec<Slot>) {
        self.next().scopes[scope].members = members.into();
    }

    /// Advances to `phase`; an earlier phase, or the present one, changes
    /// nothing.
    pub(crate) fn advance(&mut self, phase: Phase) {
        if phase > self.phase() {
            self.next().phase = phase;
        }
    }

    pub(crate) fn set_pause(&mut self, pause: Option<Arc<str>>) {
        if self.data().pause != pause {
            self.next().pause = pause;
        }
    }

    pub(crate) fn reloads(&mut self) -> &mut Reloads {
        &mut self.next().reloads
    }

    /// Completes the snapshot, or returns `None` if nothing was set. Calls `record` with
    /// the snapshots before and after, the slots set, and a function that appends to
    /// the history.
    pub(crate) fn finish(
        self,
        record: impl FnOnce(&Data, &Data, &Touched, &mut dyn FnMut(Transition)),
    ) -> Option<Published> {
        let mut next = self.next?;
        complete(&mut next);
        if next.history.is_on() {
            let mut history = next.history.clone();
            record(&self.base, &next, &self.touched, &mut |transition| {
                history.push(transition);
            });
            next.history = history;
        }
        Some(Published {
            before: self.base,
            after: Arc::new(next),
            touched: self.touched,
        })
    }
}

/// Replaces a view and updates the counts.
fn set(data: &mut Data, slot: Slot, mut view: Option<SubsystemView>) {
    let version = data.version + 1;
    if let Some(old) = data.views.get(slot) {
        data.process.counts -= old.effect_on_process();
        for scope in old.scopes() {
            data.scopes[*scope].status.counts -= old.effect_on_scope();
            data.scopes[*scope].changed_in = version;
        }
    }
    if let Some(new) = &mut view {
        new.changed_in = version;
        data.process.counts += new.effect_on_process();
        for scope in new.scopes() {
            data.scopes[*scope].status.counts += new.effect_on_scope();
            data.scopes[*scope].changed_in = version;
        }
    }
    data.views.set(slot, view.map(Arc::new));
}

/// Numbers the snapshot, closes the latches and computes the verdicts. A scope
/// that has not started when the process begins to drain never starts.
fn complete(data: &mut Data) {
    data.version += 1;
    if data.phase == Phase::Starting && data.process.counts.absent == 0 {
        data.phase = Phase::Started;
        data.process.started = true;
    }
    let vital_dead = data.process.counts.vital_dead > 0;
    data.process.verdict = data.verdict_for(data.process.counts, data.process.started, vital_dead);
    for index in 0..data.scopes.len() {
        let mut status = data.scopes[index].status;
        status.started |= status.counts.absent == 0 && data.phase < Phase::Draining;
        status.verdict = data.verdict_for(status.counts, status.started, vital_dead);
        if status.verdict != data.scopes[index].status.verdict {
            data.scopes[index].changed_in = data.version;
        }
        data.scopes[index].status = status;
    }
}
