use super::family::{Descriptor, LabelValue, Samples};
use crate::{
    registry::Registry,
    state::{Data, ScopeId},
};
use tokio::time::Instant;

/// The inputs of all families at one moment.
pub(super) struct Source<'a> {
    pub(super) registry: &'a Registry,
    pub(super) data: &'a Data,
    pub(super) now: Instant,
}

/// A family: its description, and the function that adds its samples.
pub(super) type Entry = (Descriptor, fn(&Source<'_>, &mut Samples));

impl Source<'_> {
    /// All scopes with their names, the process first.
    pub(super) fn scopes(&self) -> impl Iterator<Item = (ScopeId, LabelValue)> {
        self.data.scope_ids().map(|scope| {
            let name = self.data.scope_name(scope);
            (scope, name.map_or("readiness".into(), LabelValue::from))
        })
    }
}
