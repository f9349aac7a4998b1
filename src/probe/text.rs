use super::{
    question::{Detail, Live, Question, Target},
    route::Probe,
};
use crate::{
    state::{
        Claim, Condition, Damped, Data, Phase, Progress, ScopeId, State, SubsystemView, Verdict,
    },
    traffic::{Drift, Traffic},
};
use std::{
    fmt::{self, Write as _},
    time::{Duration, Instant},
};

/// How many culprits the one-line form names.
const NAMED: usize = 8;

/// The answer as text: one line, or with `?verbose` one line for each
/// subsystem before it.
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
        return writeln!(text, "{}", question.words(verdict));
    }
    if question.query.verbose || question.probe == Probe::Status {
        for view in question.subjects(data) {
            write_subsystem(text, question, view, detail, live.now)?;
        }
        if let Target::Scope(ScopeId::Process) = question.target {
            for (index, scope) in data.scopes.iter().enumerate() {
                let verdict = scope.standing.verdict;
                let sign = if verdict.is_ready() { '+' } else { '-' };
                write!(
                    text,
                    "[{sign}]{} {} (scope)",
                    scope.name,
                    verdict.condition()
                )?;
                if let Some(drift) = question.drift(ScopeId::Named(index), live) {
                    write!(text, ": {}", Drifted(drift))?;
                }
                text.write_char('\n')?;
            }
            if let Some(drift) = question.drift(ScopeId::Process, live) {
                writeln!(text, "drift: {}", Drifted(drift))?;
            }
        }
    }
    for name in &question.query.exclude {
        if data.subsystem(name).is_none() {
            writeln!(text, "no subsystem to exclude: {}", OneLine(name))?;
        }
    }
    write_summary(text, question, data, verdict, detail, live.traffic)
}

fn write_subsystem(
    text: &mut String,
    question: &Question,
    view: &SubsystemView,
    detail: Detail,
    now: Instant,
) -> fmt::Result {
    let excluded = question.query.excludes(view.name());
    let sign = if excluded || view.state().is_up() {
        '+'
    } else {
        '-'
    };
    write!(
        text,
        "[{sign}]{} {} ({}",
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

/// What was reported but does not count yet: `, failing 2/3 (timeout)`.
fn write_damped(
    text: &mut String,
    damped: Damped<'_>,
    detail: Detail,
    now: Instant,
) -> fmt::Result {
    write!(text, ", {} ", damped.state())?;
    match damped.progress() {
        Progress::Count { count, needed } => write!(text, "{count}/{needed}")?,
        Progress::Until(until) => {
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
    text.write_str(question.words(verdict))?;
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
    let mut unnamed = 0_usize;
    for (index, view) in question
        .subjects(data)
        .filter(|view| question.blames(view, verdict))
        .enumerate()
    {
        if index >= NAMED {
            unnamed += 1;
            continue;
        }
        separate(text)?;
        write!(text, "{} {}", view.name(), view.state())?;
        if detail >= Detail::Full && view.state() != State::Ready {
            if let Some(reason) = view.reason() {
                write!(text, " ({})", OneLine(reason))?;
            }
        }
    }
    if unnamed > 0 {
        separate(text)?;
        write!(text, "{unnamed} more")?;
    }
    text.write_char('\n')
}

/// Shows a text in one line: what a terminal or a log would break or obey
/// becomes a blank.
pub(crate) struct OneLine<'a>(pub(crate) &'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let harmless = |c: char| match c {
            // Unicode's own line and paragraph separators, and what changes
            // the direction of writing.
            '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => ' ',
            c if c.is_control() => ' ',
            c => c,
        };
        self.0
            .chars()
            .map(harmless)
            .try_for_each(|c| f.write_char(c))
    }
}

/// Shows a drift in a few words.
struct Drifted(Drift);

impl fmt::Display for Drifted {
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

/// Shows a duration in its largest whole unit.
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
    fn whatever_breaks_a_line_becomes_a_blank() {
        let nasty = "a\nb\r\nc\td\0e\u{1b}[31mf\u{85}g\u{2028}h\u{202e}i";
        assert_eq!(OneLine(nasty).to_string(), "a b  c d e [31mf g h i");
        assert_eq!(OneLine("naïve – ✓").to_string(), "naïve – ✓");
    }

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
