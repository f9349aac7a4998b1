use super::{
    question::{Detail, Live, Question, Target, blamed_members},
    text::UnclearVerbose,
};
use crate::{
    state::{Damped, DampingProgress, Data, Reason, ScopeId, SubsystemView, Verdict},
    traffic::Refused,
    wire::{JsonAnswer, JsonDamped, JsonDrift, JsonScope, JsonSubsystem, JsonTraffic},
};
use std::{
    borrow::Cow,
    collections::BTreeMap,
    time::{Duration, Instant, UNIX_EPOCH},
};

/// Renders the answer as one JSON object on one line.
pub(super) fn render(
    question: &Question,
    data: &Data,
    verdict: Verdict,
    detail: Detail,
    live: Live<'_>,
) -> String {
    let mut answer = JsonAnswer {
        probe: question.probe.as_str().into(),
        ok: question.passes(verdict),
        status: question.verdict_text(verdict).into(),
        ..JsonAnswer::default()
    };
    if detail >= Detail::Names {
        add_names(&mut answer, question, data, verdict, detail, live);
    }
    // Every key is a string and no value can fail to serialise.
    let mut json = serde_json::to_string(&answer).unwrap_or_default();
    json.push('\n');
    json
}

fn add_names<'a>(
    answer: &mut JsonAnswer<'a>,
    question: &'a Question,
    data: &'a Data,
    verdict: Verdict,
    detail: Detail,
    live: Live<'_>,
) {
    let full = detail >= Detail::Full;
    answer.version = Some(data.version);
    answer.phase = Some(data.phase.as_str().into());
    answer.condition = Some(verdict.condition().as_str().into());
    answer.paused = Some(data.pause.is_some());
    answer.pause_reason = data.pause.as_deref().filter(|_| full).map(Cow::Borrowed);

    let query = &question.query;
    let names = query.exclude.iter().map(|name| Cow::Borrowed(&**name));
    (answer.excluded, answer.unknown) = names.partition(|name| data.subsystem(name).is_some());
    let unclear = query.unclear_verbose.as_deref();
    answer.unclear = unclear.map(|value| UnclearVerbose(value).to_string().into());

    let subjects = question.subjects(data);
    answer.subsystems = Some(
        subjects
            .map(|view| subsystem(view, full, live.now))
            .collect(),
    );
    if question.target == Target::Scope(ScopeId::Process) {
        let indices = 0..data.scopes.len();
        answer.scopes = indices
            .map(|index| scope(question, data, index, live))
            .collect();
    }
    answer.traffic = question.shows_counts().then(|| traffic(question, live));
}

fn subsystem(view: &SubsystemView, full: bool, now: Instant) -> JsonSubsystem<'_> {
    // A time before 1970 is shown as 1970.
    let since = || view.since().duration_since(UNIX_EPOCH).unwrap_or_default();
    let attributes = || {
        view.attributes()
            .map(|(key, value)| (key.into(), value.into()))
    };
    JsonSubsystem {
        name: view.name().into(),
        role: view.role().as_str().into(),
        vital: view.is_vital(),
        pending: view.is_pending(),
        state: view.state().as_str().into(),
        damped: view.damped().map(|it| damped(it, full, now)),
        reason: full.then(|| view.reason().map(Cow::Borrowed)),
        attributes: full.then(|| attributes().collect()),
        claim: full.then(|| view.claim().as_str().into()),
        since_unix_ms: full.then(|| millis(since())),
        for_ms: full.then(|| millis(view.age(now))),
        transitions: full.then(|| view.transitions()),
    }
}

fn damped(damped: Damped<'_>, full: bool, now: Instant) -> JsonDamped<'_> {
    let (count, needed, counts_in_ms) = match damped.progress() {
        DampingProgress::Count { count, needed } => (Some(count), Some(needed), None),
        DampingProgress::Until(until) => {
            let remaining = until.saturating_duration_since(now);
            (None, None, Some(millis(remaining)))
        }
    };
    JsonDamped {
        state: damped.state().as_str().into(),
        reason: damped.reason().filter(|_| full).map(Cow::Borrowed),
        count,
        needed,
        counts_in_ms,
    }
}

fn scope<'a>(question: &Question, data: &'a Data, index: usize, live: Live<'_>) -> JsonScope<'a> {
    let (id, scope) = (ScopeId::Named(index), &data.scopes[index]);
    let counted = |refused: &Refused| {
        let counts = || counts(|reason| refused.by_scope(id, reason));
        question.shows_counts().then(counts)
    };
    JsonScope {
        name: Cow::Borrowed(&scope.name),
        condition: scope.status.verdict.condition().as_str().into(),
        ready: scope.status.verdict.is_ready(),
        because_of: blamed_members(data, index)
            .map(|view| view.name().into())
            .collect(),
        refused: counted(&live.traffic.refused),
        dry_run_refused: counted(&live.traffic.dry_run_refused),
        drift: drift(question, id, live),
    }
}

fn traffic(question: &Question, live: Live<'_>) -> JsonTraffic<'static> {
    let traffic = live.traffic;
    JsonTraffic {
        in_flight: traffic.flights.count(),
        late_arrivals: traffic.drain_clock.late_arrivals(),
        refused: counts(|reason| traffic.refused.total(reason)),
        dry_run_refused: counts(|reason| traffic.dry_run_refused.total(reason)),
        drift: drift(question, ScopeId::Process, live),
    }
}

fn counts(count_of: impl Fn(Reason) -> u64) -> BTreeMap<Cow<'static, str>, u64> {
    let counts = Reason::ALL.map(|reason| (reason.as_str().into(), count_of(reason)));
    counts.into_iter().filter(|(_, count)| *count > 0).collect()
}

fn drift(question: &Question, scope: ScopeId, live: Live<'_>) -> Option<JsonDrift> {
    let drift = question.drift(scope, live)?;
    Some(JsonDrift {
        window_ms: millis(drift.window()),
        admitted: drift.admitted(),
        failed: drift.failed(),
        failure_ratio: drift.failure_ratio(),
        refusing_ms: millis(drift.refusing()),
    })
}

/// Milliseconds; 64 bits last for 584 million years.
fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
