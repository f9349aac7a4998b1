//! Explains a verdict: which subsystems are the cause, in which order, how many
//! of them are named, and how an age is written. Every surface that explains a
//! verdict uses this module.

use super::{
    selection::{Selection, Target},
    snapshot::{Data, ScopeId},
    text::{self, OneLine},
    verdict::Aspect,
    view::SubsystemView,
    vocabulary::State,
};
use std::{fmt, time::Duration};

/// The most subsystems that an explanation names.
const NAMED: usize = 8;

/// How many bytes of a reason are kept, so that the next cause has room.
const REASON: usize = 120;

/// The subsystems that cause an answer to be red, or readiness to be degraded.
///
/// The vital ones that are dead or stale come first, because only a restart
/// repairs them: when the runtime hangs, all subsystems on it become stale. The
/// others follow in the order of their declaration.
///
/// `Display` is for logs and status lines, with short reasons:
/// `storage (connection refused), policy (starting: 40 %), 3 more`.
pub(crate) struct Explanation<'a> {
    causes: Vec<&'a SubsystemView>,
}

impl<'a> Explanation<'a> {
    pub(crate) fn new(selection: &Selection<'a>, aspect: Aspect) -> Self {
        let verdict = selection.verdict();
        let is_green = verdict.is_green(aspect);
        let is_cause = |view: &&SubsystemView| {
            let on_process = view.effect_on_process();
            let effect = match selection.target {
                Target::Scope(ScopeId::Process) => on_process,
                _ => view.effect_on_scope(),
            };
            let count = match (aspect, is_green) {
                (Aspect::Startup, false) => effect.absent,
                // Liveness is of the process as a whole, in every scope.
                (Aspect::Liveness, false) => on_process.vital_dead,
                (Aspect::Startup | Aspect::Liveness, true) => 0,
                (Aspect::Readiness, false) => effect.awaited + effect.failing,
                (Aspect::Readiness, true) => effect.degraded,
            };
            count > 0 && !selection.excludes(view)
        };
        let mut causes: Vec<_> = selection.members().filter(is_cause).collect();
        causes.sort_by_key(|view| view.effect_on_process().vital_dead == 0);
        Self { causes }
    }

    /// Explains an answer about a scope.
    pub(crate) fn of_scope(data: &'a Data, scope: ScopeId, aspect: Aspect) -> Self {
        Self::new(&Selection::new(data, Target::Scope(scope)), aspect)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.causes.is_empty()
    }

    pub(crate) fn causes(&self) -> &[&'a SubsystemView] {
        &self.causes
    }

    /// Shows the causes with their states and, if `with_reasons`, whole reasons:
    /// `storage failing (disk full), 3 more`.
    pub(crate) fn with_states(&self, with_reasons: bool) -> impl fmt::Display + '_ {
        WithStates {
            explanation: self,
            with_reasons,
        }
    }

    fn write(
        &self,
        f: &mut fmt::Formatter<'_>,
        write_one: impl Fn(&mut fmt::Formatter<'_>, &SubsystemView) -> fmt::Result,
    ) -> fmt::Result {
        for (index, view) in self.causes.iter().take(NAMED).enumerate() {
            f.write_str(if index > 0 { ", " } else { "" })?;
            write_one(f, view)?;
        }
        match self.causes.len().saturating_sub(NAMED) {
            0 => Ok(()),
            unnamed => write!(f, ", {unnamed} more"),
        }
    }
}

impl fmt::Display for Explanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, |f, view| {
            let name = view.name();
            match (view.state(), view.reason().map(Short)) {
                (State::Starting, None) if !view.has_reported() => {
                    write!(f, "{name} (never reported)")
                }
                (State::Starting, Some(reason)) => write!(f, "{name} (starting: {reason})"),
                (_, Some(reason)) => write!(f, "{name} ({reason})"),
                (state, None) => write!(f, "{name} ({state})"),
            }
        })
    }
}

struct WithStates<'e> {
    explanation: &'e Explanation<'e>,
    with_reasons: bool,
}

