use super::{
    drained::Drained,
    notes::{Notes, ReadinessChange},
};
use crate::{
    logging::event,
    panics::contained,
    state::{Age, Aspect, Damped, Explanation, Published, ScopeId, Slot, State, SubsystemView},
};
use std::time::Duration;
use tracing::{Level, Span};

/// One line about a published change.
pub(super) enum Line<'a> {
    Added(&'a SubsystemView),
    Retired(&'a SubsystemView),
    Damped(&'a SubsystemView, Damped<'a>),
    Subsystem(&'a SubsystemView, &'a SubsystemView),
    Phase,
    Paused(&'a str),
    Resumed,
    Reloads,
    HasReloaded,
    Readiness,
    Lost(ScopeId),
    Regained(ScopeId, Duration),
    LivenessLost,
    LivenessRegained,
    Drained(&'a Drained),
}

/// Emits all lines about a publication. If the subscriber panics at one line, this
/// goes on with the next.
pub(super) fn emit(published: &Published, notes: &Notes, span: &Span) {
    for line in lines(published, notes) {
        contained(|| line.emit(published, span));
    }
}

/// Returns the lines about a publication, in the order of detail: the subsystem,
/// the phase, the process, the scopes.
pub(super) fn lines<'a>(
    published: &'a Published,
    notes: &'a Notes,
) -> impl Iterator<Item = Line<'a>> {
    let touched = published.touched.iter();
    touched
        .flat_map(|slot| subsystem_lines(published, slot).into_iter().flatten())
        .chain(process_lines(published).into_iter().flatten())
        .chain(
            published
                .after
                .scope_ids()
                .filter_map(|scope| scope_lines(published, notes, scope)),
        )
        .chain(liveness_lines(published))
        .chain(notes.drained.as_ref().map(Line::Drained))
        .filter(|line| !notes.left_out || !line.is_bounded())
}

fn subsystem_lines(published: &Published, slot: Slot) -> [Option<Line<'_>>; 2] {
    let (old, new) = (
        published.before.views.get(slot),
        published.after.views.get(slot),
    );
    let (old, new) = match (old, new) {
        (Some(old), Some(new)) => (&**old, &**new),
        (None, Some(new)) => return [Some(Line::Added(new)), None],
        (Some(old), None) => return [Some(Line::Retired(old)), None],
        (None, None) => return [None, None],
    };
    let damped = new.damped().filter(|damped| old.damped() != Some(*damped));
    // The reason of a group has the counts of its members, which may change all the time.
    let has_new_reason = new.members().is_none() && old.reason() != new.reason();
    let is_changed = old.state() != new.state() || has_new_reason;
    [
        damped.map(|damped| Line::Damped(new, damped)),
        is_changed.then_some(Line::Subsystem(old, new)),
    ]
}

fn process_lines(Published { before, after, .. }: &Published) -> [Option<Line<'_>>; 3] {
    let pause = match (&before.pause, &after.pause) {
        (old, Some(reason)) if old.as_ref() != Some(reason) => Some(Line::Paused(reason)),
        (Some(_), None) => Some(Line::Resumed),
        _ => None,
    };
    let reload = match (before.reloads.under_way, after.reloads.under_way) {
        (0, 1..) => Some(Line::Reloads),
        (1.., 0) => Some(Line::HasReloaded),
        _ => None,
    };
    let phase = (before.phase != after.phase).then_some(Line::Phase);
    [phase, pause, reload]
}

fn scope_lines<'a>(published: &Published, notes: &Notes, scope: ScopeId) -> Option<Line<'a>> {
    match ReadinessChange::in_scope(published, scope) {
        ReadinessChange::Lost => return Some(Line::Lost(scope)),
        ReadinessChange::Regained => {
            if let Some(lasted) = notes.lasted(scope) {
                return Some(Line::Regained(scope, lasted));
            }
        }
        ReadinessChange::None => {}
    }
    if scope != ScopeId::Process {
        return None;
    }
    let (was, is) = (
        published.before.verdict(scope),
        published.after.verdict(scope),
    );
    let is_same = was.is_ready() == is.is_ready() && was.condition() == is.condition();
    (!is_same).then_some(Line::Readiness)
}

fn liveness_lines<'a>(Published { before, after, .. }: &Published) -> Option<Line<'a>> {
    let (was, is) = (before.process.verdict, after.process.verdict);
    match (was.is_live(), is.is_live()) {
        (true, false) => Some(Line::LivenessLost),
        (false, true) => Some(Line::LivenessRegained),
        _ => None,
    }
}

impl Line<'_> {
    pub(super) fn level(&self) -> Level {
        match self {
            Self::Added(_) | Self::Damped(..) => Level::DEBUG,
            Self::Subsystem(old, new) if is_detail(old, new) => Level::DEBUG,
            Self::Subsystem(_, new) => match new.state() {
                State::Starting => Level::DEBUG,
                State::Ready => Level::INFO,
                State::Degraded | State::Failing | State::Stale => Level::WARN,
                State::Dead => Level::ERROR,
            },
            Self::Lost(_) => Level::WARN,
            Self::LivenessLost => Level::ERROR,
            Self::Drained(drained) => drained.level(),
            Self::Retired(_)
            | Self::Phase
            | Self::Paused(_)
            | Self::Resumed
            | Self::Reloads
            | Self::HasReloaded
            | Self::Readiness
            | Self::Regained(..)
            | Self::LivenessRegained => Level::INFO,
        }
    }

    /// Whether the number of such lines is limited, since a subsystem that flaps
    /// causes many.
    pub(super) fn is_bounded(&self) -> bool {
        let flaps = matches!(
            self,
            Self::Subsystem(..) | Self::Readiness | Self::Lost(_) | Self::Regained(..)
        );
        flaps && self.level() <= Level::INFO
    }

    fn emit(&self, Published { before, after, .. }: &Published, span: &Span) {
        let version = after.version;
        match self {
            Self::Added(new) => {
                event!(
                    debug,
                    "subsystem_added",
                    span,
                    version,
                    subsystem = new.name(),
                    "subsystem added"
                );
            }
            Self::Retired(old) => {
                event!(
                    info,
                    "subsystem_retired",
                    span,
                    version,
                    subsystem = old.name(),
                    "subsystem retired"
                );
            }
            Self::Damped(new, damped) => {
                let (subsystem, state, reason) = (new.name(), damped.state(), damped.reason());
                let progress = damped.progress();
                event!(debug, "report_damped", span, version, subsystem, %state, reason, ?progress, "report damped");
            }
            Self::Subsystem(old, new) => subsystem(version, old, new, span),
            Self::Phase => {
                event!(info, "phase", span, version, from = %before.phase, to = %after.phase, "process phase");
            }
            Self::Paused(reason) => event!(info, "paused", span, version, reason, "process paused"),
            Self::Resumed => event!(info, "resumed", span, version, "process resumed"),
            Self::Reloads => event!(info, "reload_began", span, version, "process reloads"),
            Self::HasReloaded => {
                event!(info, "reload_ended", span, version, "process has reloaded");
            }
            Self::Readiness => {
                let is = after.process.verdict;
                let (ready, condition) = (is.is_ready(), is.condition());
                event!(info, "readiness", span, version, ready, %condition, "process readiness");
            }
            Self::Lost(scope) => {
                let condition = after.verdict(*scope).condition();
                let causes = Explanation::of_scope(after, *scope, Aspect::Readiness);
                match after.scope_name(*scope).map(|name| &**name) {
                    None => {
                        event!(warn, "readiness_lost", span, version, %condition, %causes, "process readiness lost");
                    }
                    Some(scope) => {
                        event!(warn, "scope_readiness_lost", span, version, scope, %condition, %causes, "scope readiness lost");
                    }
                }
            }
            Self::Regained(scope, lasted) => {
                let is = after.verdict(*scope);
                let (ready, condition, lasted) = (is.is_ready(), is.condition(), Age(*lasted));
                match after.scope_name(*scope).map(|name| &**name) {
                    None => {
                        event!(info, "readiness_regained", span, version, ready, %condition, %lasted, "process readiness regained");
                    }
                    Some(scope) => {
                        event!(info, "scope_readiness_regained", span, version, scope, ready, %condition, %lasted, "scope readiness regained");
                    }
                }
            }
            Self::LivenessLost => event!(
                error,
                "liveness_lost",
                span,
                version,
                "process liveness lost"
            ),
            Self::LivenessRegained => event!(
                info,
                "liveness_regained",
                span,
                version,
                "process liveness regained"
            ),
            Self::Drained(drained) => drained.emit(version, span),
        }
    }
}

