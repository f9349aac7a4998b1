use super::{
    question::Detail,
    rendering::{Rendering, refused_by_reason},
    text::{self, UnclearVerbose},
};
#[cfg(feature = "events")]
use crate::wire::JsonTick;
use crate::{
    state::{
        Aspect, Damped, DampingProgress, Explanation, MemberCounts, ScopeId, State, SubsystemView,
    },
    traffic::RequestCounts,
    wire::{
        JsonAnswer, JsonDamped, JsonDrain, JsonDrift, JsonMembers, JsonScope, JsonSubsystem,
        JsonTraffic, JsonVerdicts,
    },
};
#[cfg(feature = "events")]
use std::time::SystemTime;
use std::{
    borrow::Cow,
    collections::BTreeMap,
    time::{Duration, UNIX_EPOCH},
};

/// Renders the answer as one JSON object on one line.
pub(super) fn render(answer: &Rendering<'_>) -> String {
    // Every key is a string and no value can fail to serialise.
    let mut json = serde_json::to_string(&document(answer)).unwrap_or_default();
    json.push('\n');
    json
}

/// Makes the object of the answer.
pub(super) fn document<'a>(answer: &Rendering<'a>) -> JsonAnswer<'a> {
    let mut object = JsonAnswer {
        probe: answer.question.probe.as_str().into(),
        ok: answer.question.passes(answer.verdict),
        status: answer.word().into(),
        ..JsonAnswer::default()
    };
    if answer.detail >= Detail::Names {
        answer.add_names(&mut object);
    }
    object
}

/// Renders the data of a tick as one JSON object on one line.
#[cfg(feature = "events")]
pub(super) fn render_tick(status: &Rendering<'_>) -> String {
    // A time before 1970 is shown as 1970.
    let time = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let tick = JsonTick {
        time: millis(time),
        version: status.selection.data.version,
        traffic: status.traffic(),
        drain: status.json_drain(),
    };
    // As above.
    serde_json::to_string(&tick).unwrap_or_default() + "\n"
}

impl<'a> Rendering<'a> {
    fn add_names(&self, object: &mut JsonAnswer<'a>) {
        let (selection, data) = (self.selection, self.selection.data);
        if self.shows_counts() {
            self.add_verdicts(object);
        }
        object.version = Some(data.version);
        object.phase = Some(data.phase.as_str().into());
        object.condition = Some(self.verdict.condition().as_str().into());
        object.paused = Some(data.pause.is_some());
        object.pause_reason = self
            .full(|| Some(Cow::Borrowed(data.pause.as_deref()?)))
            .flatten();
        object.excluded = names(&selection.excluded);
        object.unknown = selection
            .unknown
            .iter()
            .map(|name| (*name).into())
            .collect();
        let unclear = self.question.query.unclear_verbose.as_deref();
        object.unclear = unclear.map(|value| UnclearVerbose(value).to_string().into());
        object.subsystems = Some(self.listed().map(|view| self.subsystem(view)).collect());
        if selection.is_process() && !self.is_short {
            let scopes = 0..data.scopes.len();
            let scopes = scopes.filter(|index| self.is_new(data.scopes[*index].changed_in));
            object.scopes = scopes.map(|index| self.scope(index)).collect();
        }
        object.traffic = self.shows_counts().then(|| self.traffic());
        object.removed = self.removed();
        object.history = self.json_history();
    }

    /// Adds the fields that only the status probe has.
    fn add_verdicts(&self, object: &mut JsonAnswer<'a>) {
        object.summary = Some(text::summary(self).into());
        object.verdicts = Some(JsonVerdicts {
            startup: self.verdict.is_green(Aspect::Startup),
            liveness: self.verdict.is_green(Aspect::Liveness),
            readiness: self.verdict.is_green(Aspect::Readiness),
        });
        if !self.is_short {
            let explanation = Explanation::new(self.selection, Aspect::Readiness);
            object.because_of = names(explanation.causes());
        }
        object.drain = self.json_drain();
    }

    fn json_drain(&self) -> Option<JsonDrain> {
        self.drain.map(|drain| JsonDrain {
            delay_ms: millis(drain.times.delay),
            longest_delay_ms: millis(drain.times.longest_delay),
            cap_ms: millis(drain.times.cap),
            left_ms: drain.left.map(millis),
        })
    }

