//! Records the transitions of each publication in the history of its snapshot.

use crate::{
    state::{Data, Moment, ScopeId, Slot, Touched, Transition, TransitionKind},
    traffic::Traffic,
};
use std::{mem::replace, sync::Arc, time::Duration};

/// How many transitions a registry keeps unless its builder sets another number.
pub(super) const DEFAULT_CAPACITY: usize = 256;

/// The longest history that a builder accepts.
pub(super) const MAX_CAPACITY: usize = 1 << 16;

/// Remembers since when each present value lasts where the snapshot does not say it,
/// and how many requests had been refused when it began.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    /// The refused requests of all gates when the state of each subsystem began, by
    /// slot, up to the last that is above zero.
    subsystems: Vec<u64>,
    /// Of the phase, the pause, the process, and the named scopes, in this order.
    values: Vec<Begin>,
}

/// When a value began, and how many requests had been refused then.
#[derive(Clone, Copy, Debug)]
struct Begin {
    at: Moment,
    refused: u64,
}

const PHASE: usize = 0;
const PAUSE: usize = 1;
const PROCESS: usize = 2;
const FIRST_SCOPE: usize = 3;

impl Recorder {
    /// A recorder of a registry that was built at `at` with this number of named
    /// scopes.
    pub(super) fn new(at: Moment, scopes: usize) -> Self {
        Self {
            subsystems: Vec::new(),
            values: vec![Begin { at, refused: 0 }; FIRST_SCOPE + scopes],
        }
    }

    /// Passes the transitions from `before` to `after`, which are published `now`, to
    /// `push`, in this order: of the subsystems in the slots `touched`, the phase, the
    /// pause, the process, the scopes.
    pub(super) fn record(
        &mut self,
        before: &Data,
        after: &Data,
        touched: &Touched,
        traffic: &Traffic,
        now: impl Fn() -> Moment,
        push: &mut dyn FnMut(Transition),
    ) {
        let version = after.version;
        let gates = &traffic.gates;
        let mut at = None;
        for slot in touched.iter() {
            let (old, new) = (before.views.get(slot), after.views.get(slot));
            let (from, to) = (old.map(|it| it.state()), new.map(|it| it.state()));
            if let (true, Some(view)) = (from != to, new.or(old)) {
                let entered = at.insert(new.map_or_else(&now, |new| new.entered()));
                let refused = gates.all_refused(None);
                push(Transition {
                    version,
                    kind: TransitionKind::Subsystem {
                        name: Arc::clone(&view.declaration().name),
                        from,
                        to,
                    },
                    reason: new.and_then(|new| new.shared_reason().cloned()),
                    at: *entered,
                    lasted: old.map_or(Duration::ZERO, |old| old.age(entered.monotonic)),
                    refused: old.map_or(0, |_| refused - self.at_begin(slot)),
                });
                self.set_at_begin(slot, new.map_or(0, |_| refused));
            }
        }
        let mut push_value = |index: usize, kind, reason, refused: u64| {
            let at = *at.get_or_insert_with(&now);
            let Some(value) = self.values.get_mut(index) else {
                return;
            };
            let begin = replace(value, Begin { at, refused });
            push(Transition {
                version,
                kind,
                reason,
                at,
                lasted: at.monotonic.saturating_duration_since(begin.at.monotonic),
                refused: refused - begin.refused,
            });
        };
        let (from, to) = (before.phase, after.phase);
        if from != to {
            let kind = TransitionKind::Phase { from, to };
            push_value(PHASE, kind, None, gates.all_refused(None));
        }
        let paused = after.pause.is_some();
        if before.pause.is_some() != paused {
            let reason = after.pause.clone().filter(|reason| !reason.is_empty());
            let kind = TransitionKind::Pause { paused };
            push_value(PAUSE, kind, reason, gates.all_refused(None));
        }
        for scope in after.scope_ids() {
            let [from, to] = [before, after].map(|data| data.verdict(scope).condition());
            if from == to {
                continue;
            }
            match scope {
                ScopeId::Process => {
                    let kind = TransitionKind::Process { from, to };
                    push_value(PROCESS, kind, None, gates.all_refused(None));
                }
                ScopeId::Named(index) => {
                    let name = Arc::clone(&after.scopes[index].name);
                    let kind = TransitionKind::Scope { name, from, to };
                    push_value(
                        FIRST_SCOPE + index,
                        kind,
                        None,
                        gates.all_refused(Some(scope)),
                    );
                }
            }
        }
    }

    fn at_begin(&self, slot: Slot) -> u64 {
        self.subsystems.get(slot.0).copied().unwrap_or_default()
    }

    fn set_at_begin(&mut self, slot: Slot, refused: u64) {
        let counts = &mut self.subsystems;
        match counts.get_mut(slot.0) {
            Some(count) => *count = refused,
            None if refused == 0 => return,
            None => {
                counts.resize(slot.0, 0);
                counts.push(refused);
            }
        }
        // A registry that has shrunk costs as little as a small one.
        let used = counts.iter().rposition(|count| *count > 0);
        counts.truncate(used.map_or(0, |last| last + 1));
        counts.shrink_to(2 * counts.len());
    }
}

#[cfg(all(test, not(tower_readiness_loom)))]
mod tests {
    use super::*;

    #[test]
    fn counts_of_subsystems_that_have_gone_take_no_memory() {
        let mut recorder = Recorder::default();
        for (slot, refused) in [(9_999, 1), (99, 1), (9_999, 0)] {
            recorder.set_at_begin(Slot(slot), refused);
        }
        assert_eq!(recorder.at_begin(Slot(99)), 1);
        assert_eq!(recorder.subsystems.len(), 100);
        assert_eq!(recorder.subsystems.capacity(), 200);
    }
}
