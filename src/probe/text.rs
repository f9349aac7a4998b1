use super::question::{Detail, Live, Question, Target, blamed_members};
use crate::{
    state::{
        Claim, Condition, Damped, DampingProgress, Data, Phase, Reason, ScopeId, State,
        SubsystemView, Verdict, text::OneLine,
    },
    traffic::{Drift, Traffic},
    wire::{
        Probe,
        text::{DOWN, DRIFT, UNKNOWN, UP},
    },
};
use std::{
    fmt::{self, Write as _},
    time::{Duration, Instant},
};

/// How many blamed subsystems the summary line names.
const MAX_NAMED: usize = 8;

/// Renders the answer as text: a summary line, preceded by one line for each
/// subsystem with `?verbose`.
pub(super) fn render(
    question: &Question,
    data: &Data,
    verdict: Verdict,
    detail: Detail,
    live: Live<'_>,
) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut text, question, data, verdict, detail, live);
    text
}

fn write(
    text: &mut String,
    question: &Question,
    data: &Data,
    verdict: Verdict,
    detail: Detail,
    live: Live<'_>,
) -> fmt::Result {
    if detail == Detail::None {
        return writeln!(text, "{}", question.verdict_text(verdict));
    }
    // These lines precede the list, so that a client that reads only a part of a
    // long list sees them.
    for name in &question.query.exclude {
        if data.subsystem(name).is_none() {
            writeln!(text, "{UNKNOWN}{}", OneLine(name))?;
        }
    }
    if let Some(value) = &question.query.unclear_verbose {
        writeln!(text, "{}", UnclearVerbose(value))?;
    }
    if question.query.verbose || question.probe == Probe::Status {
        for view in question.subjects(data) {
            write_subsystem(text, question, view, detail, live.now)?;
        }
        if let Target::Scope(ScopeId::Process) = question.target {
            for index in 0..data.scopes.len() {
                write_scope(text, question, data, index, detail, live)?;
            }
            if let Some(drift) = question.drift(ScopeId::Process, live) {
                writeln!(text, "{DRIFT}{}", DriftSummary(drift))?;
            }
            if question.shows_counts() {
                let traffic = live.traffic;
                let refused = Counts::nonzero(|reason| traffic.refused.total(reason));
                if let Some(refused) = refused {
                    writeln!(text, "refused: {refused}")?;
                }
                let refused = Counts::nonzero(|reason| traffic.dry_run_refused.total(reason));
                if let Some(refused) = refused {
                    writeln!(text, "a dry run would have refused: {refused}")?;
                }
            }
        }
    }
    write_summary(text, question, data, verdict, detail, live.traffic)
}

/// Writes a line for a scope:
/// `[-]search failing (scope): index failing (disk full); refused 3 failing`
fn write_scope(
    text: &mut String,
    question: &Question,
    data: &Data,
    index: usize,
    detail: Detail,
    live: Live<'_>,
) -> fmt::Result {
    let (id, scope) = (ScopeId::Named(index), &data.scopes[index]);
    let verdict = scope.status.verdict;
    let mark = if verdict.is_ready() { UP } else { DOWN };
    let condition = verdict.condition();
    write!(text, "{mark}{} {condition} (scope)", scope.name)?;

    let mut remarks = Vec::new();
    remarks
        .extend(Blamed::from_views(blamed_members(data, index), detail).map(|it| it.to_string()));
    if question.shows_counts() {
        let traffic = live.traffic;
        let refused = Counts::nonzero(|reason| traffic.refused.by_scope(id, reason));
        remarks.extend(refused.map(|refused| format!("refused {refused}")));
        let refused = Counts::nonzero(|reason| traffic.dry_run_refused.by_scope(id, reason));
        remarks.extend(refused.map(|refused| format!("a dry run would have refused {refused}")));
    }
    let drift = question.drift(id, live);
    remarks.extend(drift.map(|drift| DriftSummary(drift).to_string()));
    if !remarks.is_empty() {
        write!(text, ": {}", remarks.join("; "))?;
    }
    text.write_char('\n')
}

/// Displays the valid values of `verbose` and the one given.
pub(super) struct UnclearVerbose<'a>(pub(super) &'a str);

impl fmt::Display for UnclearVerbose<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "verbose takes true or false, not {}", OneLine(self.0))
    }
}

fn write_subsystem(
    text: &mut String,
    question: &Question,
    view: &SubsystemView,
    detail: Detail,
    now: Instant,
) -> fmt::Result {
    let excluded = question.query.excludes(view.name());
    let mark = if excluded || view.state().is_up() {
        UP
    } else {
        DOWN
    };
    write!(
        text,
        "{mark}{} {} ({}",
        view.name(),
        view.state(),
        view.role()
    )?;
    if view.is_vital() {
        text.write_str(", vital")?;
    }
    if view.is_pending() {
        text.write_str(", pending")?;
    }
    if view.claim() == Claim::Unclaimed {
        text.write_str(", unclaimed")?;
    }
    if excluded {
        text.write_str(", excluded")?;
    }
    text.write_char(')')?;
    if let Some(damped) = view.damped() {
        write_damped(text, damped, detail, now)?;
    }
    if detail >= Detail::Full {
        write!(text, " for {}", Age(view.age(now)))?;
        if let Some(reason) = view.reason() {
            write!(text, ": {}", OneLine(reason))?;
        }
        for (key, value) in view.attributes() {
            write!(text, " {key}={}", OneLine(value))?;
        }
    }
    text.write_char('\n')
}

