use super::snapshot::{Data, ScopeId, Snapshot};
use crate::sync::{AtomicBool, Ordering, Swap};
use std::sync::Arc;

/// Holds the newest snapshot, and one flag per scope that lets a gate admit
/// without loading the snapshot.
///
/// A set flag means that the newest snapshot admits; at a clear flag, a gate
/// reads the snapshot. So `publish` clears a flag before it stores a snapshot
/// with a reason against admission, and sets a flag after it has stored a
/// snapshot without one. In any other order, a reader that has seen a red
/// snapshot could find a set flag (a loom test checks this).
pub(crate) struct SnapshotCell {
    newest: Swap<Data>,
    /// The process first, then the named scopes.
    flags: Box<[Arc<AtomicBool>]>,
    /// All flags stay clear, also if the snapshot admits.
    held: AtomicBool,
}

/// The flag of one scope, as its gates hold it.
pub(crate) struct AdmitFlag(Arc<AtomicBool>);

impl AdmitFlag {
    /// Whether a gate on the scope admits at once. If `false`, the gate has to
    /// read the snapshot.
    #[inline]
    pub(crate) fn is_set(&self) -> bool {
        // Acquire: a reader that then loads the snapshot finds the snapshot
        // that set the flag, or a newer one.
        self.0.load(Ordering::Acquire)
    }
}

impl SnapshotCell {
    pub(crate) fn new(first: Arc<Data>) -> Self {
        let flags = first
            .scope_ids()
            .map(|scope| Arc::new(AtomicBool::new(admits(&first, scope))))
            .collect();
        Self {
            newest: Swap::new(first),
            flags,
            held: AtomicBool::new(false),
        }
    }

    /// Makes `next` the newest snapshot. Callers hold the writer lock: two
    /// calls at the same time could leave the flags of one beside the snapshot
    /// of the other.
    pub(crate) fn publish(&self, next: &Arc<Data>) {
        for (flag, scope) in self.flags.iter().zip(next.scope_ids()) {
            if !admits(next, scope) {
                flag.store(false, Ordering::Release);
            }
        }
        self.newest.store(Arc::clone(next));
        self.set_flags(next);
    }

    fn set_flags(&self, newest: &Data) {
        if self.held.load(Ordering::Relaxed) {
            return;
        }
        for (flag, scope) in self.flags.iter().zip(newest.scope_ids()) {
            if admits(newest, scope) {
                flag.store(true, Ordering::Release);
            }
        }
    }

    /// Keeps all flags clear, so that each request reads the snapshot, or lets
    /// the flags follow the snapshot again. Callers hold the writer lock, as
    /// for [`publish`](Self::publish).
    pub(crate) fn hold_flags(&self, held: bool) {
        if self.held.swap(held, Ordering::Relaxed) == held {
            return;
        }
        if held {
            for flag in &self.flags {
                flag.store(false, Ordering::Release);
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
        AdmitFlag(Arc::clone(&self.flags[index]))
    }

    /// Calls `read` with the newest snapshot, without cloning its `Arc`.
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
