use super::{format::Format, query::Query};
use crate::{
    state::{Data, Phase, ScopeId, Selection, Target, Verdict},
    wire::Probe,
};

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
pub(super) enum Topic {
    Scope(ScopeId),
    /// A name, because the subsystem may retire while the request waits.
    Subsystem(String),
}

/// A valid probe request, which any snapshot can answer.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) probe: Probe,
    pub(super) topic: Topic,
    pub(super) query: Query,
    pub(super) format: Format,
}

impl Question {
    /// Selects the topic in a snapshot, or returns `None` if the subsystem has
    /// retired.
    pub(super) fn select<'a>(&'a self, data: &'a Data) -> Option<Selection<'a>> {
        let target = match &self.topic {
            Topic::Scope(scope) => Target::Scope(*scope),
            Topic::Subsystem(name) => Target::Subsystem(data.subsystem(name)?),
        };
        Some(Selection::new(data, target).without(&self.query.exclude))
    }

    /// Whether the answer is green.
    pub(super) fn passes(&self, verdict: Verdict) -> bool {
        self.probe == Probe::Status || verdict.is_green(self.probe.aspect())
    }

    /// Whether a `?wait` is over: the probe is green, or red with `until=red`, the process
    /// drains, or the subsystem has retired.
    pub(super) fn is_settled(&self, data: &Data) -> bool {
        // A wait must not delay the end of a server that drains.
        data.phase >= Phase::Draining
            || self
                .select(data)
                .is_none_or(|selection| self.passes(selection.verdict()) != self.query.until_red)
    }

    /// Whether the answer has a line for each subsystem, if it is text.
    pub(super) fn is_verbose(&self) -> bool {
        self.query.verbose || self.probe == Probe::Status
    }

    /// Whether the answer has an entry for each subsystem.
    pub(super) fn lists_subsystems(&self, detail: Detail) -> bool {
        detail >= Detail::Names && (self.format == Format::Json || self.is_verbose())
    }
}
