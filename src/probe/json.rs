use super::{
    question::{Detail, Live, Question, Target, blamed_members},
    text::UnclearVerbose,
};
use crate::{
    state::{self, Data, Reason, ScopeId, SubsystemView, Verdict},
    traffic::Refused,
};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant, UNIX_EPOCH},
};

#[derive(Serialize)]
struct JsonAnswer<'a> {
    probe: &'static str,
    ok: bool,
    status: &'static str,
    #[serde(flatten)]
    names: Option<Names<'a>>,
}

/// The fields that [`Detail::Names`] adds.
#[derive(Serialize)]
struct Names<'a> {
    version: u64,
    phase: &'static str,
    condition: &'static str,
    paused: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pause_reason: Option<&'a str>,
    // These fields precede the subsystems, so that a client that reads only a
    // part of a long list sees them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    excluded: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unknown: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unclear: Option<String>,
    subsystems: Vec<Subsystem<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    scopes: Vec<Scope<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traffic: Option<Traffic>,
}

#[derive(Serialize)]
struct Subsystem<'a> {
    name: &'a str,
    role: &'static str,
    vital: bool,
    pending: bool,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    damped: Option<Damped<'a>>,
    #[serde(flatten)]
    full: Option<Full<'a>>,
}

/// A reported state that does not take effect yet.
#[derive(Serialize)]
struct Damped<'a> {
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(flatten)]
    progress: DampedProgress,
}

#[derive(Serialize)]
#[serde(untagged)]
enum DampedProgress {
    Count { count: u32, needed: u32 },
    Time { counts_in_ms: u64 },
}

/// The fields that [`Detail::Full`] adds.
#[derive(Serialize)]
struct Full<'a> {
    reason: Option<&'a str>,
    attributes: BTreeMap<&'a str, &'a str>,
    claim: &'static str,
    since_unix_ms: u64,
    for_ms: u64,
    transitions: u64,
}

#[derive(Serialize)]
struct Scope<'a> {
    name: &'a str,
    condition: &'static str,
    ready: bool,
    /// The members that cause the condition.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    because_of: Vec<&'a str>,
    /// Requests refused by the gates of this scope.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<Counts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dry_run_refused: Option<Counts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    drift: Option<Drift>,
}

/// Counts by reason; reasons with a count of zero are left out.
type Counts = BTreeMap<&'static str, u64>;

#[derive(Serialize)]
struct Traffic {
    in_flight: Option<usize>,
    late_arrivals: u64,
    /// Requests refused by all gates.
    refused: Counts,
    dry_run_refused: Counts,
    #[serde(skip_serializing_if = "Option::is_none")]
    drift: Option<Drift>,
}

#[derive(Serialize)]
struct Drift {
    window_ms: u64,
    admitted: u64,
    failed: u64,
    failure_ratio: Option<f64>,
    refusing_ms: u64,
}

/// Renders the answer as one JSON object on one line.
pub(super) fn render(
    question: &Question,
    data: &Data,
    verdict: Verdict,
    detail: Detail,
    live: Live<'_>,
) -> String {
    let answer = JsonAnswer {
        probe: question.probe.as_str(),
        ok: question.passes(verdict),
        status: question.verdict_text(verdict),
        names: (detail >= Detail::Names).then(|| names(question, data, verdict, detail, live)),
    };
    // Every key is a string and no value can fail to serialise.
    let mut json = serde_json::to_string(&answer).unwrap_or_default();
    json.push('\n');
    json
}

fn names<'a>(
    question: &'a Question,
    data: &'a Data,
    verdict: Verdict,
    detail: Detail,
    live: Live<'_>,
) -> Names<'a> {
    let full = detail >= Detail::Full;
    let query = &question.query;
    let (excluded, unknown) = query
        .exclude
        .iter()
        .map(String::as_str)
        .partition(|name| data.subsystem(name).is_some());
    let scopes = match question.target {
        Target::Scope(ScopeId::Process) => data.scopes.as_slice(),
        _ => &[],
    };
    Names {
        version: data.version,
        phase: data.phase.as_str(),
        condition: verdict.condition().as_str(),
        paused: data.pause.is_some(),
        pause_reason: data.pause.as_deref().filter(|_| full),
        subsystems: question
            .subjects(data)
            .map(|view| Subsystem {
                name: view.name(),
                role: view.role().as_str(),
                vital: view.is_vital(),
                pending: view.is_pending(),
                state: view.state().as_str(),
                damped: view.damped().map(|it| damped(it, full, live.now)),
                full: full.then(|| details(view, live.now)),
            })
            .collect(),
        scopes: scopes
            .iter()
            .enumerate()
            .map(|(index, scope)| {
                let id = ScopeId::Named(index);
                let traffic = live.traffic;
                let counted = |refused: &Refused| {
                    let counts = || counts(|reason| refused.by_scope(id, reason));
                    question.shows_counts().then(counts)
                };
                Scope {
                    name: &scope.name,
                    condition: scope.status.verdict.condition().as_str(),
                    ready: scope.status.verdict.is_ready(),
                    because_of: blamed_members(data, index)
                        .map(SubsystemView::name)
                        .collect(),
                    refused: counted(&traffic.refused),
                    dry_run_refused: counted(&traffic.dry_run_refused),
                    drift: drift(question, id, live),
                }
            })
            .collect(),
        traffic: question.shows_counts().then(|| Traffic {
            drift: drift(question, ScopeId::Process, live),
            ..traffic(live.traffic)
        }),
        excluded,
        unknown,
        unclear: query
            .unclear_verbose
            .as_deref()
            .map(|value| UnclearVerbose(value).to_string()),
    }
}

fn damped(damped: state::Damped<'_>, full: bool, now: Instant) -> Damped<'_> {
    Damped {
        state: damped.state().as_str(),
        reason: damped.reason().filter(|_| full),
        progress: match damped.progress() {
            state::DampingProgress::Count { count, needed } => {
                DampedProgress::Count { count, needed }
            }
            state::DampingProgress::Until(until) => DampedProgress::Time {
                counts_in_ms: millis(until.saturating_duration_since(now)),
            },
        },
    }
}

fn traffic(traffic: &crate::traffic::Traffic) -> Traffic {
    Traffic {
        in_flight: traffic.flights.count(),
        late_arrivals: traffic.drain_clock.late_arrivals(),
        refused: counts(|reason| traffic.refused.total(reason)),
        dry_run_refused: counts(|reason| traffic.dry_run_refused.total(reason)),
        drift: None,
    }
}

fn counts(count_of: impl Fn(Reason) -> u64) -> Counts {
    let counts = Reason::ALL.map(|reason| (reason.as_str(), count_of(reason)));
    counts.into_iter().filter(|(_, count)| *count > 0).collect()
}

fn drift(question: &Question, scope: ScopeId, live: Live<'_>) -> Option<Drift> {
    let drift = question.drift(scope, live)?;
    Some(Drift {
        window_ms: millis(drift.window()),
        admitted: drift.admitted(),
        failed: drift.failed(),
        failure_ratio: drift.failure_ratio(),
        refusing_ms: millis(drift.refusing()),
    })
}

fn details(view: &SubsystemView, now: Instant) -> Full<'_> {
    // A time before 1970 is shown as 1970.
    let since = view.since().duration_since(UNIX_EPOCH).unwrap_or_default();
    Full {
        reason: view.reason(),
        attributes: view.attributes().collect(),
        claim: view.claim().as_str(),
        since_unix_ms: millis(since),
        for_ms: millis(view.age(now)),
        transitions: view.transitions(),
    }
}

/// Milliseconds; 64 bits last for 584 million years.
fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
