//! The log lines about refused requests.

use crate::{
    logging::event,
    panics::contained,
    state::{Age, Aspect, Explanation, Phase, Reason, Snapshot, text::Thousands},
    traffic::{EpisodeEvent, EpisodeStage},
};
use std::fmt;
use tracing::{Level, Span};

/// Logs a line about an episode of refused requests. Never waits.
pub(in crate::registry) fn log(event: EpisodeEvent) {
    let level = level(&event);
    crate::logging::line(level, || {
        move |span| contained(|| emit(&event, level, span))
    });
}

/// Refusals while a process starts or drains are expected in each rollout, so they
/// are no warning.
fn level(event: &EpisodeEvent) -> Level {
    let is_expected = event.reason == Reason::Starting || event.snapshot.phase() >= Phase::Draining;
    if event.stage == EpisodeStage::Begun && !is_expected {
        Level::WARN
    } else {
        Level::INFO
    }
}

impl EpisodeEvent {
    /// Takes the newest snapshot, unless it no longer contains a cause.
    pub(super) fn with_causes_of(self, newest: Snapshot) -> Self {
        let has_causes = causes(&newest, &self).is_some();
        let snapshot = if has_causes { newest } else { self.snapshot };
        Self { snapshot, ..self }
    }
}

/// The subsystems that cause the refusals, unless the scope is ready or something
/// else is the cause.
fn causes<'a>(snapshot: &'a Snapshot, event: &EpisodeEvent) -> Option<Explanation<'a>> {
    if snapshot.0.verdict(event.scope).is_ready() {
        return None;
    }
    let explanation = Explanation::of_scope(&snapshot.0, event.scope, Aspect::Readiness);
    (!explanation.is_empty()).then_some(explanation)
}

fn emit(event: &EpisodeEvent, level: Level, span: &Span) {
    let data = &*event.snapshot.0;
    let scope = data.scope_name(event.scope).map(|name| &**name);
    let (reason, dry_run) = (event.reason, event.dry_run);
    let would = if dry_run { "would have " } else { "" };
    let (count, lasted, because) = (Thousands(event.refused), Age(event.lasted), Because(event));
    match (event.stage, level) {
        (EpisodeStage::Begun, Level::WARN) => {
            event!(warn, "refusals_began", span, scope, %reason, dry_run, "{would}refused a request: {because}");
        }
        (EpisodeStage::Begun, _) => {
            event!(info, "refusals_began", span, scope, %reason, dry_run, "{would}refused a request: {because}");
        }
        (EpisodeStage::GoesOn, _) => {
            event!(
                info,
                "refusals_go_on",
                span,
                scope,
                %reason,
                dry_run,
                "{would}refused {count} requests in {lasted} so far: {because}"
            );
        }
        (EpisodeStage::Ended, _) => {
            event!(
                info,
                "refusals_ended",
                span,
                scope,
                %reason,
                dry_run,
                "{would}refused {count} requests in {lasted}: {because}"
            );
        }
    }
}

/// Shows why requests are refused: the subsystems that are the cause, or else the
/// reason.
struct Because<'a>(&'a EpisodeEvent);

impl fmt::Display for Because<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let EpisodeEvent {
            reason, snapshot, ..
        } = self.0;
        match (reason, causes(snapshot, self.0)) {
            (Reason::Starting | Reason::Failing, Some(causes)) => write!(f, "{causes}"),
            _ => write!(f, "{reason}"),
        }
    }
}
