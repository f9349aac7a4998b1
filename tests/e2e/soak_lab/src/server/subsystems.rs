//! The subsystems of the server, and switches for its checks and heartbeats.

use crate::Error;
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    thread,
    time::Duration,
};
use tokio::time::sleep;
use tower_readiness::{
    Group, Readiness, Reporter, Subsystem,
    check::{Check, Outcome},
};

/// The subsystems that threads report at random.
pub(crate) const REPORTED: [&str; 2] = ["storage", "index"];

/// How a check answers.
pub(crate) const READY: u8 = 0;
pub(crate) const FAILING: u8 = 1;
pub(crate) const HANGING: u8 = 2;

/// How many transitions the history keeps.
pub(crate) const HISTORY: usize = 1024;

/// How many members of a group stay: as many as a proxy has upstreams, so that the heap is
/// that of a service, and 2 % of it more than a few caches.
const PARTITIONS: usize = 5_000;

const CHECK_EVERY: Duration = Duration::from_millis(20);

/// Longer than a check may take.
const HANG: Duration = Duration::from_millis(60);

#[derive(Default)]
pub(crate) struct Switches {
    /// How the check of `database` answers, and that of `disk`.
    pub(crate) checks: [AtomicU8; 2],
    /// Whether `beats` has no heartbeat.
    pub(crate) is_silent: AtomicBool,
}

impl Switches {
    fn outcome(&self, check: usize) -> Outcome {
        match self.checks[check].load(Ordering::Relaxed) {
            FAILING => Outcome::failing("no answer"),
            _ => Outcome::ready(),
        }
    }

    fn hangs(&self, check: usize) -> bool {
        self.checks[check].load(Ordering::Relaxed) == HANGING
    }
}

type Built = (Readiness, HashMap<&'static str, Reporter>, Arc<Switches>);

/// Builds the registry. All subsystems are ready, or will be soon.
pub(crate) fn build() -> Result<Built, Error> {
    let switches = Arc::new(Switches::default());
    let check = || Check::every(CHECK_EVERY).timeout(CHECK_EVERY).failures(2);
    let (database, disk) = (Arc::clone(&switches), Arc::clone(&switches));
    let ask_database = move || {
        let switches = Arc::clone(&database);
        async move {
            if switches.hangs(0) {
                sleep(HANG).await;
            }
            switches.outcome(0)
        }
    };
    let ask_disk = Check::blocking(move || {
        if disk.hangs(1) {
            thread::sleep(HANG);
        }
        disk.outcome(1)
    });
    let upstream = Group::new("upstream")
        .degraded_below(0.9)
        .failing_below(0.1);
    let readiness = Readiness::builder()
        .subsystem(Subsystem::new("storage"))
        .subsystem(Subsystem::new("index"))
        .subsystem(Subsystem::new("steady").ttl(Duration::from_secs(2)))
        .subsystem(
            Subsystem::new("beats")
                .optional()
                .ttl(Duration::from_millis(300)),
        )
        .subsystem(
            Subsystem::new("database")
                .shared()
                .check(check(), ask_database),
        )
        .subsystem(Subsystem::new("disk").check(check(), ask_disk))
        .scope("search", ["index"])
        .group(upstream)
        .group(Group::new("partition"))
        .history(HISTORY)
        .build()?;
    let mut reporters = HashMap::new();
    for name in REPORTED {
        let reporter = readiness.reporter(name)?;
        reporter.ready();
        reporters.insert(name, reporter);
    }
    beat(&readiness, &switches)?;
    Ok((readiness, reporters, switches))
}

/// Sends the heartbeats, and holds the members that never change, until the process ends.
fn beat(readiness: &Readiness, switches: &Arc<Switches>) -> Result<(), Error> {
    let (steady, beats) = (readiness.reporter("steady")?, readiness.reporter("beats")?);
    steady.ready();
    beats.ready();
    let partition = readiness.group("partition")?;
    let members: Vec<_> = (0..PARTITIONS)
        .map(|number| partition.add(format!("partition-{number}")))
        .collect::<Result<_, _>>()?;
    for member in &members {
        member.ready();
    }
    let switches = Arc::clone(switches);
    thread::spawn(move || {
        let _members = members;
        loop {
            steady.heartbeat();
            if !switches.is_silent.load(Ordering::Relaxed) {
                beats.heartbeat();
            }
            thread::sleep(Duration::from_millis(50));
        }
    });
    Ok(())
}
