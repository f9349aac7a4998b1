//! The parts of the document, as the script builds them too.

use super::escape::Escaped;
use crate::{
    state::{Age, State},
    wire::{JsonAnswer, JsonDrift, JsonSubsystem, RowOrder, time_of_day},
};
use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    fmt::{self, Display, Write},
    time::Duration,
};

/// The most causes in the list above the table, which begins with all of them.
const LISTED_CAUSES: usize = 50;

pub(super) fn subsystems<'a, 'j>(answer: &'a JsonAnswer<'j>) -> &'a [JsonSubsystem<'j>] {
    answer.subsystems.as_deref().unwrap_or_default()
}

pub(super) fn facts(html: &mut String, answer: &JsonAnswer<'_>) -> fmt::Result {
    let yes_no = |flag| if flag { "yes" } else { "no" };
    let verdicts = answer.verdicts;
    let pause = answer.pause_reason.as_deref().filter(|it| !it.is_empty());
    let version = answer.version.map(|version| version.to_string());
    for (term, value) in [
        ("Phase", answer.phase.as_deref()),
        ("Condition", answer.condition.as_deref()),
        ("Started", verdicts.map(|it| yes_no(it.startup))),
        ("Live", verdicts.map(|it| yes_no(it.liveness))),
        (
            "Paused",
            pause.or(answer.paused.filter(|paused| *paused).map(yes_no)),
        ),
        ("Version", version.as_deref()),
    ] {
        if let Some(value) = value {
            pair(html, term, Escaped(value))?;
        }
    }
    Ok(())
}

pub(super) fn causes(html: &mut String, answer: &JsonAnswer<'_>) -> fmt::Result {
    let by_name: HashMap<&str, _> = subsystems(answer)
        .iter()
        .map(|it| (&*it.name, it))
        .collect();
    let causes = answer.because_of.iter();
    for it in causes
        .filter_map(|name| by_name.get(&**name))
        .take(LISTED_CAUSES)
    {
        let reason = reason(it).unwrap_or_default();
        let (state, name) = (Badge(&it.state), Escaped(&it.name));
        let (reason, age) = (Escaped(reason), age(it.for_ms));
        write!(
            html,
            "<li>{state}<span><b>{name}</b><small>{reason}</small></span><span>{age}</span></li>"
        )?;
    }
    match answer.because_of.len().saturating_sub(LISTED_CAUSES) {
        0 => Ok(()),
        more => write!(html, "<li>and {more} more, first in the table below</li>"),
    }
}

/// Writes a row for each subsystem: first the causes, then the others by their state. The
/// members of groups are below the path `status`.
pub(super) fn rows(html: &mut String, answer: &JsonAnswer<'_>, status: &str) -> fmt::Result {
    let order = RowOrder::new(answer);
    let mut sorted: Vec<_> = subsystems(answer).iter().collect();
    sorted.sort_by_key(|it| order.rank(it));
    sorted.into_iter().try_for_each(|it| row(html, it, status))
}

fn row(html: &mut String, it: &JsonSubsystem<'_>, status: &str) -> fmt::Result {
    write!(
        html,
        "<tr><td>{}</td><th scope=\"row\">{}</th><td>{}",
        Badge(&it.state),
        Escaped(&it.name),
        Escaped(&it.role),
    )?;
    for (applies, word) in [
        (it.vital, ", vital"),
        (it.pending, ", pending"),
        (it.simulated, ", simulated"),
    ] {
        html.push_str(if applies { word } else { "" });
    }
    write!(html, "</td><td>{}", Escaped(reason(it).unwrap_or_default()))?;
    if let Some(damped) = &it.damped {
        write!(html, "<small>reported {} ", Escaped(&damped.state))?;
        match (damped.count, damped.needed) {
            (Some(count), Some(needed)) => write!(html, "{count}/{needed}")?,
            _ => write!(html, "in {}", age(damped.counts_in_ms))?,
        }
        let reason = damped.reason.as_deref().unwrap_or_default();
        write!(html, " {}</small>", Escaped(reason))?;
    }
    let notes = notes(it);
    if !notes.is_empty() {
        write!(html, "<small>{}</small>", Escaped(&notes))?;
    }
    members(html, it, status)?;
    write!(html, "</td><td>{}</td></tr>", age(it.for_ms))
}

/// Writes how many members of a group are in each state, each with a link to them.
fn members(html: &mut String, it: &JsonSubsystem<'_>, status: &str) -> fmt::Result {
    let Some(members) = &it.members else {
        return Ok(());
    };
    let (status, name) = (Escaped(status), Escaped(&it.name));
    html.push_str("<small>members: ");
    for (index, (state, count)) in members.states.iter().enumerate() {
        html.push_str(if index == 0 { "" } else { ", " });
        let state = Escaped(state);
        write!(
            html,
            "<a href=\"{status}/{name}?state={state}\">{count} {state}</a>"
        )?;
    }
    html.push_str(if members.total == 0 { "none" } else { "" });
    html.push_str("</small>");
    Ok(())
}

/// The attributes, the ttl and a missing reporter, if there is any of them.
fn notes(it: &JsonSubsystem<'_>) -> String {
    let attributes = it.attributes.iter().flatten();
    let attributes = attributes.map(|(key, value)| format!("{key}={value}"));
    let ttl = it.ttl_ms.map(|ttl| format!("ttl {}", seconds(ttl)));
    let claim = it.claim.as_deref();
    let claim = claim.filter(|claim| matches!(*claim, "unclaimed" | "dropped"));
    let notes = attributes.chain(ttl).chain(claim.map(str::to_owned));
    notes.collect::<Vec<_>>().join(" ")
}

