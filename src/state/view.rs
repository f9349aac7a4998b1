use super::{
    tally::Tally,
    text,
    vocabulary::{Claim, Role, State},
};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

/// What stays the same as long as a subsystem exists.
#[derive(Debug)]
pub(crate) struct Declaration {
    pub(crate) name: Arc<str>,
    pub(crate) role: Role,
    /// Its death makes liveness red. Implies [`Role::Required`].
    pub(crate) vital: bool,
    /// Declared before the registry was built, so the start latch waits for
    /// it where it is required.
    pub(crate) at_build: bool,
    /// The named scopes it is a member of, as indices into the snapshot's.
    pub(crate) scopes: Box<[usize]>,
}

/// A moment on both clocks: the wall clock for people, the monotonic one for
/// ages. `state` has no clock of its own; whoever reports brings the time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) wall: SystemTime,
    pub(crate) monotonic: Instant,
}

/// What a dropped reporter says.
const DROPPED: &str = "reporter dropped";

/// What one subsystem said, as part of a [`Snapshot`](crate::Snapshot).
#[derive(Clone, Debug)]
pub struct SubsystemView {
    declaration: Arc<Declaration>,
    state: State,
    reason: Option<Arc<str>>,
    attributes: Option<Arc<BTreeMap<String, String>>>,
    claim: Claim,
    been_up: bool,
    pending: bool,
    since: Moment,
    transitions: u64,
}

impl SubsystemView {
    /// The subsystem's name.
    pub fn name(&self) -> &str {
        &self.declaration.name
    }

    /// What the process makes of it when it is not up.
    pub fn role(&self) -> Role {
        self.declaration.role
    }

    /// Whether its death makes liveness red.
    pub fn is_vital(&self) -> bool {
        self.declaration.vital
    }

    /// What it last said of itself.
    pub fn state(&self) -> State {
        self.state
    }

    /// Why it is in this state, as reported: at most 1 KiB, possibly with
    /// line breaks. `None` for a state that was given no reason.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// The attributes its reporter set, by key.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.attributes
            .iter()
            .flat_map(|map| map.iter())
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// One attribute, or `None` if it is not set.
    pub fn attribute(&self, key: &str) -> Option<&str> {
        self.attributes.as_ref()?.get(key).map(String::as_str)
    }

    /// Who speaks for it.
    pub fn claim(&self) -> Claim {
        self.claim
    }

    /// Whether it was [added while running](crate::Readiness::add) and has
    /// not been up yet. Until then it only degrades.
    pub fn is_pending(&self) -> bool {
        self.pending
    }

    /// Whether it has been ready or degraded at least once.
    pub fn has_been_up(&self) -> bool {
        self.been_up
    }

    /// Since when it has been in this state, by the wall clock.
    pub fn since(&self) -> SystemTime {
        self.since.wall
    }

    /// For how long it has been in this state at `now`, by the monotonic
    /// clock. Zero if `now` is earlier.
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since.monotonic)
    }

    /// How often its state has changed since it was declared.
    pub fn transitions(&self) -> u64 {
        self.transitions
    }
}

// === transitions ===

impl SubsystemView {
    pub(crate) fn declared(declaration: Declaration, at: Moment) -> Self {
        Self {
            pending: !declaration.at_build,
            declaration: Arc::new(declaration),
            state: State::Starting,
            reason: None,
            attributes: None,
            claim: Claim::Unclaimed,
            been_up: false,
            since: at,
            transitions: 0,
        }
    }

    /// Whether a report of `state` and `reason` would change nothing.
    pub(crate) fn says(&self, state: State, reason: Option<&str>) -> bool {
        self.state == state && self.reason.as_deref() == reason
    }

    pub(crate) fn report(&self, state: State, reason: Option<&str>, at: Moment) -> Self {
        let changed = self.state != state;
        Self {
            state,
            reason: reason.map(Arc::from),
            been_up: self.been_up || state.is_up(),
            pending: self.pending && !state.is_up(),
            since: if changed { at } else { self.since },
            transitions: self.transitions + u64::from(changed),
            ..self.clone()
        }
    }

    pub(crate) fn with_claim(&self, claim: Claim) -> Self {
        Self {
            claim,
            ..self.clone()
        }
    }

