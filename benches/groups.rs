//! The cost of a report for a member of a group, and of a member that comes and goes.
//!
//! `cargo bench --bench groups`. The state of the group stays the same, so its counts are
//! published 20 times a second at most. The members take turns, so that few of them are in
//! the caches of the processor.

use divan::{AllocProfiler, Bencher};
use tower_readiness::{Group, GroupHandle, MemberReporter, Readiness};

#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

const MEMBERS: [usize; 3] = [100, 5_000, 100_000];

/// The distance between two members in turn, a prime number.
const STRIDE: usize = 7_919;

fn main() {
    divan::main();
}

fn members(count: usize) -> (GroupHandle, Vec<MemberReporter>) {
    let group = Group::new("upstream").degraded_below(0.0);
    let builder = Readiness::builder().allow_empty().group(group);
    let readiness = builder.build().unwrap();
    let group = readiness.group("upstream").unwrap();
    let add = |number| group.add(format!("upstream-{number}")).unwrap();
    let members: Vec<_> = (0..count).map(add).collect();
    members.iter().for_each(MemberReporter::ready);
    (group, members)
}

/// Each report changes the state of its member.
#[divan::bench(args = MEMBERS, sample_size = 1_000, sample_count = 200)]
fn change(bencher: Bencher<'_, '_>, count: usize) {
    let (_group, members) = members(count);
    let mut index = 0;
    let mut up = true;
    bencher.bench_local(|| {
        index += STRIDE;
        if index >= count {
            index %= count;
            up = !up;
        }
        if up {
            members[index].ready();
        } else {
            members[index].degraded("");
        }
    });
}

/// Each report says the same again.
#[divan::bench(args = MEMBERS, sample_size = 1_000, sample_count = 200)]
fn repeat(bencher: Bencher<'_, '_>, count: usize) {
    let (_group, members) = members(count);
    let mut index = 0;
    bencher.bench_local(|| {
        index = (index + STRIDE) % count;
        members[index].ready();
    });
}

/// One more member is added and retired.
#[divan::bench(args = MEMBERS, sample_size = 1_000, sample_count = 200)]
fn add_and_retire(bencher: Bencher<'_, '_>, count: usize) {
    let (group, _members) = members(count);
    bencher.bench_local(|| group.add("upstream-new").unwrap().retire());
}
