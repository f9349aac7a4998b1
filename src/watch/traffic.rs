use super::{
    drift_judge::{Change, DriftJudge, TrafficWatch},
    error::WatchError,
};
use crate::{
    registry::{Readiness, Registry, Start, Subsystem, SubsystemHandle, TaskId},
    state::State,
    traffic::OutcomeWindow,
};
use std::sync::Arc;
use tokio::time::{Instant, sleep};

const NAME: &str = "traffic";

impl Readiness {
    /// Adds an [optional](Subsystem::optional) subsystem `traffic`, which is
    /// degraded while too many requests fail that were admitted while the
    /// process was ready. Degraded is its worst state, so that a common failure
    /// cannot make all replicas leave at once.
    ///
    /// It counts the requests of layers of the process as a whole that [observe
    /// outcomes](crate::ReadinessLayer::observe_outcomes); without such
    /// requests, it is ready. It is updated every 5 seconds, on the first tokio
    /// runtime on which the crate is called.
    ///
    /// # Errors
    ///
    /// If a setting of `watch` is out of its bounds, or if traffic is watched already.
    ///
    /// # Panics
    ///
    /// The task of the watch panics on a runtime whose timers are not enabled.
    pub fn watch_traffic(&self, watch: TrafficWatch) -> Result<(), WatchError> {
        watch.check()?;
        let subsystem = Subsystem::new(NAME).optional();
        let added = self.add_named(&subsystem);
        let handle = added.map_err(|source| WatchError::AlreadyRunning { what: NAME, source })?;
        handle.report(State::Ready, "");
        let registry = Arc::downgrade(self.registry());
        let start: Start = Arc::new(move || {
            let judge = DriftJudge::new(watch.clone());
            Some(Box::pin(judge_on(
                registry.upgrade()?,
                handle.clone(),
                judge,
            )))
        });
        self.registry()
            .background()
            .add(TaskId::Watch(NAME), || start);
        self.registry().background().start();
        Ok(())
    }
}

async fn judge_on(registry: Arc<Registry>, handle: SubsystemHandle, mut judge: DriftJudge) {
    // A task that starts again, on another runtime, starts as ready.
    handle.report(State::Ready, "");
    loop {
        sleep(OutcomeWindow::EVERY).await;
        match judge.update(&registry.traffic().outcomes, Instant::now()) {
            Some((Change::Degraded, drift)) => {
                let (failed, admitted) = (drift.failed(), drift.admitted());
                let window = drift.window();
                let reason = format!("{failed} of {admitted} requests failed in {window:.0?}");
                handle.report(State::Degraded, &reason);
            }
            Some((Change::Ready, _)) => handle.report(State::Ready, ""),
            None => {}
        }
    }
}
