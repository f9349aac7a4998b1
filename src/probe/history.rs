//! Renders the history of transitions.

use super::{json::millis, question::Detail, rendering::Rendering};
use crate::{
    state::{Age, Transition, TransitionKind, text::OneLine},
    wire::{JsonTransition, text::TRANSITION},
};
use std::{
    borrow::Cow,
    collections::BTreeSet,
    fmt::{self, Write as _},
    time::UNIX_EPOCH,
};

/// How many transitions the text has. JSON has all.
const IN_TEXT: usize = 16;

impl<'a> Rendering<'a> {
    /// The transitions that the answer shows, the oldest first. None if the answer
    /// excludes subsystems, because the history is that of all.
    pub(super) fn transitions(&self) -> impl Iterator<Item = &'a Transition> + use<'a> {
        let history = &self.selection.data.history;
        let since = self.since.unwrap_or_default();
        let all = history.iter().filter(move |it| it.version() > since);
        let is_shown = self.shows_counts() && self.question.query.exclude.is_empty();
        all.take_while(move |_| is_shown)
    }

    /// The subsystems that have been retired since the last event.
    pub(super) fn removed(&self) -> Vec<Cow<'a, str>> {
        if self.since.is_none() {
            return Vec::new();
        }
        let retired = self.transitions().filter_map(|it| match it.kind() {
            TransitionKind::Subsystem { name, to: None, .. } => Some(&**name),
            _ => None,
        });
        let data = self.selection.data;
        // Another one may have been added under the same name.
        let retired: BTreeSet<_> = retired
            .filter(|name| data.subsystem(name).is_none())
            .collect();
        retired.into_iter().map(Cow::Borrowed).collect()
    }

    pub(super) fn json_history(&self) -> Vec<JsonTransition<'a>> {
        self.transitions()
            .map(|it| self.json_transition(it))
            .collect()
    }

    fn json_transition(&self, transition: &'a Transition) -> JsonTransition<'a> {
        let kind = transition.kind();
        let (from, to) = kind.words();
        // A time before 1970 is shown as 1970.
        let at = || {
            transition
                .at()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default()
        };
        JsonTransition {
            version: transition.version(),
            kind: kind.as_str().into(),
            name: kind.name().map(Into::into),
            from: from.map(Into::into),
            to: to.map(Into::into),
            refused: transition.refused(),
            reason: self.full(|| transition.reason().map(Into::into)).flatten(),
            at_unix_ms: self.full(|| millis(at())),
            ago_ms: self.full(|| millis(transition.age(self.now))),
            lasted_ms: self.full(|| millis(transition.lasted())),
        }
    }

    /// Writes a line for each of the newest transitions:
    /// `[>]12s ago: storage ready -> failing after 3h (disk full), 4 refused`
    pub(super) fn write_history(&self, text: &mut String) -> fmt::Result {
        let mut newest: Vec<_> = self.transitions().collect();
        let newest = newest.split_off(newest.len().saturating_sub(IN_TEXT));
        newest
            .into_iter()
            .try_for_each(|transition| self.write_transition(text, transition))
    }

    fn write_transition(&self, text: &mut String, transition: &Transition) -> fmt::Result {
        let is_full = self.detail >= Detail::Full;
        text.write_str(TRANSITION)?;
        if is_full {
            write!(text, "{} ago: ", Age(transition.age(self.now)))?;
        }
        let kind = transition.kind();
        let subject = kind.name().unwrap_or(kind.as_str());
        text.write_str(subject)?;
        if matches!(kind, TransitionKind::Scope { .. }) {
            text.write_str(" (scope)")?;
        }
        match kind.words() {
            (Some(from), Some(to)) => write!(text, " {from} -> {to}")?,
            (Some(from), None) => write!(text, " {from} -> retired")?,
            (None, to) => write!(text, " added, {}", to.unwrap_or_default())?,
        }
        if is_full {
            if kind.words().0.is_some() {
                write!(text, " after {}", Age(transition.lasted()))?;
            }
            if let Some(reason) = transition.reason() {
                write!(text, " ({})", OneLine(reason))?;
            }
        }
        match transition.refused() {
            0 => {}
            refused => write!(text, ", {refused} refused")?,
        }
        text.write_char('\n')
    }
}
