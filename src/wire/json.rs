use super::JsonMembers;
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, collections::BTreeMap};

/// The answer of a probe as JSON: one object on one line.
///
/// Fields without a level are in each answer. A field with a level is in answers
/// with this [`Detail`](crate::probe::Detail) or more. Fields that this version
/// does not know are ignored. Words are strings here, and not enums, so that a
/// client can read the answers of a later version that adds one.
///
/// ```
/// use tower_readiness::wire::{JsonAnswer, Probe};
///
/// let json = r#"{"probe":"readiness","ok":false,"status":"not ready"}"#;
/// let answer: JsonAnswer<'_> = serde_json::from_str(json)?;
/// assert_eq!(answer.probe, Probe::Readiness.as_str());
/// assert!(!answer.ok);
/// # Ok::<_, serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JsonAnswer<'a> {
    /// The name of the [probe](super::Probe).
    pub probe: Cow<'a, str>,
    /// Whether the answer is green, as its HTTP status is.
    pub ok: bool,
    /// The [word](super::Probe::word) for the verdict. The status probe is always
    /// green, and its word is that of readiness.
    pub status: Cow<'a, str>,
    /// The verdict as a sentence: `status`, and what makes it so, as in the last line
    /// of the text. It names eight subsystems at most, with their reasons from level
    /// `Full` on. Status probe alone. Level `Names`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<Cow<'a, str>>,
    /// The answers of the other probes. Status probe alone. Level `Names`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdicts: Option<JsonVerdicts>,
    /// The subsystems that make the process red or degraded, if any, in the order of
    /// their importance. Status probe alone. Level `Names`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub because_of: Vec<Cow<'a, str>>,
    /// The [version](crate::Snapshot::version) of the snapshot. Level `Names`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// The [phase](crate::Phase) of the process. Level `Names`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Cow<'a, str>>,
    /// The [condition](crate::Condition) of the process, or of the scope or
    /// subsystem that was asked for. Level `Names`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<Cow<'a, str>>,
    /// Whether the process is paused. Level `Names`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// The reason of the pause, while paused. Level `Full`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause_reason: Option<Cow<'a, str>>,
    /// The planned end of the process, if a shutdown plans it. Status probe alone.
    /// Level `Names`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain: Option<JsonDrain>,
    // These fields precede the subsystems, so that a client that reads only a
    // part of a long list sees them.
    /// The names of the subsystems that `?exclude` left out, if any. Level `Names`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excluded: Vec<Cow<'a, str>>,
    /// The names in `?exclude` that no subsystem has, if any. Level `Names`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<Cow<'a, str>>,
    /// A message on a value of `?verbose` that is no boolean. Level `Names`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unclear: Option<Cow<'a, str>>,
    /// The subsystems of the process, the members of the scope that was asked for,
    /// or the one subsystem. Level `Names`; present there even if empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subsystems: Option<Vec<JsonSubsystem<'a>>>,
    /// The named scopes, in answers about the process that has some. Level `Names`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<JsonScope<'a>>,
    /// The subsystems that have been retired since the last event, in the event
    /// [`Change`](super::EventKind::Change) alone. Level `Names`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<Cow<'a, str>>,
    /// The traffic of the process, in answers of the status probe. Level `Names`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traffic: Option<JsonTraffic<'a>>,
    /// The newest transitions, the oldest of them first. In the event
    /// [`Change`](super::EventKind::Change) only those since the last event. Status
    /// probe alone, without `?exclude`. Level `Names`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<JsonTransition<'a>>,
}

/// The answers of the probes in a [`JsonAnswer`]; `true` is green.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JsonVerdicts {
    /// Whether the process [has started](crate::Verdict::has_started).
    pub startup: bool,
    /// Whether the process [is live](crate::Verdict::is_live).
    pub liveness: bool,
    /// Whether the process [is ready](crate::Verdict::is_ready).
    pub readiness: bool,
}

/// The planned end of the process in a [`JsonAnswer`]. All times are in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JsonDrain {
    /// How long the process stays in the phase `draining`, if late requests do not
    /// extend it.
    pub delay_ms: u64,
    /// How long it stays in that phase at most.
    pub longest_delay_ms: u64,
    /// How long requests in flight may take in the phase `closing`.
    pub cap_ms: u64,
    /// The time left of the phase `draining` or `closing`, in these phases.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_ms: Option<u64>,
}