impl fmt::Display for WithStates<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.explanation.write(f, |f, view| {
            write!(f, "{} {}", view.name(), view.state())?;
            match view.reason().filter(|_| self.with_reasons) {
                Some(reason) => write!(f, " ({})", OneLine(reason)),
                // Reasons of simulations begin with this word.
                None if view.is_simulated() => f.write_str(" (simulated)"),
                None => Ok(()),
            }
        })
    }
}

/// Shows the beginning of a reason, in one line.
pub(crate) struct Short<'a>(pub(crate) &'a str);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = text::cut(self.0, REASON);
        let more = if kept.len() < self.0.len() { "…" } else { "" };
        write!(f, "{}{more}", OneLine(kept))
    }
}

/// Shows a duration in its largest whole unit: `340ms`, `12s`, `1m`, `2h`, `3d`.
pub(crate) struct Age(pub(crate) Duration);

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match seconds {
            0 => write!(f, "{}ms", self.0.as_millis()),
            1..60 => write!(f, "{seconds}s"),
            60..3_600 => write!(f, "{}m", seconds / 60),
            3_600..86_400 => write!(f, "{}h", seconds / 3_600),
            _ => write!(f, "{}d", seconds / 86_400),
        }
    }
}

/// Shows a duration in its two largest units: `45 s`, `12 min 5 s`, `3 h 12 min`,
/// `2 d 3 h`. A second unit of zero is left out.
#[cfg(all(unix, feature = "termination"))]
pub(crate) struct Lasted(pub(crate) Duration);

#[cfg(all(unix, feature = "termination"))]
impl fmt::Display for Lasted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let ((more, unit), (less, smaller)) = match seconds {
            0..60 => ((seconds, "s"), (0, "")),
            60..3_600 => ((seconds / 60, "min"), (seconds % 60, "s")),
            3_600..86_400 => ((seconds / 3_600, "h"), (seconds / 60 % 60, "min")),
            _ => ((seconds / 86_400, "d"), (seconds / 3_600 % 24, "h")),
        };
        write!(f, "{more} {unit}")?;
        match less {
            0 => Ok(()),
            less => write!(f, " {less} {smaller}"),
        }
    }
}

#[cfg(all(test, not(tower_readiness_loom)))]
mod tests {
    use super::*;
    use crate::registry::{Readiness, Subsystem};

    fn explain(readiness: &Readiness, scope: ScopeId, aspect: Aspect) -> String {
        Explanation::of_scope(&readiness.snapshot().0, scope, aspect).to_string()
    }

    fn process(subsystems: impl IntoIterator<Item = Subsystem>) -> crate::Builder {
        let subsystems = subsystems.into_iter();
        subsystems.fold(Readiness::builder(), crate::Builder::subsystem)
    }

    #[test]
    fn the_causes_are_named_in_the_order_of_their_declaration_with_their_reasons() {
        let names = ["storage", "policy", "listener"];
        let readiness = process(names.map(Subsystem::new))
            .subsystem(Subsystem::new("index").optional())
            .scope("search", ["index"])
            .build()
            .unwrap();
        let process = |aspect| explain(&readiness, ScopeId::Process, aspect);
        let policy = readiness.reporter("policy").unwrap();
        policy.starting("40 %");
        let listener = readiness.reporter("listener").unwrap();
        listener.ready();
        let waiting = "storage (never reported), policy (starting: 40 %)";
        assert_eq!(process(Aspect::Startup), waiting);
        assert_eq!(process(Aspect::Readiness), waiting);
        assert_eq!(process(Aspect::Liveness), "");
        let search = explain(&readiness, ScopeId::Named(0), Aspect::Readiness);
        assert_eq!(search, "index (never reported)");

        policy.starting("");
        let storage = readiness.reporter("storage").unwrap();
        storage.failing("connection\nrefused");
        assert_eq!(
            process(Aspect::Readiness),
            "storage (connection refused), policy (starting)"
        );
        storage.dead("");
        policy.ready();
        assert_eq!(process(Aspect::Readiness), "storage (dead)");

        storage.ready();
        assert_eq!(process(Aspect::Startup), "", "it has started");
        assert_eq!(process(Aspect::Readiness), "index (never reported)");
        let _pause = readiness.pause("standby");
        assert_eq!(process(Aspect::Readiness), "", "the pause is the cause");
    }

