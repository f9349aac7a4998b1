use super::{
    error::MemberError,
    slots::{Search, Slots, search},
};
use crate::{
    registry::shrink::shrink,
    state::{MemberCounts, State, text},
};
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Instant,
};

/// The largest number of members of a group. They then take some 200 MB.
pub(in crate::registry) const MAX_MEMBERS: usize = 1_000_000;

/// The reason after a drop of a reporter.
const DROPPED: &str = "reporter dropped";

/// The members of a group by slot, with their number in each state.
#[derive(Default)]
pub(super) struct Table {
    members: Vec<Option<Member>>,
    /// Free slots in front of the last taken slot.
    free: BTreeSet<usize>,
    slots: HashMap<Arc<str>, usize>,
    in_state: [Slots; State::ALL.len()],
    counts: MemberCounts,
    /// The counts have changed since the last [`take_changed`](Self::take_changed).
    is_changed: bool,
}

pub(super) struct Member {
    pub(super) name: Arc<str>,
    pub(super) reason: Option<Arc<str>>,
    reported: State,
    is_stale: bool,
    is_claimed: bool,
    /// A report came since the claim, so a ttl applies.
    is_armed: bool,
    pub(super) since: Instant,
    /// The time of the last report or heartbeat.
    heard: Instant,
}

impl Member {
    pub(super) fn state(&self) -> State {
        if self.is_stale {
            State::Stale
        } else {
            self.reported
        }
    }

    fn hear(&mut self, at: Instant) {
        self.heard = at;
        self.is_stale = false;
    }

    fn drop_reporter(&mut self, draining: bool, at: Instant) {
        self.is_claimed = false;
        self.is_armed = false;
        // While the process drains, tasks end in any order.
        if draining {
            return;
        }
        let was_down = matches!(self.reported, State::Failing | State::Dead);
        let reason = match self.reason.as_deref().filter(|_| was_down) {
            Some(last) if last.starts_with(DROPPED) => last.to_owned(),
            Some(last) => format!("{DROPPED}; last report: {last}"),
            None => DROPPED.to_owned(),
        };
        self.reason = Some(text::cut(&reason, text::MAX_BYTES).into());
        if self.reported != State::Dead {
            self.reported = State::Failing;
        }
        self.hear(at);
    }
}

impl Table {
    /// Adds a member, which is claimed and starting.
    pub(super) fn add(&mut self, name: &str, at: Instant) -> Result<usize, MemberError> {
        if self.slots.contains_key(name) {
            return Err(MemberError::Duplicate { name: name.into() });
        }
        if self.slots.len() >= MAX_MEMBERS {
            return Err(MemberError::Full {
                name: name.into(),
                most: MAX_MEMBERS,
            });
        }
        let name: Arc<str> = name.into();
        let member = Member {
            name: Arc::clone(&name),
            reason: None,
            reported: State::Starting,
            is_stale: false,
            is_claimed: true,
            is_armed: false,
            since: at,
            heard: at,
        };
        // The first free slot, so that the last slots become free for good.
        let slot = match self.free.pop_first() {
            Some(slot) => {
                self.members[slot] = Some(member);
                slot
            }
            None => {
                self.members.push(Some(member));
                self.members.len() - 1
            }
        };
        self.slots.insert(name, slot);
        self.enter(slot, State::Starting);
        Ok(slot)
    }

    /// Claims a member whose reporter has been dropped.
    pub(super) fn claim(&mut self, name: &str) -> Result<usize, MemberError> {
        let slot = self.slots.get(name).copied();
        let member = slot.and_then(|slot| Some((slot, self.members[slot].as_mut()?)));
        match member {
            Some((_, member)) if member.is_claimed => Err(MemberError::Held { name: name.into() }),
            Some((slot, member)) => {
                member.is_claimed = true;
                Ok(slot)
            }
            None => Err(MemberError::Unknown {
                name: text::shown_name(name),
            }),
        }
    }

    pub(super) fn report(&mut self, slot: usize, state: State, reason: Option<&str>, at: Instant) {
        self.update(slot, at, |member| {
            member.hear(at);
            member.is_armed = true;
            member.reported = state;
            if member.reason.as_deref() != reason {
                member.reason = reason.map(Arc::from);
            }
        });
    }

    pub(super) fn beat(&mut self, slot: usize, at: Instant) {
        self.update(slot, at, |member| member.hear(at));
    }

    pub(super) fn drop_reporter(&mut self, slot: usize, draining: bool, at: Instant) {
        self.update(slot, at, |member| member.drop_reporter(draining, at));
    }

    pub(super) fn retire(&mut self, slot: usize) {
        let Some(member) = self.members[slot].take() else {
            return;
        };
        self.leave(slot, member.state());
        self.slots.remove(&member.name);
        shrink(&mut self.slots);
        self.free.insert(slot);
        while let Some(None) = self.members.last() {
            self.members.pop();
            self.free.pop_last();
        }
        if self.members.capacity() > 64.max(4 * self.members.len()) {
            self.members.shrink_to(2 * self.members.len());
        }
    }

