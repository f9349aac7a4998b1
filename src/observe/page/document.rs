use super::{escape::Escaped, sections};
use crate::wire::JsonAnswer;
use std::{
    fmt::{self, Write},
    time::SystemTime,
};

const TEMPLATE: &str = include_str!("page.html");
pub(super) const STYLE: &str = include_str!("page.css");
pub(super) const SCRIPT: &str = include_str!("page.js");

/// Renders the answer of the status probe as a document, at the time `now`. The script
/// reads the events at the path `events`.
pub(crate) fn render(answer: &JsonAnswer<'_>, events: &str, now: SystemTime) -> String {
    let mut html = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut html, answer, events, now);
    html
}

/// Fills the slots of the template, which are written as `{{name}}`.
fn write(html: &mut String, answer: &JsonAnswer<'_>, events: &str, now: SystemTime) -> fmt::Result {
    let mut parts = TEMPLATE.split("{{");
    html.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (slot, text) = part.split_once("}}").unwrap_or((part, ""));
        match slot {
            "time" => html.push_str(&httpdate::fmt_http_date(now)),
            "events" => write!(html, "{}", Escaped(events))?,
            "rows" => sections::rows(html, answer, events.trim_end_matches("/events"))?,
            _ => fill(html, slot, answer)?,
        }
        html.push_str(text);
    }
    Ok(())
}

fn fill(html: &mut String, slot: &str, answer: &JsonAnswer<'_>) -> fmt::Result {
    let (verdict, why) = verdict(answer);
    let left = sections::time_left(answer);
    match slot {
        "style" => html.write_str(STYLE),
        "script" => html.write_str(SCRIPT),
        "title" | "verdict" => write!(html, "{}", Escaped(verdict)),
        "why" => write!(html, "{}", Escaped(why)),
        "tone" => tone(html, answer),
        "facts" => sections::facts(html, answer),
        "drain_hidden" => hide(html, left.is_none()),
        "left" => sections::countdown(html, answer),
        "left_max" => write!(html, "{}", left.map_or(1, |(_, whole)| whole.max(1))),
        "left_value" => write!(html, "{}", left.map_or(0, |(left, _)| left)),
        "causes_hidden" => hide(html, answer.because_of.is_empty()),
        "causes" => sections::causes(html, answer),
        "count" => write!(html, "{}", sections::subsystems(answer).len()),
        "scopes_hidden" => hide(html, answer.scopes.is_empty()),
        "scopes" => sections::scopes(html, answer),
        "traffic" => sections::traffic(html, answer),
        "settings" => sections::settings(html, answer),
        "history_hidden" => hide(html, answer.history.is_empty()),
        "history" => sections::history(html, answer),
        // A slot without content; a test fills each slot of the template.
        _ => Ok(()),
    }
}

/// Splits the summary, such as `not ready: storage failing`, into the words of the verdict
/// and the reasons.
fn verdict<'a>(answer: &'a JsonAnswer<'_>) -> (&'a str, &'a str) {
    let summary = answer.summary.as_deref().unwrap_or(&answer.status);
    summary.split_once(": ").unwrap_or((summary, ""))
}

/// Writes the attributes from which the style takes its colours.
fn tone(html: &mut String, answer: &JsonAnswer<'_>) -> fmt::Result {
    let verdicts = answer.verdicts;
    let words = [
        ("phase", answer.phase.as_deref()),
        ("condition", answer.condition.as_deref()),
    ];
    let flags = [
        ("ready", verdicts.map(|it| it.readiness)),
        ("live", verdicts.map(|it| it.liveness)),
        ("paused", answer.paused),
    ];
    for (name, word) in words {
        write!(
            html,
            " data-{name}=\"{}\"",
            Escaped(word.unwrap_or_default())
        )?;
    }
    for (name, flag) in flags {
        if let Some(flag) = flag {
            write!(html, " data-{name}=\"{flag}\"")?;
        }
    }
    Ok(())
}

fn hide(html: &mut String, hidden: bool) -> fmt::Result {
    html.write_str(if hidden { " hidden" } else { "" })
}
