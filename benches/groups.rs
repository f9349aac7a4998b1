//! The cost of a report for a member of a group.
//!
//! `cargo bench --bench groups`. Each report changes the state of its member; the state of
//! the group stays the same, so its counts are published 20 times a second at most. The
//! members take turns, so that few of them are in the caches of the processor.

use divan::{AllocProfiler, Bencher};
use tower_readiness::{Group, MemberReporter, Readiness};

#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

#[divan::bench(args = [100, 100_000], sample_size = 1_000, sample_count = 200)]
fn report(bencher: Bencher<'_, '_>, count: usize) {
    let group = Group::new("upstream").degraded_below(0.0);
    let builder = Readiness::builder().allow_empty().group(group);
    let readiness = builder.build().unwrap();
    let group = readiness.group("upstream").unwrap();
    let add = |number| group.add(format!("upstream-{number}")).unwrap();
    let members: Vec<_> = (0..count).map(add).collect();
    members.iter().for_each(MemberReporter::ready);
    let mut index = 0;
    let mut up = true;
    bencher.bench_local(|| {
        index += 7_919;
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
