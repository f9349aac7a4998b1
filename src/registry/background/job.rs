use super::run::{Run, Running, Spawned};
use crate::panics::contained;
use std::sync::Arc;

/// Returns the future of a job, or `None` if the job has nothing left to do. The
/// future does not keep the registry open, and is dropped when the registry closes.
pub(crate) type Start = Arc<dyn Fn() -> Option<Running> + Send + Sync>;

/// Publishes why a job has stopped running.
pub(crate) type Lost = Arc<dyn Fn(&'static str) + Send + Sync>;

/// A job of a registry.
pub(crate) struct Job {
    pub(super) start: Start,
    /// Present if the job is a check.
    pub(super) lost: Option<Lost>,
    /// The last run.
    pub(super) run: Option<Arc<Run>>,
    pub(super) task: Option<Spawned>,
}

impl Job {
    /// Ends the job, and drops the future of its run unless that is in a poll. Destructors of
    /// the application may run, and may panic.
    pub(crate) fn end(self) {
        contained(move || {
            if let (Some(task), Some(run)) = (&self.task, &self.run) {
                task.end(run);
            }
            drop(self);
        });
    }

    /// Begins a run, unless the last one goes on.
    pub(super) fn begin(&mut self, is_stand_in: bool, can_move: bool) -> Option<Begun> {
        let stays = |run: &Arc<Run>| {
            if run.has_ended() {
                run.cools_down()
            } else {
                !can_move || !run.replace()
            }
        };
        if self.run.as_ref().is_some_and(stays) {
            return None;
        }
        let run = Run::begin(is_stand_in);
        let before = self.run.replace(Arc::clone(&run));
        Some(Begun {
            start: Arc::clone(&self.start),
            run,
            before: self.task.take(),
            replaced: before.and_then(|run| run.take()),
        })
    }

    pub(super) fn waits(&self) -> bool {
        let waits = |run: &Arc<Run>| run.has_ended() || run.is_suspect();
        self.run.as_ref().is_none_or(waits)
    }

    pub(super) fn is_stand_in(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.is_stand_in)
    }
}

/// A run that is not spawned yet, and the task that it replaces.
pub(super) struct Begun {
    pub(super) start: Start,
    pub(super) run: Arc<Run>,
    pub(super) before: Option<Spawned>,
    pub(super) replaced: Option<Running>,
}
