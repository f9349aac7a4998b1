//! The data of the event stream: the JSON of the status probe, whole or as far as it
//! has changed.

use super::{
    format::Format,
    json,
    large_answers::LARGE_UPDATE,
    probes::Probes,
    query::Query,
    question::{Question, Topic},
    rendering::Rendering,
};
use crate::{
    state::{Data, ScopeId, Selection, Target},
    wire::{EventKind, Probe},
};
use bytes::Bytes;

/// The next event for a client, but for its id.
pub(crate) struct Update {
    /// [`EventKind::State`] or [`EventKind::Change`].
    pub(crate) kind: EventKind,
    pub(crate) version: u64,
    /// One line with its line break.
    pub(crate) data: Bytes,
}

impl Probes {
    /// Returns the changes after the version `seen`, or the whole state, if `seen` is
    /// not a version of this process or the history no longer has all transitions
    /// since. `None` for a [large event](LARGE_UPDATE) while the answers that clients have
    /// not read take too many bytes.
    pub(crate) fn update_since(&self, seen: Option<u64>) -> Option<Update> {
        let large_answers = &self.0.large_answers;
        self.render_status(|rendering, data| {
            let is_known = |seen: &u64| *seen <= data.version && data.history.is_whole_since(*seen);
            let since = seen.filter(is_known);
            let (kind, bytes) = match since {
                // No other client gets the same.
                Some(_) => {
                    let change = Rendering { since, ..rendering };
                    let render = || json::render(&change);
                    let change = large_answers.render_unless_full(&change, LARGE_UPDATE, render)?;
                    (EventKind::Change, large_answers.unread.count(change))
                }
                None => {
                    let render = || json::render(&rendering);
                    let state = large_answers.get_or_render(&rendering, LARGE_UPDATE, render)?;
                    (EventKind::State, state)
                }
            };
            Some(Update {
                kind,
                version: data.version,
                data: bytes,
            })
        })
    }

    /// Returns the data of a tick: one line with its line break.
    pub(crate) fn tick(&self) -> String {
        self.render_status(|rendering, _| json::render_tick(&rendering))
    }

    fn render_status<R>(&self, render: impl FnOnce(Rendering<'_>, &Data) -> R) -> R {
        let question = Question {
            probe: Probe::Status,
            topic: Topic::Scope(ScopeId::Process),
            query: Query::default(),
            format: Format::Json,
        };
        let registry = self.readiness().registry();
        registry.publish_overdue();
        registry.read(|data| {
            let selection = Selection::new(data, Target::Scope(ScopeId::Process));
            render(self.rendering(&question, &selection), data)
        })
    }
}
