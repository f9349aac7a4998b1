use super::{members::Members, publication::CHUNK};
use crate::state::State;
use std::{sync::Arc, time::Instant};

/// Selects members of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PageRequest {
    /// Members in another state are left out.
    pub(crate) state: Option<State>,
    /// The slot at which the page begins.
    pub(crate) from: usize,
    /// The largest number of members.
    pub(crate) limit: usize,
}

/// Some members of a group, in the order of their slots.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) members: Vec<MemberView>,
    /// Where the next page begins. `None` after the last.
    pub(crate) next: Option<usize>,
}

#[derive(Debug)]
pub(crate) struct MemberView {
    pub(crate) slot: usize,
    pub(crate) name: Arc<str>,
    pub(crate) state: State,
    pub(crate) reason: Option<Arc<str>>,
    pub(crate) since: Instant,
}

impl Members {
    /// Returns a page of the members. They are read a few at a time, so a member that
    /// changes meanwhile is shown in its former or its new state, and one that does not
    /// change is shown once.
    pub(crate) fn page(&self, request: PageRequest) -> Page {
        let mut page = Page::default();
        let mut next = Some(request.from);
        // One more than the page holds, with which the next page begins.
        while let Some(from) = next.filter(|_| page.members.len() <= request.limit) {
            next = self.read_chunk(request, from, &mut page.members);
        }
        if page.members.len() > request.limit {
            page.next = page.members.pop().map(|member| member.slot);
        }
        page
    }

    /// Reads at most [`CHUNK`] members under the lock.
    fn read_chunk(
        &self,
        request: PageRequest,
        from: usize,
        members: &mut Vec<MemberView>,
    ) -> Option<usize> {
        let inner = self.inner.lock();
        let mut next = Some(from);
        for _ in 0..CHUNK.min(request.limit + 1 - members.len()) {
            let before = members.len();
            next = inner.table.next_in(request.state, next?, |slot, member| {
                members.push(MemberView {
                    slot,
                    name: Arc::clone(&member.name),
                    state: member.state(),
                    reason: member.reason.clone(),
                    since: member.since,
                });
            });
            if members.len() == before {
                // A long search goes on after the lock was free.
                break;
            }
        }
        next
    }
}

#[cfg(all(test, not(tower_readiness_loom)))]
mod tests {
    use super::*;
    use crate::{Group, GroupHandle, MemberReporter, Readiness};
    use std::{
        collections::HashMap,
        sync::atomic::{AtomicBool, Ordering},
        thread,
    };

    const ALL: PageRequest = PageRequest {
        state: None,
        from: 0,
        limit: 200,
    };

    fn members(count: usize) -> (Readiness, GroupHandle, Vec<MemberReporter>) {
        let group = Group::new("upstream").degraded_below(0.0);
        let builder = Readiness::builder().allow_empty().group(group);
        let readiness = builder.build().unwrap();
        let group = readiness.group("upstream").unwrap();
        let add = |number| group.add(format!("m-{number}")).unwrap();
        let members: Vec<_> = (0..count).map(add).collect();
        members.iter().for_each(MemberReporter::ready);
        (readiness, group, members)
    }

    fn group(readiness: &Readiness) -> &Members {
        readiness.registry().groups().get("upstream").unwrap()
    }

    /// The names on all pages of `request`, and the number of the pages.
    fn names(group: &Members, mut request: PageRequest) -> (Vec<Arc<str>>, usize) {
        let (mut names, mut pages) = (Vec::new(), 0);
        loop {
            let page = group.page(request);
            assert!(page.members.len() <= request.limit);
            names.extend(page.members.into_iter().map(|member| member.name));
            pages += 1;
            match page.next {
                Some(next) => request.from = next,
                None => return (names, pages),
            }
        }
    }

    #[test]
    fn the_pages_have_each_member_of_a_state_once() {
        let (readiness, _, mut members) = members(1_000);
        let group = group(&readiness);
        members[10..20]
            .iter()
            .for_each(|member| member.failing("x"));
        let expected = (0..1_000).map(|number| format!("m-{number}").into());
        assert_eq!(names(group, ALL), (expected.collect(), 5));
        let failing = PageRequest {
            state: Some(State::Failing),
            limit: 4,
            ..ALL
        };
        let (found, pages) = names(group, failing);
        let expected: Vec<_> = (10..20)
            .map(|number| format!("m-{number}").into())
            .collect();
        assert_eq!((found, pages), (expected, 3));
        let longer_than_a_chunk = PageRequest {
            limit: CHUNK + 10,
            ..ALL
        };
        assert_eq!(names(group, longer_than_a_chunk).1, 4);
        // A full page that is the last has no next one.
        let ten = PageRequest {
            limit: 10,
            ..failing
        };
        assert_eq!(names(group, ten).1, 1);
        members.drain(15..).for_each(MemberReporter::retire);
        assert_eq!(names(group, failing).0.len(), 5);
        let beyond = PageRequest {
            from: usize::MAX,
            ..ALL
        };
        assert!(group.page(beyond).members.is_empty());
    }

    /// A report waits until the lock is free, so a reader may do only so much under it.
    #[test]
    fn a_reader_frees_the_lock_after_a_chunk() {
        let (readiness, _, members) = members(2 * CHUNK);
        let group = group(&readiness);
        let everything = PageRequest {
            limit: usize::MAX - 1,
            ..ALL
        };
        let mut read = Vec::new();
        let next = group.read_chunk(everything, 0, &mut read);
        assert_eq!((next, read.len()), (Some(CHUNK), CHUNK));
        drop(members);
    }

    #[test]
    fn readers_page_through_100_000_members_that_report() {
        const MEMBERS: usize = 100_000;
        let (readiness, _, members) = members(MEMBERS);
        let group = group(&readiness);
        let ends = AtomicBool::new(false);
        thread::scope(|scope| {
            for offset in [0, 2] {
                let (members, ends) = (&members, &ends);
                // Each fourth member changes all the time, by one thread.
                scope.spawn(move || {
                    let mut changing = members.iter().skip(offset).step_by(4).cycle();
                    while !ends.load(Ordering::Relaxed) {
                        if let Some(member) = changing.next() {
                            member.failing("x");
                            member.ready();
                        }
                    }
                });
            }
            let request = PageRequest {
                state: Some(State::Ready),
                ..ALL
            };
            for _ in 0..3 {
                let (found, _) = names(group, request);
                let mut times: HashMap<_, usize> = HashMap::new();
                found
                    .iter()
                    .for_each(|name| *times.entry(&**name).or_default() += 1);
                assert!(times.values().all(|times| *times == 1));
                for number in (1..MEMBERS).step_by(2) {
                    assert!(times.contains_key(&*format!("m-{number}")), "{number}");
                }
            }
            ends.store(true, Ordering::Relaxed);
        });
        let inner = group.inner.lock();
        assert_eq!(inner.table.counts().ready(), MEMBERS);
    }
}
