use super::{
    status::Status,
    stream::{Event, Update},
    transition::transition,
    view::{View, print},
};
use crate::{state::text::OneLine, wire::time_of_day};
use std::{fmt::Write, io, time::Instant};

/// Prints one line for each change.
#[derive(Default)]
pub(super) struct Lines {
    summary: String,
    is_lost: bool,
}

impl View for Lines {
    fn update(&mut self, update: &Update, status: &Status) -> io::Result<()> {
        let at = || {
            status
                .time_of_news(Instant::now())
                .map(time_of_day)
                .unwrap_or_default()
        };
        if let Update::Lost(_) = update {
            self.lost(&at(), status)?;
        }
        let Update::Event { event, .. } = update else {
            return Ok(());
        };
        let mut text = String::new();
        if let Event::Change(answer) = event {
            for it in &answer.history {
                text += &transition(it);
                text.push('\n');
            }
        }
        let answer = &status.answer;
        let summary = OneLine(answer.summary.as_ref().unwrap_or(&answer.status)).to_string();
        if (self.is_lost || summary != self.summary) && !summary.is_empty() {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{} {summary}", at());
            self.summary = summary;
        }
        self.is_lost = false;
        print(&text)
    }

    fn time(&mut self, status: &Status) -> io::Result<()> {
        let now = Instant::now();
        if status.is_known() && status.is_old(now) {
            let at = status
                .time_of_news(now)
                .map(time_of_day)
                .unwrap_or_default();
            self.lost(&at, status)?;
        }
        Ok(())
    }
}

impl Lines {
    fn lost(&mut self, at: &str, status: &Status) -> io::Result<()> {
        if std::mem::replace(&mut self.is_lost, true) {
            return Ok(());
        }
        let why = status.lost.as_deref().unwrap_or("the process is silent");
        print(&match at {
            "" => format!("no news yet: {why}\n"),
            at => format!("no news since {at} UTC: {why}\n"),
        })
    }
}
