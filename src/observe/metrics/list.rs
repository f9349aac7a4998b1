use super::{
    family::{Family, Samples, Source},
    process, subsystems, traffic,
};
use crate::registry::{Readiness, Registry};
use tokio::time::Instant;

impl Readiness {
    /// Returns all metrics, read now from the newest snapshot and from counters; see
    /// [`observe::metrics`](crate::observe::metrics).
    ///
    /// The families, their order and their labels are always the same.
    pub fn families(&self) -> Vec<Family> {
        families(self.registry())
    }
}

pub(super) fn families(registry: &Registry) -> Vec<Family> {
    registry.publish_overdue();
    let snapshot = registry.load();
    let source = Source {
        registry,
        data: &snapshot.0,
        now: Instant::now(),
    };
    let all = [process::FAMILIES, subsystems::FAMILIES, traffic::FAMILIES];
    let all = all.into_iter().flatten().map(|descriptor| {
        let mut samples = Samples {
            keys: descriptor.labels,
            all: Vec::new(),
        };
        (descriptor.read)(&source, &mut samples);
        Family {
            descriptor,
            samples: samples.all,
        }
    });
    all.collect()
}

#[cfg(all(test, not(tower_readiness_loom)))]
mod tests {
    use super::*;
    use crate::registry::Subsystem;

    #[test]
    fn a_scrape_reads_while_a_report_has_the_lock_of_the_writers() {
        let subsystem = Subsystem::new("storage").ttl(std::time::Duration::from_secs(60));
        let readiness = Readiness::builder().subsystem(subsystem).build().unwrap();
        let storage = readiness.reporter("storage").unwrap();
        storage.ready();
        // A scrape that takes the lock would never return.
        let read = readiness.registry().update(|_, _| readiness.families());
        assert!(!read.is_empty());
    }
}
