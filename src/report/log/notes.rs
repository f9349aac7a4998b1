use super::super::core::now;
use crate::state::{Phase, ScopeId, Sealed, Verdict};
use std::time::{Duration, Instant};

/// Since when each scope is unable to serve, the process first.
#[derive(Debug, Default)]
pub(super) struct Memory {
    unable_since: Vec<Option<Instant>>,
}

/// What the lines of one publication tell beside the snapshots.
#[derive(Clone, Debug, Default)]
pub(super) struct Notes {
    /// Which scopes can serve again, and how long they could not.
    regained: Vec<(ScopeId, Duration)>,
}

impl Memory {
    pub(super) fn note(&mut self, sealed: &Sealed) -> Notes {
        let mut notes = Notes::default();
        for (index, scope) in sealed.after.scope_ids().enumerate() {
            match Change::of(sealed, scope) {
                Change::None => {}
                Change::Lost => {
                    if self.unable_since.len() <= index {
                        self.unable_since.resize(index + 1, None);
                    }
                    self.unable_since[index] = Some(now().monotonic);
                }
                Change::Regained => {
                    let since = self.unable_since.get_mut(index).and_then(Option::take);
                    if let Some(since) = since {
                        let lasted = now().monotonic.saturating_duration_since(since);
                        notes.regained.push((scope, lasted));
                    }
                }
            }
        }
        notes
    }
}

impl Notes {
    pub(super) fn lasted(&self, scope: ScopeId) -> Option<Duration> {
        let of_scope =
            |(regained, lasted): &(ScopeId, Duration)| (*regained == scope).then_some(*lasted);
        self.regained.iter().find_map(of_scope)
    }
}

/// What a publication means for a scope that had started, outside of a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    None,
    /// It cannot serve any more.
    Lost,
    /// It can again.
    Regained,
}

impl Change {
    pub(super) fn of(Sealed { before, after, .. }: &Sealed, scope: ScopeId) -> Self {
        let (was, is) = (before.verdict(scope), after.verdict(scope));
        if !was.has_started() || after.phase >= Phase::Draining {
            return Self::None;
        }
        match (is_able(was, scope), is_able(is, scope)) {
            (true, false) => Self::Lost,
            (false, true) => Self::Regained,
            _ => Self::None,
        }
    }
}

/// Whether the subsystems let a scope be ready, whatever else is against it. A
/// vital subsystem is one of the process, and is told of there.
fn is_able(verdict: Verdict, scope: ScopeId) -> bool {
    verdict.condition().is_able() && (verdict.is_live() || scope != ScopeId::Process)
}
