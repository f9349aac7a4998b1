//! Log lines that are due at a time, and the limit of logged changes of one subsystem.

use crate::{
    logging::event,
    mutex::Mutex,
    panics::contained,
    registry::shrink::shrink,
    state::{Aspect, Condition, Data, Explanation, Phase, ScopeId, Slot, Snapshot},
    traffic::EpisodeEvent,
};
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};
use tracing::{Level, Span};

/// How many changes of one subsystem are logged in [`WINDOW`], those at `debug` not
/// counted. A change is one publication, which has a line for each scope that it affects.
const MOST_CHANGES: usize = 10;
const WINDOW: Duration = Duration::from_secs(60);

/// The deadlines of log lines, and the logged changes of each subsystem.
#[derive(Debug)]
pub(super) struct LineDeadlines(Mutex<LineState>);

#[derive(Debug)]
struct LineState {
    begun: Instant,
    /// How many lines about the start were logged; `None` once it is over.
    start_lines: Option<u32>,
    budgets: HashMap<Slot, Budget>,
}

/// How many changes of one subsystem were logged and left out in a window.
#[derive(Debug)]
struct Budget {
    since: Instant,
    logged: usize,
    left_out: usize,
}

/// A line that is due.
pub(super) enum Due {
    /// The process waits for subsystems.
    Waiting(Snapshot),
    /// Changes of a subsystem were left out.
    LeftOut(Snapshot, Slot, usize),
    /// Gates refuse or have refused requests.
    Refused(EpisodeEvent),
}

impl LineDeadlines {
    pub(super) fn new(begun: Instant) -> Self {
        Self(Mutex::new(LineState {
            begun,
            start_lines: Some(0),
            budgets: HashMap::new(),
        }))
    }

    /// Returns whether a change of the subsystem in `slot` is logged. For the first change
    /// of a window that is not, it also returns when to log that changes were left out.
    pub(super) fn admit(&self, slot: Slot, now: Instant) -> (bool, Option<Instant>) {
        let mut state = self.0.lock();
        let budget = state.budgets.entry(slot).or_insert(Budget {
            since: now,
            logged: 0,
            left_out: 0,
        });
        if budget.left_out == 0 && now >= budget.since + WINDOW {
            (budget.since, budget.logged) = (now, 0);
        }
        if budget.left_out == 0 && budget.logged < MOST_CHANGES {
            budget.logged += 1;
            return (true, None);
        }
        let is_first = budget.left_out == 0;
        budget.left_out += 1;
        (false, is_first.then_some(budget.since + WINDOW))
    }

    /// Forgets the subsystem in `slot`, which has retired.
    pub(super) fn forget(&self, slot: Slot) {
        let budgets = &mut self.0.lock().budgets;
        budgets.remove(&slot);
        shrink(budgets);
    }

    /// Collects the lines that are due, and returns when the next is due.
    pub(super) fn collect_due(
        &self,
        now: Instant,
        snapshot: impl Fn() -> Snapshot,
        due: &mut Vec<Due>,
    ) -> Option<Instant> {
        let mut state = self.0.lock();
        let waiting = state.collect_start_line(now, &snapshot, due);
        let mut next = None;
        state.budgets.retain(|slot, budget| {
            let ends = budget.since + WINDOW;
            if budget.left_out == 0 {
                return ends > now;
            }
            if ends > now {
                next = next.into_iter().chain([ends]).min();
                return true;
            }
            due.push(Due::LeftOut(snapshot(), *slot, budget.left_out));
            false
        });
        shrink(&mut state.budgets);
        waiting.into_iter().chain(next).min()
    }
}

impl LineState {
    fn collect_start_line(
        &mut self,
        now: Instant,
        snapshot: impl Fn() -> Snapshot,
        due: &mut Vec<Due>,
    ) -> Option<Instant> {
        let mut lines = self.start_lines?;
        let snapshot = snapshot();
        let waits = snapshot.verdict().condition() == Condition::Starting;
        if !waits || snapshot.phase() >= Phase::Draining {
            self.start_lines = None;
            return None;
        }
        let lasts = now.saturating_duration_since(self.begun);
        if start_line_after(lines) <= lasts {
            // Logs one line, however many were missed.
            while start_line_after(lines) <= lasts {
                lines += 1;
            }
            due.push(Due::Waiting(snapshot));
        }
        self.start_lines = Some(lines);
        Some(self.begun + start_line_after(lines))
    }
}