    /// Makes members stale that were last heard before `limit`, among `most` slots from
    /// `from` on. Returns the next slot, or `None` after the last.
    pub(super) fn find_silent(
        &mut self,
        from: usize,
        most: usize,
        limit: Instant,
        at: Instant,
    ) -> Option<usize> {
        let end = self.members.len().min(from.saturating_add(most));
        for slot in from..end {
            let is_silent = |member: &Member| member.is_armed && member.heard <= limit;
            if self.members[slot].as_ref().is_some_and(is_silent) {
                self.update(slot, at, |member| member.is_stale = true);
            }
        }
        (end < self.members.len()).then_some(end)
    }

    /// Calls `visit` with the first member from slot `from` on that is in `state`, or in
    /// any if that is `None`. Returns the slot at which the search goes on, or `None`
    /// after the last.
    pub(super) fn next_in(
        &self,
        state: Option<State>,
        from: usize,
        visit: impl FnOnce(usize, &Member),
    ) -> Option<usize> {
        let sets = match state {
            Some(state) => &self.in_state[state as usize..=state as usize],
            None => &self.in_state[..],
        };
        match search(sets.iter(), from) {
            Search::Found(slot) => {
                if let Some(member) = &self.members[slot] {
                    visit(slot, member);
                }
                Some(slot + 1)
            }
            Search::Further(slot) => Some(slot),
            Search::End => None,
        }
    }

    pub(super) fn counts(&self) -> &MemberCounts {
        &self.counts
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Whether the counts have changed since the last call.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.is_changed)
    }

    fn update(&mut self, slot: usize, at: Instant, change: impl FnOnce(&mut Member)) {
        let Some(member) = &mut self.members[slot] else {
            return;
        };
        let before = member.state();
        change(member);
        let after = member.state();
        if before != after {
            member.since = at;
            self.leave(slot, before);
            self.enter(slot, after);
        }
    }

    fn enter(&mut self, slot: usize, state: State) {
        self.in_state[state as usize].insert(slot);
        self.counts.add(state);
        self.is_changed = true;
    }

    fn leave(&mut self, slot: usize, state: State) {
        self.in_state[state as usize].remove(slot);
        self.counts.remove(state);
        self.is_changed = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_has_shrunk_gives_its_memory_back() {
        let (mut table, at) = (Table::default(), Instant::now());
        let slots: Vec<_> = (0..10_000)
            .map(|number| table.add(&format!("m-{number}"), at).unwrap())
            .collect();
        let capacity = table.members.capacity();
        let quarter = capacity / 4;
        slots[quarter..].iter().for_each(|slot| table.retire(*slot));
        assert_eq!(table.members.capacity(), capacity, "more may come back");
        table.retire(slots[quarter - 1]);
        let shrunk = table.members.capacity();
        assert!((2 * (quarter - 1)..capacity).contains(&shrunk), "{shrunk}");
        slots[5..quarter - 1]
            .iter()
            .for_each(|slot| table.retire(*slot));
        assert_eq!(table.counts().total(), 5);
        assert_eq!(table.members.len(), 5);
        assert!(table.members.capacity() <= 64);
        assert!(table.free.is_empty());
        table.retire(slots[2]);
        assert_eq!(table.add("new", at), Ok(slots[2]));
    }

    #[test]
    fn silent_members_are_found_some_slots_at_a_time() {
        let (mut table, at) = (Table::default(), Instant::now());
        for number in 0..300 {
            let slot = table.add(&format!("m-{number}"), at).unwrap();
            table.report(slot, State::Ready, None, at);
        }
        let mut find = |from| {
            let next = table.find_silent(from, 100, at, at);
            (next, table.counts().in_state(State::Stale))
        };
        assert_eq!(find(0), (Some(100), 100));
        assert_eq!(find(100), (Some(200), 200));
        assert_eq!(find(200), (None, 300));
    }

    #[test]
    fn a_drop_ends_staleness_whatever_the_last_reason_is() {
        for (reason, after) in [
            (None, "reporter dropped"),
            (Some("down"), "reporter dropped; last report: down"),
            (
                Some("reporter dropped by its peer"),
                "reporter dropped by its peer",
            ),
        ] {
            let (mut table, at) = (Table::default(), Instant::now());
            let slot = table.add("m", at).unwrap();
            table.report(slot, State::Failing, reason, at);
            table.find_silent(slot, 1, at, at);
            assert_eq!(table.counts().in_state(State::Stale), 1, "{reason:?}");
            table.drop_reporter(slot, false, at);
            assert_eq!(table.counts().in_state(State::Failing), 1, "{reason:?}");
            let member = table.members[slot].as_ref().unwrap();
            assert_eq!(member.reason.as_deref(), Some(after));
        }
    }

    #[test]
    fn the_number_of_members_is_bounded() {
        let (mut table, at) = (Table::default(), Instant::now());
        for number in 0..MAX_MEMBERS {
            table.add(&number.to_string(), at).unwrap();
        }
        let full = MemberError::Full {
            name: "more".to_owned(),
            most: MAX_MEMBERS,
        };
        assert_eq!(table.add("more", at), Err(full));
        table.retire(7);
        assert_eq!(table.add("more", at), Ok(7));
    }
}
