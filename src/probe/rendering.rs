use super::question::{Detail, Question};
use crate::{
    registry::DrainStatus,
    state::{Reason, ScopeId, Selection, SubsystemView, Verdict},
    traffic::{Drift, RequestCounts, Traffic},
    wire::Probe,
};
use std::time::Instant;

/// The inputs of an answer, for every format.
#[derive(Clone, Copy)]
pub(super) struct Rendering<'a> {
    pub(super) question: &'a Question,
    pub(super) selection: &'a Selection<'a>,
    pub(super) verdict: Verdict,
    pub(super) detail: Detail,
    // These inputs change with time or with every request, and so are not in the
    // snapshot.
    pub(super) now: Instant,
    pub(super) traffic: &'a Traffic,
    /// Leaves out what has not changed after this version, in an event.
    pub(super) since: Option<u64>,
    /// Read for the status probe alone.
    pub(super) drain: Option<DrainStatus>,
    /// Lists the excluded subsystems alone, because clients have not read other answers.
    pub(super) is_short: bool,
}

impl<'a> Rendering<'a> {
    /// The subsystems that the answer lists.
    pub(super) fn listed(&self) -> impl Iterator<Item = &'a SubsystemView> + use<'a> {
        let selection = self.selection;
        let excluded = self.is_short.then_some(&selection.excluded);
        let members = (!self.is_short).then(|| selection.members());
        let excluded = excluded.into_iter().flatten().copied();
        let (listed, this) = (excluded.chain(members.into_iter().flatten()), *self);
        listed.filter(move |view| this.is_new(view.changed_in()))
    }

    /// Returns how long the answer is at least, about, without rendering it.
    pub(super) fn least_length(&self) -> usize {
        let has_reasons = self.detail >= Detail::Full;
        let length = |view: &SubsystemView| {
            let reason = view.reason().filter(|_| has_reasons);
            view.name().len() + reason.map_or(0, str::len)
        };
        self.listed().map(length).sum()
    }

    /// The verdict as text.
    pub(super) fn word(&self) -> &'static str {
        let probe = self.question.probe;
        probe.word(self.verdict.is_green(probe.aspect()))
    }

    /// Whether the answer shows an entry that has last changed in this version.
    pub(super) fn is_new(&self, version: u64) -> bool {
        self.since.is_none_or(|since| version > since)
    }

    /// Whether the answer shows counts of requests.
    pub(super) fn shows_counts(&self) -> bool {
        self.question.probe == Probe::Status
    }

    /// Returns how well the readiness of a scope has matched its traffic, if the
    /// answer shows that and outcomes are observed.
    pub(super) fn drift(&self, scope: ScopeId) -> Option<Drift> {
        let drift = || self.traffic.outcomes.drift(scope, self.now.into());
        self.shows_counts().then(drift).flatten()
    }
}

/// The refused requests by reason, of all gates or of those of one scope. Reasons
/// without a request are left out.
pub(super) fn refused_by_reason(
    gates: &RequestCounts,
    scope: Option<ScopeId>,
) -> impl Iterator<Item = (Reason, u64)> {
    let counts = Reason::ALL
        .iter()
        .map(move |&reason| (reason, gates.refused(scope, reason)));
    counts.filter(|(_, count)| *count > 0)
}
