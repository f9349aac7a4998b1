use super::drained::Drained;
use crate::state::{Phase, Published, ScopeId, Verdict};
use std::time::{Duration, Instant};

/// The current time on tokio's clock.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Since when the process and each named scope have been unable to serve.
#[derive(Debug, Default)]
pub(super) struct Outages {
    process: Option<Instant>,
    scopes: Vec<Option<Instant>>,
}

/// Values for the lines of one publication that its snapshots do not contain.
#[derive(Clone, Debug, Default)]
pub(super) struct Notes {
    /// The change is left out, since the subsystem has changed too often.
    pub(super) left_out: bool,
    /// How long the process could not serve, if it can serve again.
    process: Option<Duration>,
    /// Which named scopes can serve again, and how long they could not.
    scopes: Vec<(ScopeId, Duration)>,
    /// Present if the publication closes the process.
    pub(super) drained: Option<Drained>,
}

impl Outages {
    pub(super) fn note(&mut self, published: &Published) -> Notes {
        let mut notes = Notes::default();
        for scope in published.after.scope_ids() {
            match ReadinessChange::in_scope(published, scope) {
                ReadinessChange::None => {}
                ReadinessChange::Lost => *self.unable_since(scope) = Some(now()),
                ReadinessChange::Regained => {
                    let Some(since) = self.unable_since(scope).take() else {
                        continue;
                    };
                    let lasted = now().saturating_duration_since(since);
                    match scope {
                        ScopeId::Process => notes.process = Some(lasted),
                        ScopeId::Named(_) => notes.scopes.push((scope, lasted)),
                    }
                }
            }
        }
        notes
    }

    fn unable_since(&mut self, scope: ScopeId) -> &mut Option<Instant> {
        match scope {
            ScopeId::Process => &mut self.process,
            ScopeId::Named(index) => {
                if self.scopes.len() <= index {
                    self.scopes.resize(index + 1, None);
                }
                &mut self.scopes[index]
            }
        }
    }
}

impl Notes {
    pub(super) fn lasted(&self, scope: ScopeId) -> Option<Duration> {
        let of_scope =
            |(regained, lasted): &(ScopeId, Duration)| (*regained == scope).then_some(*lasted);
        match scope {
            ScopeId::Process => self.process,
            ScopeId::Named(_) => self.scopes.iter().find_map(of_scope),
        }
    }
}

/// Whether a publication changes if a scope can serve. Always `None` before the
/// scope has started, and while the process drains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadinessChange {
    None,
    /// The scope can no longer serve.
    Lost,
    /// The scope can serve again.
    Regained,
}

impl ReadinessChange {
    pub(super) fn in_scope(Published { before, after, .. }: &Published, scope: ScopeId) -> Self {
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

/// Whether the subsystems of a scope allow it to be ready. Liveness counts for the
/// process only, whose line names the vital subsystem.
fn is_able(verdict: Verdict, scope: ScopeId) -> bool {
    verdict.condition().is_able() && (verdict.is_live() || scope != ScopeId::Process)
}