    /// Returns a value that only [`Detail::Full`] adds.
    pub(super) fn full<T>(&self, value: impl FnOnce() -> T) -> Option<T> {
        (self.detail >= Detail::Full).then(value)
    }

    fn subsystem(&self, view: &'a SubsystemView) -> JsonSubsystem<'a> {
        // A time before 1970 is shown as 1970.
        let since = || view.since().duration_since(UNIX_EPOCH).unwrap_or_default();
        let attributes = view
            .attributes()
            .map(|(key, value)| (key.into(), value.into()));
        JsonSubsystem {
            name: view.name().into(),
            role: view.role().as_str().into(),
            vital: view.is_vital(),
            pending: view.is_pending(),
            state: view.state().as_str().into(),
            simulated: view.is_simulated(),
            damped: view.damped().map(|damped| self.damped(damped)),
            members: view.members().map(members),
            reason: self.full(|| view.reason().map(Cow::Borrowed)),
            attributes: self.full(|| attributes.collect()),
            claim: self.full(|| view.claim().as_str().into()),
            ttl_ms: self.full(|| view.ttl().map(millis)).flatten(),
            since_unix_ms: self.full(|| millis(since())),
            for_ms: self.full(|| millis(view.age(self.now))),
            transitions: self.full(|| view.transitions()),
        }
    }

    fn damped(&self, damped: Damped<'a>) -> JsonDamped<'a> {
        let (count, needed, counts_in_ms) = match damped.progress() {
            DampingProgress::Count { count, needed } => (Some(count), Some(needed), None),
            DampingProgress::Until(until) => {
                let remaining = until.saturating_duration_since(self.now);
                (None, None, Some(millis(remaining)))
            }
        };
        JsonDamped {
            state: damped.state().as_str().into(),
            reason: self.full(|| damped.reason().map(Cow::Borrowed)).flatten(),
            count,
            needed,
            counts_in_ms,
        }
    }

    fn scope(&self, index: usize) -> JsonScope<'a> {
        let data = self.selection.data;
        let (id, scope) = (ScopeId::Named(index), &data.scopes[index]);
        let refused = |refused| self.shows_counts().then(|| counts(refused, Some(id)));
        JsonScope {
            name: Cow::Borrowed(&scope.name),
            condition: scope.status.verdict.condition().as_str().into(),
            ready: scope.status.verdict.is_ready(),
            because_of: names(Explanation::of_scope(data, id, Aspect::Readiness).causes()),
            refused: refused(&self.traffic.gates),
            dry_run_refused: refused(&self.traffic.dry_run_gates),
            drift: self.json_drift(id),
        }
    }

    fn traffic(&self) -> JsonTraffic<'static> {
        let traffic = self.traffic;
        JsonTraffic {
            in_flight: traffic.flights.count(),
            late_arrivals: traffic.arrivals.late(),
            refused: counts(&traffic.gates, None),
            dry_run_refused: counts(&traffic.dry_run_gates, None),
            drift: self.json_drift(ScopeId::Process),
        }
    }

    fn json_drift(&self, scope: ScopeId) -> Option<JsonDrift> {
        let drift = self.drift(scope)?;
        Some(JsonDrift {
            window_ms: millis(drift.window()),
            admitted: drift.admitted(),
            failed: drift.failed(),
            failure_ratio: drift.failure_ratio(),
            refusing_ms: millis(drift.refusing()),
        })
    }
}

pub(super) fn members(counts: &MemberCounts) -> JsonMembers<'static> {
    let states = State::ALL.iter();
    let states = states.map(|state| (state.as_str().into(), counts.in_state(*state)));
    JsonMembers {
        total: counts.total(),
        ready: counts.ready(),
        states: states.filter(|(_, count)| *count > 0).collect(),
    }
}

fn names<'a>(views: &[&'a SubsystemView]) -> Vec<Cow<'a, str>> {
    views.iter().map(|view| view.name().into()).collect()
}

fn counts(refused: &RequestCounts, scope: Option<ScopeId>) -> BTreeMap<Cow<'static, str>, u64> {
    let counts = refused_by_reason(refused, scope);
    counts
        .map(|(reason, count)| (reason.as_str().into(), count))
        .collect()
}

/// Milliseconds; 64 bits last for 584 million years.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