    /// Its reporter went away without a word.
    ///
    /// While the process drains, tasks end in any order and that says
    /// nothing. Otherwise it is a report of its own, which never improves on
    /// the last one and keeps its reason.
    pub(crate) fn drop_reporter(&self, draining: bool, at: Moment) -> Self {
        let dropped = self.with_claim(Claim::Dropped);
        if draining {
            return dropped;
        }
        let state = if self.is_vital() || self.state == State::Dead {
            State::Dead
        } else {
            State::Failing
        };
        match self.reason() {
            // Claimed and dropped again, without a report in between.
            Some(last) if last.starts_with(DROPPED) => dropped.report(state, Some(last), at),
            Some(last) if matches!(self.state, State::Failing | State::Dead) => {
                let reason = format!("{DROPPED}; last report: {last}");
                let reason = text::cut(&reason, text::MAX_BYTES);
                dropped.report(state, Some(reason), at)
            }
            _ => dropped.report(state, Some(DROPPED), at),
        }
    }

    pub(crate) fn attribute_count(&self) -> usize {
        self.attributes.as_ref().map_or(0, |map| map.len())
    }

    pub(crate) fn with_attribute(&self, key: &str, value: Option<&str>) -> Self {
        let mut attributes = self.attributes.as_deref().cloned().unwrap_or_default();
        match value {
            Some(value) => attributes.insert(key.to_owned(), value.to_owned()),
            None => attributes.remove(key),
        };
        Self {
            attributes: (!attributes.is_empty()).then(|| Arc::new(attributes)),
            ..self.clone()
        }
    }
}

// === what it counts for ===

impl SubsystemView {
    pub(crate) fn scopes(&self) -> &[usize] {
        &self.declaration.scopes
    }

    /// What it adds to the process as a whole, by its role.
    pub(crate) fn effect_on_process(&self) -> Tally {
        let mut effect = Tally::default();
        if self.state.is_up() {
            effect.degraded = u32::from(self.state == State::Degraded);
            return effect;
        }
        if self.pending {
            effect.degraded = 1;
            return effect;
        }
        match self.role() {
            Role::Required => {
                effect.failing = 1;
                effect.absent = u32::from(self.declaration.at_build);
            }
            Role::Shared if !self.been_up => effect.awaited = 1,
            Role::Shared | Role::Optional => effect.degraded = 1,
        }
        effect.vital_dead =
            u32::from(self.is_vital() && matches!(self.state, State::Dead | State::Stale));
        effect
    }

