use super::{
    status::ProcessStatus,
    stream::{StreamEvent, StreamUpdate},
    transition::transition,
    view::{View, print},
};
use crate::{state::text::OneLine, wire::time_of_day};
use std::{io, mem, time::Instant};

/// Prints one line for each change.
#[derive(Default)]
pub(super) struct Lines {
    summary: String,
    is_lost: bool,
}

impl View for Lines {
    fn announce(&mut self, update: &StreamUpdate) -> io::Result<()> {
        let StreamUpdate::Event { event, .. } = update else {
            return Ok(());
        };
        if let StreamEvent::Change(answer) = event {
            for it in &answer.history {
                print(&(transition(it) + "\n"))?;
            }
        }
        Ok(())
    }

    fn show(&mut self, status: &ProcessStatus) -> io::Result<()> {
        let now = Instant::now();
        let at = status.time_of_news().map(time_of_day).unwrap_or_default();
        if status.is_old(now) {
            return self.lost(&at, status);
        }
        let summary = OneLine(status.summary()).to_string();
        if status.is_known() && (self.is_lost || summary != self.summary) {
            print(&format!("{at} {summary}\n"))?;
            self.summary = summary;
        }
        self.is_lost = false;
        Ok(())
    }
}

impl Lines {
    fn lost(&mut self, at: &str, status: &ProcessStatus) -> io::Result<()> {
        // Before the first connection there is neither news nor a reason.
        let is_waiting = !status.is_known() && status.lost.is_none();
        if is_waiting || mem::replace(&mut self.is_lost, true) {
            return Ok(());
        }
        let why = status.lost.as_deref().unwrap_or("the process is silent");
        print(&match at {
            "" => format!("no news yet: {why}\n"),
            at => format!("no news since {at} UTC: {why}\n"),
        })
    }
}
