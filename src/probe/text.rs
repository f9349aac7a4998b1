use super::{
    question::Detail,
    rendering::{Rendering, refused_by_reason},
};
use crate::{
    state::{
        Age, Aspect, Claim, Condition, Damped, DampingProgress, Explanation, Phase, ScopeId,
        SubsystemView,
        text::{OneLine, Thousands},
    },
    traffic::{Drift, RequestCounts},
    wire::text::{DOWN, DRIFT, PLAN, UNKNOWN, UP},
};
use std::{
    fmt::{self, Display, Write as _},
    mem,
};

/// Renders the answer as text: a summary line, preceded by one line for each
/// subsystem with `?verbose`.
pub(super) fn render(answer: &Rendering<'_>) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = answer.write(&mut text);
    text
}

/// Renders the summary line alone, without a line end.
pub(super) fn summary(answer: &Rendering<'_>) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = answer.write_summary(&mut text);
    text
}

impl Rendering<'_> {
    fn write(&self, text: &mut String) -> fmt::Result {
        if self.detail == Detail::None {
            // Not formatted, because this is the answer to nearly every probe.
            let word = self.word();
            text.reserve_exact(word.len() + 1);
            text.push_str(word);
            text.push('\n');
            return Ok(());
        }
        // These lines precede the list, so that a client that reads only a part of
        // a long list sees them.
        for name in &self.selection.unknown {
            writeln!(text, "{UNKNOWN}{}", OneLine(name))?;
        }
        if let Some(value) = &self.question.query.unclear_verbose {
            writeln!(text, "{}", UnclearVerbose(value))?;
        }
        if self.question.is_verbose() {
            for view in self.listed() {
                self.write_subsystem(text, view)?;
            }
            if self.selection.is_process() && !self.is_short {
                self.write_scopes(text)?;
                if let Some(drain) = self.drain {
                    writeln!(text, "{PLAN}{}", drain.times)?;
                }
                self.write_history(text)?;
            }
        }
        self.write_summary(text)?;
        text.write_char('\n')
    }

    fn write_scopes(&self, text: &mut String) -> fmt::Result {
        for index in 0..self.selection.data.scopes.len() {
            self.write_scope(text, index)?;
        }
        if let Some(drift) = self.drift(ScopeId::Process) {
            writeln!(text, "{DRIFT}{}", DriftSummary(drift))?;
        }
        for (label, refused) in self.refusals() {
            if let Some(counts) = counts(refused, None) {
                writeln!(text, "{label}: {counts}")?;
            }
        }
        Ok(())
    }

    /// Writes a line for a scope:
    /// `[-]search failing (scope): index failing (disk full); refused 3 failing`
    fn write_scope(&self, text: &mut String, index: usize) -> fmt::Result {
        let data = self.selection.data;
        let (id, scope) = (ScopeId::Named(index), &data.scopes[index]);
        let verdict = scope.status.verdict;
        let mark = if verdict.is_ready() { UP } else { DOWN };
        let condition = verdict.condition();
        write!(text, "{mark}{} {condition} (scope)", scope.name)?;

        let mut remarks = Remarks::new(text, "; ");
        remarks.explain(
            &Explanation::of_scope(data, id, Aspect::Readiness),
            self.detail,
        )?;
        for (label, refused) in self.refusals() {
            if let Some(counts) = counts(refused, Some(id)) {
                remarks.add(format_args!("{label} {counts}"))?;
            }
        }
        if let Some(drift) = self.drift(id) {
            remarks.add(DriftSummary(drift))?;
        }
        text.write_char('\n')
    }

    /// The counts of refused requests that the answer shows, with their labels.
    fn refusals(&self) -> impl Iterator<Item = (&'static str, &RequestCounts)> {
        let refusals = [
            ("refused", &self.traffic.gates),
            ("a dry run would have refused", &self.traffic.dry_run_gates),
        ];
        refusals.into_iter().filter(|_| self.shows_counts())
    }

    fn write_subsystem(&self, text: &mut String, view: &SubsystemView) -> fmt::Result {
        let is_excluded = self.selection.excludes(view);
        let mark = if is_excluded || view.state().is_up() {
            UP
        } else {
            DOWN
        };
        let (name, state, role) = (view.name(), view.state(), view.role());
        write!(text, "{mark}{name} {state} ({role}")?;
        for (applies, word) in [
            (view.is_vital(), ", vital"),
            (view.is_pending(), ", pending"),
            (view.claim() == Claim::Unclaimed, ", unclaimed"),
            (view.is_simulated(), ", simulated"),
            (is_excluded, ", excluded"),
        ] {
            text.write_str(if applies { word } else { "" })?;
        }
        text.write_char(')')?;
        if let Some(damped) = view.damped() {
            self.write_damped(text, damped)?;
        }
        // The reason of a group has its counts, too.
        if let Some(counts) = view.members().filter(|_| self.detail < Detail::Full) {
            let [ready, total] = [counts.ready(), counts.total()].map(|n| Thousands(n as u64));
            write!(text, ": {ready} of {total} ready")?;
        }
        if self.detail >= Detail::Full {
            write!(text, " for {}", Age(view.age(self.now)))?;
            if let Some(reason) = view.reason() {
                write!(text, ": {}", OneLine(reason))?;
            }
            for (key, value) in view.attributes() {
                write!(text, " {key}={}", OneLine(value))?;
            }
        }
        text.write_char('\n')
    }

    /// Writes a reported state that does not take effect yet:
    /// `, failing 2/3 (timeout)`.
    fn write_damped(&self, text: &mut String, damped: Damped<'_>) -> fmt::Result {
        write!(text, ", {} ", damped.state())?;
        match damped.progress() {
            DampingProgress::Count { count, needed } => write!(text, "{count}/{needed}")?,
            DampingProgress::Until(until) => {
                let remaining = until.saturating_duration_since(self.now);
                write!(text, "in {}", Age(remaining))?;
            }
        }
        match damped.reason() {
            Some(reason) if self.detail >= Detail::Full => write!(text, " ({})", OneLine(reason)),
            _ => Ok(()),
        }
    }

    fn write_summary(&self, text: &mut String) -> fmt::Result {
        let (aspect, data) = (self.question.probe.aspect(), self.selection.data);
        text.write_str(self.word())?;
        let is_degraded = self.verdict.condition() == Condition::Degraded;
        if aspect == Aspect::Readiness && self.verdict.is_ready() && is_degraded {
            text.write_str(" (degraded)")?;
        }
        let mut remarks = Remarks::new(text, ", ");
        if aspect == Aspect::Readiness {
            if data.phase >= Phase::Draining {
                remarks.add(data.phase)?;
                if let Some(in_flight) = self.traffic.flights.count() {
                    remarks.add(format_args!("{in_flight} in flight"))?;
                }
            }
            match &data.pause {
                Some(reason) if self.detail >= Detail::Full && !reason.is_empty() => {
                    remarks.add(format_args!("paused ({})", OneLine(reason)))?;
                }
                Some(_) => remarks.add("paused")?,
                None => {}
            }
        }
        remarks.explain(&Explanation::new(self.selection, aspect), self.detail)
    }
}