    /// What it adds to a named scope, where every member counts.
    pub(crate) fn effect_on_scope(&self) -> Tally {
        let down = u32::from(!self.state.is_up());
        Tally {
            absent: down,
            failing: down,
            degraded: u32::from(self.state == State::Degraded),
            ..Tally::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Moment {
        Moment {
            wall: SystemTime::now(),
            monotonic: Instant::now(),
        }
    }

    fn view(role: Role, vital: bool, at_build: bool) -> SubsystemView {
        let declaration = Declaration {
            name: "storage".into(),
            role,
            vital,
            at_build,
            scopes: Box::default(),
        };
        SubsystemView::declared(declaration, now()).with_claim(Claim::Held)
    }

    fn in_state(view: &SubsystemView, state: State) -> SubsystemView {
        view.report(state, None, now())
    }

    const DOWN: [State; 4] = [State::Starting, State::Failing, State::Stale, State::Dead];

    #[test]
    fn a_required_subsystem_holds_up_the_start_and_fails_while_down() {
        let view = view(Role::Required, false, true);
        for state in DOWN {
            let effect = in_state(&view, state).effect_on_process();
            assert_eq!((effect.absent, effect.failing), (1, 1), "{state}");
            assert_eq!(effect.vital_dead, 0, "{state}");
        }
        assert_eq!(
            in_state(&view, State::Ready).effect_on_process(),
            Tally::default()
        );
        let degraded = in_state(&view, State::Degraded).effect_on_process();
        assert_eq!((degraded.degraded, degraded.absent), (1, 0));
    }

    #[test]
    fn a_shared_subsystem_is_awaited_once_and_only_degrades_afterwards() {
        let view = view(Role::Shared, false, true);
        for state in DOWN {
            let before = in_state(&view, state).effect_on_process();
            assert_eq!((before.awaited, before.absent, before.failing), (1, 0, 0));
            let up = in_state(&view, State::Degraded);
            let after = in_state(&up, state).effect_on_process();
            assert_eq!((after.awaited, after.degraded, after.failing), (0, 1, 0));
        }
    }

    #[test]
    fn an_optional_subsystem_only_degrades() {
        let view = view(Role::Optional, false, true);
        for state in DOWN {
            let effect = in_state(&view, state).effect_on_process();
            let only_degrades = Tally {
                degraded: 1,
                ..Tally::default()
            };
            assert_eq!(effect, only_degrades, "{state}");
        }
    }

    #[test]
    fn a_vital_subsystem_kills_when_dead_or_stale_and_not_when_failing() {
        let view = view(Role::Required, true, true);
        for (state, kills) in [
            (State::Starting, 0),
            (State::Failing, 0),
            (State::Stale, 1),
            (State::Dead, 1),
        ] {
            assert_eq!(
                in_state(&view, state).effect_on_process().vital_dead,
                kills,
                "{state}"
            );
        }
    }

    #[test]
    fn one_added_while_running_is_pending_until_first_up_and_then_counts() {
        let view = view(Role::Required, true, false);
        assert!(view.is_pending());
        for state in DOWN {
            let effect = in_state(&view, state).effect_on_process();
            assert_eq!(
                (effect.degraded, effect.failing, effect.vital_dead),
                (1, 0, 0)
            );
        }
        let up = in_state(&view, State::Ready);
        assert!(!up.is_pending());
        let down = in_state(&up, State::Dead).effect_on_process();
        assert_eq!((down.failing, down.absent, down.vital_dead), (1, 0, 1));
    }

    #[test]
    fn every_role_counts_inside_a_named_scope() {
        for role in [Role::Required, Role::Shared, Role::Optional] {
            let view = view(role, false, true);
            for state in DOWN {
                let effect = in_state(&view, state).effect_on_scope();
                assert_eq!((effect.absent, effect.failing), (1, 1), "{role} {state}");
            }
        }
    }

    #[test]
    fn a_dropped_reporter_never_leaves_green_and_never_improves_on_dead() {
        let plain = in_state(&view(Role::Required, false, true), State::Ready);
        let dropped = plain.drop_reporter(false, now());
        assert!(dropped.says(State::Failing, Some("reporter dropped")));
        assert_eq!(dropped.claim(), Claim::Dropped);

        let vital = in_state(&view(Role::Required, true, true), State::Ready);
        let dropped = vital.drop_reporter(false, now());
        assert!(dropped.says(State::Dead, Some("reporter dropped")));

        let dead = plain.report(State::Dead, Some("disk gone"), now());
        let dropped = dead.drop_reporter(false, now());
        let reason = "reporter dropped; last report: disk gone";
        assert!(dropped.says(State::Dead, Some(reason)));
        let again = dropped.drop_reporter(false, now());
        assert!(again.says(State::Dead, Some(reason)), "it does not grow");

        let endless = "x".repeat(text::MAX_BYTES);
        let dead = plain.report(State::Dead, Some(&endless), now());
        let reason = dead.drop_reporter(false, now());
        assert_eq!(reason.reason().map(str::len), Some(text::MAX_BYTES));
    }

    #[test]
    fn a_reporter_dropped_while_draining_says_nothing() {
        for vital in [false, true] {
            let ready = in_state(&view(Role::Required, vital, true), State::Ready);
            let dropped = ready.drop_reporter(true, now());
            assert_eq!(dropped.state(), State::Ready);
            assert_eq!(dropped.claim(), Claim::Dropped);
        }
    }

    #[test]
    fn transitions_and_since_follow_the_state_and_not_the_reason() {
        let starting = view(Role::Required, false, true);
        let later = Moment {
            wall: SystemTime::now(),
            monotonic: starting.since.monotonic + Duration::from_secs(5),
        };
        let failing = starting.report(State::Failing, Some("one"), later);
        assert_eq!(failing.transitions(), 1);
        assert_eq!(failing.age(later.monotonic), Duration::ZERO);

        let even_later = Moment {
            monotonic: later.monotonic + Duration::from_secs(5),
            ..later
        };
        let same = failing.report(State::Failing, Some("two"), even_later);
        assert_eq!(same.transitions(), 1);
        assert_eq!(same.age(even_later.monotonic), Duration::from_secs(5));
    }

    #[test]
    fn the_last_attribute_removed_leaves_none() {
        let view = view(Role::Required, false, true).with_attribute("version", Some("7"));
        assert_eq!(view.attribute("version"), Some("7"));
        assert_eq!(view.attributes().collect::<Vec<_>>(), [("version", "7")]);
        let view = view.with_attribute("version", None);
        assert_eq!(view.attribute_count(), 0);
        assert_eq!(view.attribute("version"), None);
    }
}