/// Whether only the reason has changed. The change of the state was logged before.
fn is_detail(old: &SubsystemView, new: &SubsystemView) -> bool {
    old.state() == new.state() && new.state() != State::Starting
}

fn subsystem(version: u64, old: &SubsystemView, new: &SubsystemView, span: &Span) {
    let (subsystem, from, to) = (new.name(), old.state(), new.state());
    let reason = new.reason();
    if is_detail(old, new) {
        event!(debug, "subsystem_reason", span, version, subsystem, state = %to, reason, "subsystem reason changed");
        return;
    }
    match to {
        State::Starting => {
            event!(debug, "subsystem_starting", span, version, subsystem, %from, %to, reason, "subsystem starting");
        }
        State::Ready => {
            event!(info, "subsystem_ready", span, version, subsystem, %from, %to, "subsystem ready");
        }
        State::Degraded => {
            event!(warn, "subsystem_degraded", span, version, subsystem, %from, %to, reason, "subsystem degraded");
        }
        State::Failing | State::Stale => {
            event!(warn, "subsystem_failing", span, version, subsystem, %from, %to, reason, "subsystem failing");
        }
        State::Dead => {
            event!(error, "subsystem_dead", span, version, subsystem, %from, %to, reason, "subsystem dead");
        }
    }
}
