use super::{
    snapshot::{Data, ScopeId},
    verdict::Verdict,
    view::SubsystemView,
    vocabulary::Phase,
};

/// A scope or a subsystem of a snapshot, without the subsystems that a request
/// excludes. Answers and explanations are about a selection.
///
/// Only probes exclude subsystems; a gate always counts every one.
pub(crate) struct Selection<'a> {
    pub(crate) data: &'a Data,
    pub(crate) target: Target<'a>,
    /// The subsystems to exclude, each once.
    pub(crate) excluded: Vec<&'a SubsystemView>,
    /// The names to exclude that no subsystem has.
    pub(crate) unknown: Vec<&'a str>,
}

#[derive(Clone, Copy)]
pub(crate) enum Target<'a> {
    Scope(ScopeId),
    /// A scope with this subsystem as its only member.
    Subsystem(&'a SubsystemView),
}

impl<'a> Selection<'a> {
    pub(crate) fn new(data: &'a Data, target: Target<'a>) -> Self {
        Self {
            data,
            target,
            excluded: Vec::new(),
            unknown: Vec::new(),
        }
    }

    /// Excludes the subsystems with these names.
    pub(crate) fn without(mut self, names: &'a [String]) -> Self {
        for name in names {
            match self.data.subsystem(name) {
                Some(view) if self.excludes(view) => {}
                Some(view) => self.excluded.push(view),
                None => self.unknown.push(name),
            }
        }
        self
    }

    pub(crate) fn excludes(&self, view: &SubsystemView) -> bool {
        let mut excluded = self.excluded.iter();
        excluded.any(|excluded| std::ptr::eq(*excluded, view))
    }

    pub(crate) fn is_process(&self) -> bool {
        matches!(self.target, Target::Scope(ScopeId::Process))
    }

    /// The members, the excluded ones as well.
    pub(crate) fn members(&self) -> impl Iterator<Item = &'a SubsystemView> + use<'a> {
        let (scope, subsystem) = match self.target {
            Target::Scope(scope) => (Some(scope), None),
            Target::Subsystem(view) => (None, Some(view)),
        };
        let data = self.data;
        let members = scope.into_iter().flat_map(|scope| data.members(scope));
        members.chain(subsystem)
    }

    pub(crate) fn verdict(&self) -> Verdict {
        let (data, process) = (self.data, self.data.process.counts);
        let scope = match self.target {
            Target::Scope(scope) if self.excluded.is_empty() => return data.verdict(scope),
            Target::Scope(scope) => scope,
            Target::Subsystem(view) => return data.verdict_of_subsystem(view),
        };
        let status = data.status(scope);
        let (mut counts, mut vital_dead) = (status.counts, process.vital_dead);
        for view in &self.excluded {
            let on_process = view.effect_on_process();
            vital_dead -= on_process.vital_dead;
            match scope {
                ScopeId::Process => counts -= on_process,
                ScopeId::Named(index) if view.scopes().contains(&index) => {
                    counts -= view.effect_on_scope();
                }
                ScopeId::Named(_) => {}
            }
        }
        // As for the latches: a scope that has not started when the process
        // begins to drain never starts.
        let may_start = data.phase < Phase::Draining;
        let started = status.started || (may_start && counts.absent == 0);
        data.verdict_for(counts, started, vital_dead > 0)
    }
}
