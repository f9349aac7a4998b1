use super::snapshot::{Data, ScopeId, Snapshot};
use crate::sync::{AtomicBool, Ordering, Swap};
use std::sync::Arc;

/// Holds the newest snapshot, and beside it one word per scope that lets a
/// gate admit without loading it.
///
/// The snapshot is the truth; a word only ever errs towards closed. It is
/// cleared before a snapshot that hesitates is published and set after one
/// that does not, so an open word means that the newest snapshot admits, and
/// a closed one means: go and look. Every other order lets a reader that has
/// seen a red snapshot find an open word (there is a loom test).
pub(crate) struct SnapshotCell {
    newest: Swap<Data>,
    /// The process first, then the named scopes.
    open: Box<[Arc<AtomicBool>]>,
    /// All words are closed, whatever the snapshot says.
    held: AtomicBool,
}

/// The word of one scope, as its gates hold it.
pub(crate) struct AdmitFlag(Arc<AtomicBool>);

impl AdmitFlag {
    /// Whether a gate on the scope admits without a thought. `false` means
    /// that it has to look at the snapshot.
    #[inline]
    pub(crate) fn is_set(&self) -> bool {
        // Acquire: whoever goes on to load the snapshot finds the one that
        // opened the word, or a newer one.
        self.0.load(Ordering::Acquire)
    }
}

impl SnapshotCell {
    pub(crate) fn new(first: Arc<Data>) -> Self {
        let open = first
            .scope_ids()
            .map(|scope| Arc::new(AtomicBool::new(admits(&first, scope))))
            .collect();
        Self {
            newest: Swap::new(first),
            open,
            held: AtomicBool::new(false),
        }
    }

    /// Makes `next` the newest snapshot. Callers take turns: two at the same
    /// time could leave the words of one beside the snapshot of the other.
    pub(crate) fn publish(&self, next: &Arc<Data>) {
        for (word, scope) in self.open.iter().zip(next.scope_ids()) {
            if !admits(next, scope) {
                word.store(false, Ordering::Release);
            }
        }
        self.newest.store(Arc::clone(next));
        self.set_flags(next);
    }

    fn set_flags(&self, newest: &Data) {
        if self.held.load(Ordering::Relaxed) {
            return;
        }
        for (word, scope) in self.open.iter().zip(newest.scope_ids()) {
            if admits(newest, scope) {
                word.store(true, Ordering::Release);
            }
        }
    }

    /// Keeps all words closed, so that each request has to look, or lets them
    /// follow the snapshot again. Callers take turns, with
    /// [`publish`](Self::publish) as well.
    pub(crate) fn hold_flags(&self, held: bool) {
        if self.held.swap(held, Ordering::Relaxed) == held {
            return;
        }
        if held {
            for word in &self.open {
                word.store(false, Ordering::Release);
            }
        } else {
            self.read(|newest| self.set_flags(newest));
        }
    }

    pub(crate) fn admit_flag(&self, scope: ScopeId) -> AdmitFlag {
        let index = match scope {
            ScopeId::Process => 0,
            ScopeId::Named(index) => index + 1,
        };
        AdmitFlag(Arc::clone(&self.open[index]))
    }

    /// Looks at the newest snapshot without taking a share of it.
    #[inline]
    pub(crate) fn read<R>(&self, read: impl FnOnce(&Data) -> R) -> R {
        read(&self.newest.load())
    }

    pub(crate) fn load(&self) -> Snapshot {
        Snapshot(self.newest.load_full())
    }
}

fn admits(data: &Data, scope: ScopeId) -> bool {
    data.verdict(scope).reasons().is_empty()
}
