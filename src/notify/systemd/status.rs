use crate::state::{
    Age, Aspect, Condition, Data, Explanation, Phase, Role, ScopeId, Short, SubsystemView, text,
    text::OneLine,
};
use std::{
    fmt::{self, Write as _},
    time::{Duration, Instant},
};

/// The longest status, in bytes. systemd ignores messages of more than 4,096
/// bytes, and `systemctl status` shows the status on one line.
pub(super) const LONGEST: usize = 480;

/// The status line that `systemctl status` shows.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct StatusLine {
    pub(super) text: String,
    /// Whether the text shows an age or a count, and so changes without a report.
    pub(super) changes_with_time: bool,
}

/// The status line of a snapshot, for the fuzz targets.
#[cfg(any(fuzzing, all(test, unix, feature = "full")))]
pub(crate) fn status_text(snapshot: &crate::Snapshot) -> String {
    StatusLine::render(&snapshot.0, None, Instant::now()).text
}

impl StatusLine {
    pub(super) fn render(data: &Data, in_flight: Option<usize>, now: Instant) -> Self {
        let mut status = Self::default();
        // Writing to a string cannot fail.
        let _ = status.write(data, in_flight, now);
        // A line break in a reason would begin another assignment.
        let text = OneLine(&status.text).to_string();
        text::cut(&text, LONGEST).clone_into(&mut status.text);
        status
    }

    fn write(&mut self, data: &Data, in_flight: Option<usize>, now: Instant) -> fmt::Result {
        let verdict = data.process.verdict;
        if data.phase >= Phase::Draining {
            self.write_drain(data.phase, in_flight)?;
            if !verdict.is_live() {
                self.text.write_str("; ")?;
                self.write_red(data, Aspect::Liveness, now)?;
            }
            return Ok(());
        }
        if !verdict.is_live() {
            self.write_red(data, Aspect::Liveness, now)?;
        } else if !verdict.has_started() {
            self.write_start(data)?;
        } else {
            match verdict.condition() {
                Condition::Starting | Condition::Failing => {
                    self.write_red(data, Aspect::Readiness, now)?;
                }
                // Only the pause makes it not ready, and it is written below.
                _ if data.pause.is_some() => {}
                Condition::Degraded => self.write_degraded(data)?,
                Condition::Ready => self.text.write_str("ready")?,
            }
        }
        if let Some(reason) = &data.pause {
            self.separate("; ")?;
            self.text.write_str("paused")?;
            if !reason.is_empty() {
                write!(self.text, " ({})", Short(reason))?;
            }
        }
        if data.reloads.under_way > 0 {
            self.separate("; ")?;
            self.text.write_str("reloading")?;
        }
        Ok(())
    }

    /// `draining, 17 in flight`
    fn write_drain(&mut self, phase: Phase, in_flight: Option<usize>) -> fmt::Result {
        write!(self.text, "{phase}")?;
        if let Some(in_flight) = in_flight {
            write!(self.text, ", {in_flight} in flight")?;
            self.changes_with_time = true;
        }
        Ok(())
    }

    /// `starting 2/4: storage (never reported), policy (starting: 40 %)`
    fn write_start(&mut self, data: &Data) -> fmt::Result {
        let awaited =
            |view: &SubsystemView| view.declaration().awaited && view.role() == Role::Required;
        let all = data.members(ScopeId::Process).filter(|view| awaited(view));
        let absent = explain(data, Aspect::Startup);
        let all = all.count();
        let up = all.saturating_sub(absent.causes().len());
        write!(self.text, "starting {up}/{all}: {absent}")
    }

    /// `degraded: cache (connection refused)`
    fn write_degraded(&mut self, data: &Data) -> fmt::Result {
        write!(self.text, "degraded: {}", explain(data, Aspect::Readiness))
    }

    /// `not ready: storage (connection refused), 12s`
    fn write_red(&mut self, data: &Data, aspect: Aspect, now: Instant) -> fmt::Result {
        let explanation = explain(data, aspect);
        write!(self.text, "{}: {explanation}", aspect.word(false))?;
        let causes = explanation.causes().iter();
        if let Some(age) = causes.map(|view| view.age(now)).max() {
            self.changes_with_time = true;
            if age >= Duration::from_secs(1) {
                write!(self.text, ", {}", Age(age))?;
            }
        }
        Ok(())
    }

    fn separate(&mut self, separator: &str) -> fmt::Result {
        if self.text.is_empty() {
            return Ok(());
        }
        self.text.write_str(separator)
    }
}

fn explain(data: &Data, aspect: Aspect) -> Explanation<'_> {
    Explanation::of_scope(data, ScopeId::Process, aspect)
}

#[cfg(test)]
mod tests;
