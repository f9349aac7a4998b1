//! Tasks that wait for each change.

use super::Process;
use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{task::JoinHandle, time::sleep};

const SUBSCRIBERS: usize = 20;

/// Fails a wake-up that should have come.
const SOON: Duration = Duration::from_secs(20);

/// Subscribers that have to see the last version.
pub(crate) struct Subscribers(Vec<(Arc<AtomicU64>, JoinHandle<()>)>);

impl Subscribers {
    /// Starts the tasks. If `one_sleeps`, a fault, one of them stops.
    pub(crate) fn start(process: &Arc<Process>, one_sleeps: bool) -> Self {
        let start = |number| {
            let seen = Arc::new(AtomicU64::new(0));
            let (last, mut subscription) = (Arc::clone(&seen), process.readiness.subscribe());
            let task = tokio::spawn(async move {
                while let Ok(snapshot) = subscription.changed().await {
                    last.store(snapshot.version(), Ordering::Relaxed);
                    if one_sleeps && number == 0 {
                        pending::<()>().await;
                    }
                }
            });
            (seen, task)
        };
        Self((0..SUBSCRIBERS).map(start).collect())
    }

    /// Waits until each has seen the last version, and ends them.
    pub(crate) async fn end(self, process: &Process) {
        let late = || {
            let version = process.readiness.snapshot().version();
            let seen = self.0.iter().map(|(seen, _)| seen.load(Ordering::Relaxed));
            seen.filter(|&seen| seen < version).count()
        };
        let most = tokio::time::Instant::now() + SOON;
        while late() > 0 && tokio::time::Instant::now() < most {
            sleep(Duration::from_millis(10)).await;
        }
        if late() > 0 {
            let finding = format!("{} subscribers have not seen the last version", late());
            process.findings.add(&finding);
        }
        for (_, task) in self.0 {
            task.abort();
            // The error tells that it was aborted.
            let _ = task.await;
        }
    }
}