/// Appends remarks to a line: `: first, second`.
struct Remarks<'t> {
    text: &'t mut String,
    separator: &'static str,
    next: &'static str,
}

impl<'t> Remarks<'t> {
    fn new(text: &'t mut String, separator: &'static str) -> Self {
        Self {
            text,
            separator,
            next: ": ",
        }
    }

    fn add(&mut self, remark: impl Display) -> fmt::Result {
        let separator = mem::replace(&mut self.next, self.separator);
        write!(self.text, "{separator}{remark}")
    }

    fn explain(&mut self, explanation: &Explanation<'_>, detail: Detail) -> fmt::Result {
        if explanation.is_empty() {
            return Ok(());
        }
        self.add(explanation.with_states(detail >= Detail::Full))
    }
}

/// Renders the counts by reason, `3 starting, 1 closed`, or returns `None` without
/// any.
fn counts(refused: &RequestCounts, scope: Option<ScopeId>) -> Option<String> {
    let counts =
        refused_by_reason(refused, scope).map(|(reason, count)| format!("{count} {reason}"));
    let counts: Vec<_> = counts.collect();
    (!counts.is_empty()).then(|| counts.join(", "))
}

/// Displays the valid values of `verbose` and the one given.
pub(super) struct UnclearVerbose<'a>(pub(super) &'a str);

impl Display for UnclearVerbose<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "verbose takes true or false, not {}", OneLine(self.0))
    }
}

/// Displays a drift:
/// `3 of 10 failed while ready, refused for 5s against all checks, in 1m`.
struct DriftSummary(Drift);

impl Display for DriftSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(drift) = self;
        write!(
            f,
            "{} of {} failed while ready",
            drift.failed(),
            drift.admitted()
        )?;
        if !drift.refusing().is_zero() {
            write!(
                f,
                ", refused for {} against all checks",
                Age(drift.refusing())
            )?;
        }
        write!(f, ", in {}", Age(drift.window()))
    }
}