/// Writes a reported state that does not take effect yet: `, failing 2/3 (timeout)`.
fn write_damped(
    text: &mut String,
    damped: Damped<'_>,
    detail: Detail,
    now: Instant,
) -> fmt::Result {
    write!(text, ", {} ", damped.state())?;
    match damped.progress() {
        DampingProgress::Count { count, needed } => write!(text, "{count}/{needed}")?,
        DampingProgress::Until(until) => {
            let remaining = until.saturating_duration_since(now);
            write!(text, "in {}", Age(remaining))?;
        }
    }
    match damped.reason() {
        Some(reason) if detail >= Detail::Full => write!(text, " ({})", OneLine(reason)),
        _ => Ok(()),
    }
}

fn write_summary(
    text: &mut String,
    question: &Question,
    data: &Data,
    verdict: Verdict,
    detail: Detail,
    traffic: &Traffic,
) -> fmt::Result {
    text.write_str(question.verdict_text(verdict))?;
    let of_readiness = matches!(question.probe, Probe::Readiness | Probe::Status);
    if of_readiness && verdict.is_ready() && verdict.condition() == Condition::Degraded {
        text.write_str(" (degraded)")?;
    }
    let mut separators = [": "].into_iter().chain(std::iter::repeat(", "));
    let mut separate = |text: &mut String| text.write_str(separators.next().unwrap_or_default());

    if of_readiness {
        if data.phase >= Phase::Draining {
            separate(text)?;
            write!(text, "{}", data.phase)?;
            if let Some(in_flight) = traffic.flights.count() {
                separate(text)?;
                write!(text, "{in_flight} in flight")?;
            }
        }
        if let Some(reason) = &data.pause {
            separate(text)?;
            text.write_str("paused")?;
            if detail >= Detail::Full && !reason.is_empty() {
                write!(text, " ({})", OneLine(reason))?;
            }
        }
    }
    let blamed = question.subjects(data);
    let blamed = blamed.filter(|view| question.blames(view, verdict));
    if let Some(blamed) = Blamed::from_views(blamed, detail) {
        separate(text)?;
        write!(text, "{blamed}")?;
    }
    text.write_char('\n')
}

/// Displays the blamed subsystems: `storage failing (disk full), 3 more`.
struct Blamed<'d> {
    views: Vec<&'d SubsystemView>,
    detail: Detail,
}

impl<'d> Blamed<'d> {
    /// Returns `None` if `blamed` is empty.
    fn from_views(blamed: impl Iterator<Item = &'d SubsystemView>, detail: Detail) -> Option<Self> {
        let mut views: Vec<_> = blamed.collect();
        // When the runtime hangs, all subsystems on it become stale. Vital dead
        // subsystems come first, because only a restart repairs them.
        views.sort_by_key(|view| view.effect_on_process().vital_dead == 0);
        (!views.is_empty()).then_some(Self { views, detail })
    }
}

impl fmt::Display for Blamed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, view) in self.views.iter().take(MAX_NAMED).enumerate() {
            let separator = if index > 0 { ", " } else { "" };
            write!(f, "{separator}{} {}", view.name(), view.state())?;
            if self.detail >= Detail::Full && view.state() != State::Ready {
                if let Some(reason) = view.reason() {
                    write!(f, " ({})", OneLine(reason))?;
                }
            }
        }
        match self.views.len().saturating_sub(MAX_NAMED) {
            0 => Ok(()),
            unnamed => write!(f, ", {unnamed} more"),
        }
    }
}

/// Displays the counts by reason that are above zero: `3 starting, 1 closed`.
struct Counts([(Reason, u64); Reason::ALL.len()]);

impl Counts {
    /// Returns `None` if all counts are zero.
    fn nonzero(count: impl Fn(Reason) -> u64) -> Option<Self> {
        let counts = Reason::ALL.map(|reason| (reason, count(reason)));
        let any = counts.iter().any(|(_, count)| *count > 0);
        any.then_some(Self(counts))
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.0.iter().filter(|(_, count)| *count > 0);
        for (index, (reason, count)) in counts.enumerate() {
            let separator = if index > 0 { ", " } else { "" };
            write!(f, "{separator}{count} {reason}")?;
        }
        Ok(())
    }
}

/// Displays a drift:
/// `3 of 10 failed while ready, refused for 5s against all checks, in 1m`.
struct DriftSummary(Drift);

impl fmt::Display for DriftSummary {
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

/// Displays a duration in its largest whole unit.
struct Age(Duration);

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match seconds {
            0..60 => write!(f, "{seconds}s"),
            60..3_600 => write!(f, "{}m", seconds / 60),
            3_600..86_400 => write!(f, "{}h", seconds / 3_600),
            _ => write!(f, "{}d", seconds / 86_400),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_shown_in_their_largest_whole_unit() {
        for (seconds, shown) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (3_599, "59m"),
            (3_600, "1h"),
            (86_399, "23h"),
            (86_400, "1d"),
            (864_000, "10d"),
        ] {
            assert_eq!(Age(Duration::from_secs(seconds)).to_string(), shown);
        }
    }
}
