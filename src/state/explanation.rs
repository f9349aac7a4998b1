//! Explains a verdict: which subsystems are the cause, in which order, how many
//! of them are named, and how an age is written. Every surface that explains a
//! verdict uses this module.

#![cfg_attr(
    not(all(unix, feature = "systemd", feature = "tracing")),
    allow(
        dead_code,
        reason = "the log and the status of systemd use a part each"
    )
)]

use super::{
    snapshot::{Data, ScopeId},
    text::{self, OneLine},
    view::SubsystemView,
    vocabulary::State,
};
use std::{fmt, time::Duration};

/// The most subsystems that an explanation names.
const NAMED: usize = 8;

/// How many bytes of a reason are kept, so that the next cause has room.
const REASON: usize = 120;

/// The answer to explain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// Liveness is red.
    NotLive,
    /// The start latch is open.
    NotStarted,
    /// The condition is starting or failing.
    NotReady,
    /// The condition is degraded.
    Degraded,
}

/// The subsystems that cause an answer, in the order of their declaration. They
/// show as `storage (connection refused), policy (starting: 40 %), 3 more`.
#[derive(Clone, Copy)]
pub(crate) struct Causes<'a> {
    data: &'a Data,
    scope: ScopeId,
    question: Question,
}

impl<'a> Causes<'a> {
    pub(crate) fn new(data: &'a Data, scope: ScopeId, question: Question) -> Self {
        Self {
            data,
            scope,
            question,
        }
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = &'a SubsystemView> {
        let Self {
            data,
            scope,
            question,
        } = self;
        data.members(scope).filter(move |view| {
            let effect = match (scope, question) {
                // Liveness is of the process as a whole, in every scope.
                (ScopeId::Process, _) | (_, Question::NotLive) => view.effect_on_process(),
                (ScopeId::Named(_), _) => view.effect_on_scope(),
            };
            let counts = match question {
                Question::NotLive => effect.vital_dead,
                Question::NotStarted => effect.absent,
                Question::NotReady => effect.awaited + effect.failing,
                Question::Degraded => effect.degraded,
            };
            counts > 0
        })
    }
}

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut unnamed = 0_usize;
        for (index, view) in self.iter().enumerate() {
            if index >= NAMED {
                unnamed += 1;
                continue;
            }
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{}{}", view.name(), Why(view))?;
        }
        if unnamed > 0 {
            write!(f, ", {unnamed} more")?;
        }
        Ok(())
    }
}

/// Shows the state and the reason of a cause, as ` (starting: 40 %)`. For a
/// failure, the reason alone is shown if there is one.
struct Why<'a>(&'a SubsystemView);

impl fmt::Display for Why<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(view) = self;
        match (view.state(), view.reason()) {
            (State::Starting, None) if !view.has_reported() => f.write_str(" (never reported)"),
            (State::Starting, Some(reason)) => write!(f, " (starting: {})", Short(reason)),
            (_, Some(reason)) => write!(f, " ({})", Short(reason)),
            (state, None) => write!(f, " ({state})"),
        }
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

/// Shows a duration in its largest whole unit.
pub(crate) struct Age(pub(crate) Duration);

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match seconds {
            0 => write!(f, "{} ms", self.0.as_millis()),
            1..60 => write!(f, "{seconds} s"),
            60..3_600 => write!(f, "{} min", seconds / 60),
            3_600..86_400 => write!(f, "{} h", seconds / 3_600),
            _ => write!(f, "{} d", seconds / 86_400),
        }
    }
}

#[cfg(all(test, not(tower_readiness_loom)))]
mod tests {
    use super::*;
    use crate::registry::{Readiness, Subsystem};

    fn causes(readiness: &Readiness, scope: ScopeId, question: Question) -> String {
        Causes::new(&readiness.snapshot().0, scope, question).to_string()
    }

    #[test]
    fn the_causes_are_named_in_the_order_of_their_declaration_with_their_reasons() {
        let names = ["storage", "policy", "listener"];
        let builder = names
            .into_iter()
            .fold(Readiness::builder(), |builder, name| {
                builder.subsystem(Subsystem::new(name))
            });
        let readiness = builder
            .subsystem(Subsystem::new("index").optional())
            .scope("search", ["index"])
            .build()
            .unwrap();
        let process = |question| causes(&readiness, ScopeId::Process, question);
        let policy = readiness.reporter("policy").unwrap();
        policy.starting("40 %");
        readiness.reporter("listener").unwrap().leave_ready();
        let waiting = "storage (never reported), policy (starting: 40 %)";
        assert_eq!(process(Question::NotStarted), waiting);
        assert_eq!(process(Question::NotReady), waiting);
        assert_eq!(process(Question::Degraded), "index (never reported)");
        assert_eq!(process(Question::NotLive), "");
        let search = causes(&readiness, ScopeId::Named(0), Question::NotReady);
        assert_eq!(search, "index (never reported)");

        policy.starting("");
        let storage = readiness.reporter("storage").unwrap();
        storage.failing("connection\nrefused");
        assert_eq!(
            process(Question::NotReady),
            "storage (connection refused), policy (starting)"
        );
        storage.dead("");
        policy.ready();
        assert_eq!(process(Question::NotReady), "storage (dead)");
    }

    #[test]
    fn of_many_causes_eight_are_named_with_short_reasons() {
        let names: Vec<_> = (0..40).map(|index| format!("part-{index}")).collect();
        let builder = names.iter().fold(Readiness::builder(), |builder, name| {
            builder.subsystem(Subsystem::new(name))
        });
        let readiness = builder.build().unwrap();
        let first = readiness.reporter("part-0").unwrap();
        first.failing("é".repeat(500));
        let text = causes(&readiness, ScopeId::Process, Question::NotReady);
        assert!(text.starts_with(&format!("part-0 ({}…), part-1 ", "é".repeat(60))));
        assert!(
            text.ends_with(", part-7 (never reported), 32 more"),
            "{text}"
        );
    }

    #[test]
    fn an_age_is_written_in_its_largest_unit() {
        let age = |millis| Age(Duration::from_millis(millis)).to_string();
        assert_eq!(age(340), "340 ms");
        assert_eq!(age(12_900), "12 s");
        assert_eq!(age(119_000), "1 min");
        assert_eq!(age(3_600_000), "1 h");
        assert_eq!(age(86_400_000), "1 d");
    }
}
