use std::sync::atomic::{AtomicU64, Ordering};
use tower_readiness::{Condition, Phase, Role, Snapshot, SubsystemView};

/// The newest report whose setter has returned.
#[derive(Default)]
pub(crate) struct Newest {
    version: AtomicU64,
    report: AtomicU64,
}

/// What a read that begins now has to see, or something newer.
pub(crate) struct Least {
    version: u64,
    report: u64,
}

impl Newest {
    /// Records the report of this number, after its setter has returned.
    pub(crate) fn reported(&self, snapshot: &Snapshot, number: u64) {
        self.version
            .fetch_max(snapshot.version(), Ordering::Release);
        self.report.store(number, Ordering::Release);
    }

    pub(crate) fn get(&self) -> Least {
        Least {
            report: self.report.load(Ordering::Acquire),
            version: self.version.load(Ordering::Acquire),
        }
    }
}

impl Least {
    /// Asserts that the snapshot is not older, and that its verdicts follow from its
    /// subsystems.
    pub(crate) fn check(&self, snapshot: &Snapshot) {
        assert!(snapshot.version() >= self.version);
        let view = |name| snapshot.subsystem(name).unwrap();
        // The number ends the reason of a dropped reporter, too.
        let number = |reason: &str| reason.rsplit(' ').next()?.parse().ok();
        if let Some(number) = view("storage").reason().and_then(number) {
            assert!(self.report <= number);
        }

        let is_down = |view: &SubsystemView| view.role() == Role::Required && !view.state().is_up();
        let is_failing = snapshot.subsystems().any(is_down);
        let verdict = snapshot.verdict();
        assert!(verdict.has_started());
        assert_eq!(
            verdict.condition() == Condition::Failing,
            is_failing,
            "{snapshot:?}"
        );
        let is_open = snapshot.paused().is_none() && snapshot.phase() < Phase::Draining;
        assert_eq!(verdict.is_ready(), !is_failing && is_open, "{snapshot:?}");
        let search = snapshot.scope("search").unwrap().condition();
        let is_up = view("index").state().is_up();
        assert_eq!(search == Condition::Failing, !is_up, "{snapshot:?}");

        let members = view("upstream").members().unwrap();
        assert!(members.ready() <= members.total());
    }
}
