//! The log of a registry without the feature `tracing`: no lines.

pub(crate) use self::Off as LogState;
pub(super) use self::{Off as DueLines, Off as Log, Off as Logged, Off as ScheduledLines};
use crate::{
    state::{Published, Snapshot},
    traffic::Traffic,
};
use std::time::Instant;

#[derive(Debug, Default)]
pub(crate) struct Off {}

impl Off {
    pub(super) fn of_this_thread() -> Log {
        Self {}
    }

    pub(super) fn queue(
        self,
        _: &Published,
        _: &Traffic,
        _: &mut LogState,
        _: &ScheduledLines,
    ) -> Logged {
        Self {}
    }

    pub(super) fn wait(&self) {}

    pub(super) fn finish(self, _: &Published) -> Option<Instant> {
        None
    }

    pub(super) fn new(_: Instant) -> ScheduledLines {
        Self {}
    }

    pub(super) fn collect(
        &mut self,
        _: &ScheduledLines,
        _: &Traffic,
        _: impl Fn() -> Snapshot,
        _: Instant,
    ) -> Option<Instant> {
        None
    }

    pub(super) fn log(self, _: impl Fn() -> Snapshot) {}
}