/// A subsystem in a [`JsonAnswer`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JsonSubsystem<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// Its [role](crate::Role).
    pub role: Cow<'a, str>,
    /// Whether its death makes liveness red.
    pub vital: bool,
    /// Whether it was added while running and has not been up yet.
    pub pending: bool,
    /// The [state](crate::State) that counts.
    pub state: Cow<'a, str>,
    /// Whether a test of the application simulates the state, in place of a better one
    /// that was reported. Absent if not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub simulated: bool,
    /// A report that does not count yet, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub damped: Option<JsonDamped<'a>>,
    /// The counts of its members, if it is a [group](crate::Group).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members: Option<JsonMembers<'a>>,
    /// The reason of the state. Level `Full`, where it is `null` (`Some(None)`
    /// when serialised, `None` when deserialised) if no reason was reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Option<Cow<'a, str>>>,
    /// The attributes by key. Level `Full`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attributes: Option<BTreeMap<Cow<'a, str>, Cow<'a, str>>>,
    /// The [claim](crate::Claim). Level `Full`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim: Option<Cow<'a, str>>,
    /// The longest time between two reports before the subsystem counts as stale, in
    /// milliseconds, if it has a [ttl](crate::Subsystem::ttl). Level `Full`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
    /// When it entered its state, by the wall clock: milliseconds since 1970 (UTC).
    /// Level `Full`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_unix_ms: Option<u64>,
    /// How long it has been in its state, by the monotonic clock, in milliseconds.
    /// Level `Full`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub for_ms: Option<u64>,
    /// How often its state has changed since it was declared. Level `Full`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transitions: Option<u64>,
}

/// A report that does not count yet, in a [`JsonSubsystem`]. It has either `count`
/// and `needed` or `counts_in_ms`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JsonDamped<'a> {
    /// The reported [state](crate::State).
    pub state: Cow<'a, str>,
    /// The reported reason, if there is one. Level `Full`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'a, str>>,
    /// How often in a row the check has found it so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// How often in a row the check has to find it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub needed: Option<u32>,
    /// The time until it counts, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counts_in_ms: Option<u64>,
}

/// A named scope in a [`JsonAnswer`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JsonScope<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// Its [condition](crate::Condition).
    pub condition: Cow<'a, str>,
    /// Whether it is ready.
    pub ready: bool,
    /// The members that cause the condition, if any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub because_of: Vec<Cow<'a, str>>,
    /// The requests that the gates of the scope refused, by [reason](crate::Reason);
    /// a reason without a request is left out. Status probe alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<BTreeMap<Cow<'a, str>, u64>>,
    /// The requests that its dry runs would have refused, in the same form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dry_run_refused: Option<BTreeMap<Cow<'a, str>, u64>>,
    /// The drift of the scope, if its gates observe outcomes. Status probe alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift: Option<JsonDrift>,
}

/// The traffic of the process in a [`JsonAnswer`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JsonTraffic<'a> {
    /// The requests in flight, or `null` if no layer counts them.
    pub in_flight: Option<usize>,
    /// The requests that arrived [late](crate::Readiness::late_arrivals) in a drain.
    pub late_arrivals: u64,
    /// The requests that all gates refused, by [reason](crate::Reason); a reason
    /// without a request is left out.
    pub refused: BTreeMap<Cow<'a, str>, u64>,
    /// The requests that dry runs would have refused, in the same form.
    pub dry_run_refused: BTreeMap<Cow<'a, str>, u64>,
    /// The drift of the process, if a layer observes outcomes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift: Option<JsonDrift>,
}

/// A transition in a [`JsonAnswer`]; see `Readiness::history`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JsonTransition<'a> {
    /// The [version](crate::Snapshot::version) of the snapshot that it was published
    /// with. One version can have several transitions: of a subsystem, and of each
    /// scope whose condition follows.
    pub version: u64,
    /// What changed: `subsystem`, `scope`, `process`, `phase` or `pause`.
    pub kind: Cow<'a, str>,
    /// The name of the subsystem or scope.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Cow<'a, str>>,
    /// The former value: a [state](crate::State) of a subsystem, a
    /// [condition](crate::Condition) of a scope or the process, a
    /// [phase](crate::Phase), or `paused` or `not paused`. Absent if the subsystem
    /// was added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Cow<'a, str>>,
    /// The value since. Absent if the subsystem was retired.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Cow<'a, str>>,
    /// The requests that gates refused while the former value lasted; of a scope, its
    /// own gates.
    pub refused: u64,
    /// The reason of the new state or pause, if there is one. Level `Full`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'a, str>>,
    /// When it changed, by the wall clock: milliseconds since 1970 (UTC). Level
    /// `Full`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_unix_ms: Option<u64>,
    /// How long ago it changed, by the monotonic clock, in milliseconds. Level `Full`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ago_ms: Option<u64>,
    /// How long the former value lasted, by the monotonic clock, in milliseconds.
    /// Level `Full`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lasted_ms: Option<u64>,
}

/// How well the readiness of a scope has matched its traffic; see
/// [`Drift`](crate::gate::Drift).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JsonDrift {
    /// The length of the window, in milliseconds.
    pub window_ms: u64,
    /// The requests admitted in the window.
    pub admitted: u64,
    /// The requests among them that failed.
    pub failed: u64,
    /// `failed` of `admitted`, 0 to 1, or `null` if none was admitted.
    pub failure_ratio: Option<f64>,
    /// How long the gates refused although all checks passed, in milliseconds.
    pub refusing_ms: u64,
}