pub(super) fn scopes(html: &mut String, answer: &JsonAnswer<'_>) -> fmt::Result {
    for it in &answer.scopes {
        write!(
            html,
            "<tr><td>{}</td><th scope=\"row\">{}</th><td>{}</td><td>{}</td></tr>",
            Badge(&it.condition),
            Escaped(&it.name),
            Escaped(&it.because_of.join(", ")),
            Escaped(&counts(it.refused.as_ref()).unwrap_or_default()),
        )?;
    }
    Ok(())
}

/// Writes a row for each transition, the newest first.
pub(super) fn history(html: &mut String, answer: &JsonAnswer<'_>) -> fmt::Result {
    for it in answer.history.iter().rev() {
        write!(
            html,
            "<tr><td>{}</td><td>{}</td><td>",
            it.at_unix_ms.map(time_of_day).unwrap_or_default(),
            Escaped(it.name.as_ref().unwrap_or(&it.kind)),
        )?;
        if let Some(from) = &it.from {
            write!(html, "{}", Badge(from))?;
        }
        html.push_str("</td><td>");
        match &it.to {
            Some(to) => write!(html, "{}", Badge(to))?,
            None => html.push_str("retired"),
        }
        let after = it
            .lasted_ms
            .map(|lasted| format!("after {}", age(Some(lasted))));
        let refused = (it.refused > 0).then(|| format!("{} refused", it.refused));
        let notes: Vec<_> = after.into_iter().chain(refused).collect();
        let reason = Escaped(it.reason.as_deref().unwrap_or_default());
        let notes = notes.join(", ");
        write!(html, "</td><td>{reason}<small>{notes}</small></td></tr>")?;
    }
    Ok(())
}

pub(super) fn traffic(html: &mut String, answer: &JsonAnswer<'_>) -> fmt::Result {
    let Some(traffic) = &answer.traffic else {
        return Ok(());
    };
    let in_flight = traffic.in_flight;
    let in_flight = in_flight.map_or("not counted".to_owned(), |count| count.to_string());
    let refused = counts(Some(&traffic.refused)).unwrap_or("none".to_owned());
    let late = traffic.late_arrivals.to_string();
    for (term, value) in [
        ("In flight", Some(in_flight)),
        ("Refused", Some(refused)),
        (
            "A dry run would have refused",
            counts(Some(&traffic.dry_run_refused)),
        ),
        ("Late in the drain", Some(late)),
        ("Drift", traffic.drift.as_ref().map(drift)),
    ] {
        if let Some(value) = value {
            pair(html, term, Escaped(&value))?;
        }
    }
    Ok(())
}

pub(super) fn settings(html: &mut String, answer: &JsonAnswer<'_>) -> fmt::Result {
    let Some(drain) = answer.drain else {
        return pair(html, "Drain", "no shutdown is planned");
    };
    for (term, time) in [
        ("Drain delay", drain.delay_ms),
        ("Extended up to", drain.longest_delay_ms),
        ("Closing cap", drain.cap_ms),
    ] {
        pair(html, term, seconds(time))?;
    }
    Ok(())
}

/// The time left of the phase and the length of the phase in milliseconds, while the
/// process drains or closes.
pub(super) fn time_left(answer: &JsonAnswer<'_>) -> Option<(u64, u64)> {
    let drain = answer.drain?;
    let closes = answer.phase.as_deref() == Some("closing");
    let whole = if closes { drain.cap_ms } else { drain.delay_ms };
    Some((drain.left_ms?, whole))
}

pub(super) fn countdown(html: &mut String, answer: &JsonAnswer<'_>) -> fmt::Result {
    let Some((left, _)) = time_left(answer) else {
        return Ok(());
    };
    let phase = Escaped(answer.phase.as_deref().unwrap_or_default());
    write!(html, "{phase}: {} s left", left.div_ceil(1_000))
}

/// Writes a term and its value, for a list of those.
fn pair(html: &mut String, term: &str, value: impl Display) -> fmt::Result {
    write!(html, "<div><dt>{term}</dt><dd>{value}</dd></div>")
}

/// A state or a condition. Its word is also the class, if the style knows it.
struct Badge<'a>(&'a str);

impl Display for Badge<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = State::ALL.iter().find(|state| state.as_str() == self.0);
        let class = known.map_or("", |state| state.as_str());
        write!(f, "<span class=\"s {class}\">{}</span>", Escaped(self.0))
    }
}

fn reason<'a>(it: &'a JsonSubsystem<'_>) -> Option<&'a str> {
    it.reason.as_ref()?.as_deref()
}

fn age(millis: Option<u64>) -> String {
    let age = millis.map(Duration::from_millis).map(Age);
    age.map(|age| age.to_string()).unwrap_or_default()
}

fn seconds(millis: u64) -> String {
    format!("{} s", Duration::from_millis(millis).as_secs_f64())
}

/// Shows counts as `3 starting, 1 closed`, or returns `None` without any.
fn counts(counts: Option<&BTreeMap<Cow<'_, str>, u64>>) -> Option<String> {
    let counts = counts.into_iter().flatten();
    let counts: Vec<_> = counts
        .map(|(why, count)| format!("{count} {why}"))
        .collect();
    (!counts.is_empty()).then(|| counts.join(", "))
}

fn drift(it: &JsonDrift) -> String {
    let window = Age(Duration::from_millis(it.window_ms));
    let (failed, admitted) = (it.failed, it.admitted);
    format!("{failed} of {admitted} failed while ready, in {window}")
}
