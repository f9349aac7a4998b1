//! Operations of members of a group.

use crate::operation::Operation;
use std::hint::black_box;
use tower_readiness::{Group, GroupHandle, MemberReporter, Readiness};

/// A process with one group, whose members are ready. The group is degraded while one
/// of them is not.
pub(crate) fn group_of(count: usize) -> (Readiness, Vec<MemberReporter>) {
    let (readiness, group) = empty_group(Group::new("upstream"));
    (readiness, add(&group, count))
}

fn empty_group(group: Group) -> (Readiness, GroupHandle) {
    let builder = Readiness::builder().allow_empty().group(group);
    let readiness = builder.build().expect("a valid group");
    let group = readiness.group("upstream").expect("a declared group");
    (readiness, group)
}

/// Adds members that are ready.
fn add(group: &GroupHandle, count: usize) -> Vec<MemberReporter> {
    let mut members = Vec::with_capacity(count);
    for number in 0..count {
        let name = format!("10.{}.{}:8080", number / 1_000, number % 1_000);
        members.push(group.add(name).expect("a new name"));
    }
    // Not one by one, since each report would turn the group.
    members.iter().for_each(MemberReporter::ready);
    members
}

/// A member reports the same state again.
pub(crate) fn repeated(count: usize) -> Operation {
    let (_, members) = group_of(count);
    Box::new(move || members[count / 2].ready())
}

/// A member changes its state, and the group does not: the counts are published later.
pub(crate) fn changed(count: usize) -> impl FnMut() + 'static {
    alternating(Group::new("upstream").degraded_below(0.5), count)
}

/// A member changes its state, and with it that of the group, which is published at once.
pub(crate) fn turning(count: usize) -> impl FnMut() + 'static {
    alternating(Group::new("upstream"), count)
}

fn alternating(group: Group, count: usize) -> impl FnMut() + 'static {
    let (_, group) = empty_group(group);
    let members = add(&group, count);
    let mut up = true;
    move || {
        up = !up;
        let member = &members[count / 2];
        if up {
            member.ready();
        } else {
            member.failing("connection refused");
        }
    }
}

/// A member joins a group and leaves it.
pub(crate) fn added_and_retired(count: usize) -> impl FnMut() + 'static {
    let (_, group) = empty_group(Group::new("upstream").degraded_below(0.5));
    let members = add(&group, count);
    move || {
        black_box(&members);
        group.add("10.0.0.1:9090").expect("a new name").retire();
    }
}

/// The bytes that a member of a group with so many takes, with its name of some 15 bytes, a
/// short reason and its reporter.
pub(crate) fn bytes_of_one(count: usize) -> i64 {
    let (_readiness, group) = empty_group(Group::new("upstream").degraded_below(0.5));
    let mut members = Vec::new();
    let taken = allocation_counter::measure(|| {
        members = add(&group, count);
        members.iter().for_each(|member| member.failing("refused"));
    });
    taken.bytes_current / i64::try_from(count).expect("a small number")
}
