use super::{format::Format, query::Query};
use crate::{
    state::{Counts, Data, Phase, ScopeId, SubsystemView, Verdict},
    traffic::{Drift, Traffic},
    wire::Probe,
};
use std::time::Instant;

/// How much detail the answer of a probe contains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Detail {
    /// The verdict alone. Queries are ignored, and paths below `/readyz` are
    /// 404. For a port that untrusted clients can reach.
    #[default]
    None,
    /// Adds the names of subsystems and scopes and their states, and with
    /// them `?verbose`, `?exclude=NAME`, `?wait=SECONDS` and `/readyz/NAME`.
    Names,
    /// Adds reasons, attributes and ages. For a port that only operators can
    /// reach: reasons contain error messages.
    Full,
}

/// The scope or subsystem that a question is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Scope(ScopeId),
    /// A name, because the subsystem may retire while the request waits.
    Subsystem(String),
}

/// A valid probe request, which any snapshot can answer.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) probe: Probe,
    pub(super) target: Target,
    pub(super) query: Query,
    pub(super) format: Format,
}

/// The inputs of an answer that change with time or with every request, and so are
/// not in the snapshot.
#[derive(Clone, Copy)]
pub(super) struct Live<'a> {
    pub(super) now: Instant,
    pub(super) traffic: &'a Traffic,
}

impl Question {
    /// Whether the answer has an entry for each subsystem.
    pub(super) fn lists_subsystems(&self, detail: Detail) -> bool {
        let is_long = || self.query.verbose || self.probe == Probe::Status;
        detail >= Detail::Names && (self.format == Format::Json || is_long())
    }

    /// Returns the verdict of the target, or `None` if it has retired.
    pub(super) fn verdict(&self, data: &Data) -> Option<Verdict> {
        match &self.target {
            Target::Scope(scope) if self.query.exclude.is_empty() => Some(data.verdict(*scope)),
            Target::Scope(scope) => {
                Some(data.verdict_without(*scope, |view| self.query.excludes(view.name())))
            }
            Target::Subsystem(name) => {
                let view = data.subsystem(name)?;
                Some(data.verdict_of_subsystem(view))
            }
        }
    }

    /// Whether the answer is green.
    pub(super) fn passes(&self, verdict: Verdict) -> bool {
        self.probe == Probe::Status || self.is_green(verdict)
    }

    fn is_green(&self, verdict: Verdict) -> bool {
        match self.probe {
            Probe::Startup => verdict.has_started(),
            Probe::Readiness | Probe::Status => verdict.is_ready(),
            Probe::Liveness | Probe::Health => verdict.is_live(),
        }
    }

    /// Whether a `?wait` is over: the probe passes or the process drains.
    pub(super) fn is_settled(&self, data: &Data) -> bool {
        let passes = self
            .verdict(data)
            .is_none_or(|verdict| self.passes(verdict));
        // A wait must not delay the end of a server that drains.
        passes || data.phase >= Phase::Draining
    }

    /// Returns how well the readiness of a scope has matched its traffic, if the
    /// answer shows that and outcomes are observed.
    pub(super) fn drift(&self, scope: ScopeId, live: Live<'_>) -> Option<Drift> {
        let drift = || live.traffic.outcomes.drift(scope, live.now.into());
        self.shows_counts().then(drift).flatten()
    }

    /// Whether the answer shows counts.
    pub(super) fn shows_counts(&self) -> bool {
        self.probe == Probe::Status
    }

    /// The verdict as text.
    pub(super) fn verdict_text(&self, verdict: Verdict) -> &'static str {
        self.probe.word(self.is_green(verdict))
    }

    /// The subsystems that the question is about.
    pub(super) fn subjects<'d>(
        &self,
        data: &'d Data,
    ) -> Box<dyn Iterator<Item = &'d SubsystemView> + 'd> {
        match &self.target {
            Target::Scope(scope) => data.members(*scope),
            Target::Subsystem(name) => Box::new(data.subsystem(name).into_iter()),
        }
    }

    /// Whether `view` causes the answer to be red, or to be degraded.
    pub(super) fn blames(&self, view: &SubsystemView, verdict: Verdict) -> bool {
        if self.query.excludes(view.name()) {
            return false;
        }
        let effect = match self.target {
            Target::Scope(ScopeId::Process) => view.effect_on_process(),
            _ => effect_on_named(view),
        };
        match self.probe {
            Probe::Startup => !verdict.has_started() && effect.absent > 0,
            Probe::Liveness | Probe::Health => effect.vital_dead > 0,
            Probe::Readiness | Probe::Status => blames_readiness(effect, verdict),
        }
    }
}

/// The members of a named scope that cause it to be red or degraded.
pub(super) fn blamed_members(data: &Data, scope: usize) -> impl Iterator<Item = &SubsystemView> {
    let scope = ScopeId::Named(scope);
    let verdict = data.verdict(scope);
    let members = data.members(scope);
    members.filter(move |view| blames_readiness(effect_on_named(view), verdict))
}

fn effect_on_named(view: &SubsystemView) -> Counts {
    Counts {
        vital_dead: view.effect_on_process().vital_dead,
        ..view.effect_on_scope()
    }
}

fn blames_readiness(effect: Counts, verdict: Verdict) -> bool {
    if verdict.is_ready() {
        effect.degraded > 0
    } else {
        effect.absent + effect.awaited + effect.failing + effect.vital_dead > 0
    }
}