/// How long after the registry was built the next line about the start is logged:
/// after 10 seconds, after 30, and then each minute.
fn start_line_after(lines: u32) -> Duration {
    Duration::from_secs(match lines {
        0 => 10,
        1 => 30,
        more => 60 * u64::from(more - 1),
    })
}

impl Due {
    /// Logs the line. Never waits.
    pub(super) fn log(self, newest: impl Fn() -> Snapshot) {
        match self {
            Self::Waiting(snapshot) => crate::logging::line(Level::INFO, || {
                move |span| contained(|| waiting(&snapshot.0, span))
            }),
            Self::LeftOut(snapshot, slot, changes) => crate::logging::line(Level::WARN, || {
                move |span| contained(|| left_out(&snapshot.0, slot, changes, span))
            }),
            Self::Refused(told) => super::refused::log(told.with_causes_of(newest())),
        }
    }
}

fn waiting(data: &Data, span: &Span) {
    let causes = Explanation::of_scope(data, ScopeId::Process, Aspect::Readiness);
    event!(
        info,
        "start_waits",
        span,
        version = data.version,
        "waiting for {causes}"
    );
}

fn left_out(data: &Data, slot: Slot, changes: usize, span: &Span) {
    let Some(view) = data.views.get(slot) else {
        return;
    };
    let (version, ready) = (data.version, data.process.verdict.is_ready());
    let (subsystem, state, reason) = (view.name(), view.state(), view.reason());
    event!(
        warn,
        "lines_left_out",
        span,
        version,
        subsystem,
        %state,
        reason,
        process_ready = ready,
        "{changes} more changes of {subsystem} were left out: it changes too often"
    );
}

#[cfg(all(test, not(tower_readiness_loom)))]
mod tests {
    use super::*;

    #[test]
    fn ten_changes_a_minute_are_logged_and_one_line_counts_the_rest() {
        let begun = Instant::now();
        let timed = LineDeadlines::new(begun);
        let readiness = crate::Readiness::builder().allow_empty().build().unwrap();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let collect = |seconds| {
            let mut due = Vec::new();
            let next = timed.collect_due(at(seconds), || readiness.snapshot(), &mut due);
            let left_out = due.iter().filter_map(|due| match due {
                Due::LeftOut(_, _, changes) => Some(*changes),
                _ => None,
            });
            (left_out.collect::<Vec<_>>(), next)
        };
        let admit = |slot, seconds| timed.admit(Slot(slot), at(seconds));
        for seconds in 0..10 {
            assert_eq!(admit(3, seconds), (true, None));
        }
        assert_eq!(admit(3, 10), (false, Some(at(60))));
        assert_eq!(admit(3, 11), (false, None));
        assert_eq!(admit(4, 12), (true, None), "another subsystem");
        assert_eq!(collect(59), (vec![], Some(at(60))));
        assert_eq!(admit(3, 61), (false, None), "not logged yet");
        assert_eq!(collect(60), (vec![3], None));
        for _ in 0..10 {
            assert_eq!(admit(3, 62), (true, None));
        }
        assert_eq!(admit(3, 122), (true, None), "a minute later");
    }

    #[test]
    fn a_window_is_kept_until_it_ends_or_its_subsystem_retires() {
        let begun = Instant::now();
        let timed = LineDeadlines::new(begun);
        let readiness = crate::Readiness::builder().allow_empty().build().unwrap();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let kept_after = |seconds| {
            timed.collect_due(at(seconds), || readiness.snapshot(), &mut Vec::new());
            timed.0.lock().budgets.len()
        };
        timed.admit(Slot(3), begun);
        assert_eq!((kept_after(59), kept_after(60)), (1, 0));
        for _ in 0..11 {
            timed.admit(Slot(3), at(61));
        }
        timed.forget(Slot(3));
        let of_its_successor = timed.admit(Slot(3), at(62));
        assert_eq!(of_its_successor, (true, None));
    }
}
