//! Which reason not to admit a request each version had, from the history alone.

use std::{collections::VecDeque, ops::RangeInclusive};
use tower_readiness::{Condition, Phase, Reason, Snapshot, State, Transition, TransitionKind};

/// How many changes are kept: those of many seconds, which no request outlasts.
const KEPT: usize = 50_000;

/// The facts from this version on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    version: u64,
    phase: Phase,
    paused: bool,
    process: Condition,
    search: Condition,
}

impl Entry {
    fn of(snapshot: &Snapshot) -> Self {
        let verdict = snapshot.verdict();
        let search = snapshot.scope("search");
        Self {
            version: snapshot.version(),
            phase: snapshot.phase(),
            paused: snapshot.paused().is_some(),
            process: verdict.condition(),
            search: search.map_or(verdict.condition(), |scope| scope.condition()),
        }
    }

    fn change(&mut self, change: &TransitionKind) {
        match *change {
            TransitionKind::Process { to, .. } => self.process = to,
            TransitionKind::Phase { to, .. } => self.phase = to,
            TransitionKind::Pause { paused } => self.paused = paused,
            TransitionKind::Scope { ref name, to, .. } if **name == *"search" => self.search = to,
            _ => {}
        }
    }

    /// Whether a gate, of the scope or of the whole process, had this reason.
    pub(crate) fn has(&self, reason: Reason, of_scope: bool) -> bool {
        let condition = if of_scope { self.search } else { self.process };
        match reason {
            Reason::Starting => condition == Condition::Starting,
            Reason::Failing => condition == Condition::Failing,
            Reason::Paused => self.paused,
            Reason::Draining => self.phase == Phase::Draining,
            Reason::Closing => self.phase == Phase::Closing,
            Reason::Closed => self.phase == Phase::Closed,
            _ => false,
        }
    }

    /// Whether the gate of the whole process, as this server has it, admitted requests.
    pub(crate) fn admits(&self) -> bool {
        let refusing = [
            Reason::Starting,
            Reason::Failing,
            Reason::Paused,
            Reason::Closed,
        ];
        !refusing.iter().any(|&reason| self.has(reason, false))
    }
}

/// The changes of the facts, the oldest first.
pub(crate) struct VersionLog(VecDeque<Entry>);

impl VersionLog {
    pub(crate) fn new(snapshot: &Snapshot) -> Self {
        Self([Entry::of(snapshot)].into())
    }

    /// Adds the new part of the history.
    ///
    /// # Errors
    ///
    /// If a part is missing, or shows what must not happen.
    pub(crate) fn extend(&mut self, history: &[Transition]) -> Result<(), &'static str> {
        let mut last = *self.0.back().ok_or("the log of versions is empty")?;
        let known = last.version;
        let mut result = Ok(());
        if history
            .first()
            .is_some_and(|oldest| oldest.version() > known + 1)
        {
            result = Err("the history is too short for the log of versions");
        }
        for transition in history.iter().filter(|it| it.version() > known) {
            if transition.version() > last.version {
                last.version = transition.version();
                self.0.push_back(last);
            }
            last.change(transition.kind());
            if let Some(newest) = self.0.back_mut() {
                *newest = last;
            }
            if is_false_silence(transition.kind()) {
                result = Err("a subsystem that beats became stale");
            }
        }
        while self.0.len() > KEPT {
            self.0.pop_front();
        }
        result
    }

    /// The facts of these versions; `None` if they are no longer known.
    pub(crate) fn of(&self, versions: RangeInclusive<u64>) -> Option<impl Iterator<Item = &Entry>> {
        let until = |version| self.0.partition_point(|entry| entry.version <= version);
        let first = until(*versions.start()).checked_sub(1)?;
        Some(self.0.range(first..until(*versions.end()).max(first + 1)))
    }

    /// Forgets all but the newest facts.
    pub(crate) fn forget(&mut self) {
        self.0.drain(..self.0.len().saturating_sub(1));
        self.0.shrink_to_fit();
    }
}

/// Whether the subsystem whose heartbeats never pause, but for those of the whole process, is
/// silent.
fn is_false_silence(change: &TransitionKind) -> bool {
    matches!(
        change,
        TransitionKind::Subsystem { name, to: Some(State::Stale), .. } if **name == *"steady"
    )
}
