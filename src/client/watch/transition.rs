use crate::{
    state::{Age, text::OneLine},
    wire::{JsonTransition, time_of_day},
};
use std::{fmt::Write, time::Duration};

/// Shows a transition: `08:49:37 storage ready -> failing: disk full (after 2h, 3 refused)`.
pub(super) fn transition(it: &JsonTransition<'_>) -> String {
    let at = it.at_unix_ms.map(time_of_day).unwrap_or_default();
    let name = it.name.as_ref().unwrap_or(&it.kind);
    let from = it.from.as_deref().unwrap_or("added");
    let to = it.to.as_deref().unwrap_or("retired");
    let [name, from, to] = [name, from, to].map(OneLine);
    let mut text = format!("{at} {name} {from} -> {to}");
    // Writing to a string cannot fail.
    if let Some(reason) = it.reason.as_deref().filter(|reason| !reason.is_empty()) {
        let _ = write!(text, ": {}", OneLine(reason));
    }
    let after = it
        .lasted_ms
        .map(|lasted| format!("after {}", Age(Duration::from_millis(lasted))));
    let refused = (it.refused > 0).then(|| format!("{} refused", it.refused));
    let notes: Vec<_> = after.into_iter().chain(refused).collect();
    if !notes.is_empty() {
        let _ = write!(text, " ({})", notes.join(", "));
    }
    text.trim_start().to_owned()
}