    #[test]
    fn a_dead_vital_subsystem_is_named_first() {
        let vital = |name| Subsystem::new(name).vital();
        let subsystems = [Subsystem::new("storage"), vital("worker"), vital("writer")];
        let readiness = process(subsystems)
            .scope("both", ["storage", "worker", "storage"])
            .build()
            .unwrap();
        let [storage, worker, writer] =
            ["storage", "worker", "writer"].map(|name| readiness.reporter(name).unwrap());
        storage.failing("gone");
        worker.dead("panicked");
        writer.failing("full");
        let process = |aspect| explain(&readiness, ScopeId::Process, aspect);
        assert_eq!(
            process(Aspect::Readiness),
            "worker (panicked), storage (gone), writer (full)"
        );
        assert_eq!(process(Aspect::Liveness), "worker (panicked)");
        let both = |aspect| explain(&readiness, ScopeId::Named(0), aspect);
        assert_eq!(both(Aspect::Readiness), "worker (panicked), storage (gone)");
        assert_eq!(both(Aspect::Liveness), "worker (panicked)");
    }

    #[test]
    fn an_excluded_subsystem_is_no_cause() {
        let readiness = process(["a", "b"].map(Subsystem::new)).build().unwrap();
        let snapshot = readiness.snapshot();
        let excluded = ["b", "c", "b"].map(str::to_owned);
        let selection = Selection::new(&snapshot.0, Target::Scope(ScopeId::Process));
        let selection = selection.without(&excluded);
        assert_eq!(selection.excluded.len(), 1);
        assert_eq!(selection.unknown, ["c"]);
        let explanation = Explanation::new(&selection, Aspect::Readiness);
        assert_eq!(explanation.with_states(true).to_string(), "a starting");
    }

    #[test]
    fn states_and_whole_reasons_are_shown_to_probes() {
        let readiness = process(["storage"].map(Subsystem::new)).build().unwrap();
        let storage = readiness.reporter("storage").unwrap();
        let reason = "x".repeat(2 * REASON);
        storage.failing(&*reason);
        let snapshot = readiness.snapshot();
        let explanation = Explanation::of_scope(&snapshot.0, ScopeId::Process, Aspect::Readiness);
        let shown = [false, true].map(|reasons| explanation.with_states(reasons).to_string());
        assert_eq!(
            shown,
            [
                "storage failing".into(),
                format!("storage failing ({reason})")
            ]
        );
    }

    #[test]
    fn of_many_causes_eight_are_named_with_short_reasons() {
        let names: Vec<_> = (0..40).map(|index| format!("part-{index}")).collect();
        let readiness = process(names.iter().map(Subsystem::new)).build().unwrap();
        let first = readiness.reporter("part-0").unwrap();
        first.failing("é".repeat(500));
        let text = explain(&readiness, ScopeId::Process, Aspect::Readiness);
        assert!(text.starts_with(&format!("part-0 ({}…), part-1 ", "é".repeat(60))));
        assert!(
            text.ends_with(", part-7 (never reported), 32 more"),
            "{text}"
        );
    }

    #[test]
    fn an_age_is_written_in_its_largest_unit() {
        let age = |millis| Age(Duration::from_millis(millis)).to_string();
        assert_eq!(age(340), "340ms");
        assert_eq!(age(12_900), "12s");
        assert_eq!(age(119_000), "1m");
        assert_eq!(age(3_600_000), "1h");
        assert_eq!(age(86_400_000), "1d");
    }

    #[cfg(all(unix, feature = "termination"))]
    #[test]
    fn a_duration_is_written_in_its_two_largest_units() {
        let lasted = |seconds| Lasted(Duration::from_secs(seconds)).to_string();
        assert_eq!(lasted(0), "0 s");
        assert_eq!(lasted(59), "59 s");
        assert_eq!(lasted(60), "1 min");
        assert_eq!(lasted(3_599), "59 min 59 s");
        assert_eq!(lasted(3 * 3_600 + 12 * 60 + 59), "3 h 12 min");
        assert_eq!(lasted(2 * 86_400 + 3 * 3_600), "2 d 3 h");
    }
}
