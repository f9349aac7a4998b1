use crate::state::{Condition, Data, Phase, Role, SubsystemView, text, text::OneLine};
use std::{
    fmt::{self, Write as _},
    time::{Duration, Instant},
};

/// How many subsystems it names.
const NAMED: usize = 8;

/// How many bytes it keeps of a reason, so that there is room for the next.
const REASON: usize = 120;

/// How many bytes it has at most. systemd ignores a message of more than 4,096,
/// and `systemctl status` shows it on one line.
pub(super) const LONGEST: usize = 480;

/// What `systemctl status` shows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) text: String,
    /// It is another one later, although nothing is reported.
    pub(super) ages: bool,
}

impl Status {
    pub(super) fn of(data: &Data, in_flight: Option<usize>, now: Instant) -> Self {
        let mut line = Line::default();
        // Writing to a string cannot fail.
        let _ = line.write(data, in_flight, now);
        let Line { text, ages } = line;
        // One line, whoever wrote it: the next would be another assignment.
        let text = OneLine(&text).to_string();
        Self {
            text: text::cut(&text, LONGEST).to_owned(),
            ages,
        }
    }
}

#[derive(Default)]
struct Line {
    text: String,
    ages: bool,
}

impl Line {
    fn write(&mut self, data: &Data, in_flight: Option<usize>, now: Instant) -> fmt::Result {
        let verdict = data.process.verdict;
        if data.phase >= Phase::Draining {
            self.write_end(data.phase, in_flight)?;
            if !verdict.is_live() {
                self.text.write_str("; ")?;
                self.write_blamed("not live", data, now)?;
            }
            return Ok(());
        }
        if !verdict.is_live() {
            self.write_blamed("not live", data, now)?;
        } else if !verdict.has_started() {
            self.write_start(data)?;
        } else {
            match verdict.condition() {
                Condition::Starting | Condition::Failing => {
                    self.write_blamed("not ready", data, now)?;
                }
                // The pause is why it is not.
                _ if data.pause.is_some() => {}
                Condition::Degraded => self.write_degraded(data)?,
                Condition::Ready => self.text.write_str("ready")?,
            }
        }
        if let Some(reason) = &data.pause {
            self.separate("; ")?;
            self.text.write_str("paused")?;
            self.write_reason(reason)?;
        }
        if data.reloads.under_way > 0 {
            self.separate("; ")?;
            self.text.write_str("reloading")?;
        }
        Ok(())
    }

    /// `draining, 17 in flight`
    fn write_end(&mut self, phase: Phase, in_flight: Option<usize>) -> fmt::Result {
        write!(self.text, "{phase}")?;
        if let Some(in_flight) = in_flight {
            write!(self.text, ", {in_flight} in flight")?;
            self.ages = true;
        }
        Ok(())
    }

    /// `starting 2/4: storage, authorize`
    fn write_start(&mut self, data: &Data) -> fmt::Result {
        let awaited =
            |view: &SubsystemView| view.declaration().at_build && view.role() == Role::Required;
        let all = views(data).filter(|view| awaited(view)).count();
        let absent = || views(data).filter(|view| view.effect_on_process().absent > 0);
        let up = all.saturating_sub(absent().count());
        write!(self.text, "starting {up}/{all}")?;
        self.write_list(absent(), SubsystemView::reason)
    }

    /// `degraded: cache (connection refused)`
    fn write_degraded(&mut self, data: &Data) -> fmt::Result {
        self.text.write_str("degraded")?;
        self.write_list(
            views(data).filter(|view| view.effect_on_process().degraded > 0),
            |view| Some(why(view)),
        )
    }

    /// `not ready: storage (connection refused), 12 s`
    fn write_blamed(&mut self, words: &str, data: &Data, now: Instant) -> fmt::Result {
        let live = data.process.verdict.is_live();
        let blamed = || {
            views(data).filter(|view| {
                let effect = view.effect_on_process();
                if live {
                    effect.awaited + effect.failing > 0
                } else {
                    effect.vital_dead > 0
                }
            })
        };
        self.text.write_str(words)?;
        self.write_list(blamed(), |view| Some(why(view)))?;
        if let Some(age) = blamed().map(|view| view.age(now)).max() {
            self.ages = true;
            if age >= Duration::from_secs(1) {
                write!(self.text, ", {}", Age(age))?;
            }
        }
        Ok(())
    }

    fn write_list<'a>(
        &mut self,
        views: impl Iterator<Item = &'a SubsystemView>,
        why: impl Fn(&'a SubsystemView) -> Option<&'a str>,
    ) -> fmt::Result {
        let mut unnamed = 0_usize;
        for (index, view) in views.enumerate() {
            if index >= NAMED {
                unnamed += 1;
                continue;
            }
            self.text.write_str(if index == 0 { ": " } else { ", " })?;
            self.text.write_str(view.name())?;
            if let Some(reason) = why(view) {
                self.write_reason(reason)?;
            }
        }
        if unnamed > 0 {
            write!(self.text, ", {unnamed} more")?;
        }
        Ok(())
    }

    fn write_reason(&mut self, reason: &str) -> fmt::Result {
        let kept = text::cut(reason, REASON);
        let more = if kept.len() < reason.len() { "…" } else { "" };
        if kept.is_empty() {
            return Ok(());
        }
        write!(self.text, " ({kept}{more})")
    }

    fn separate(&mut self, separator: &str) -> fmt::Result {
        if self.text.is_empty() {
            return Ok(());
        }
        self.text.write_str(separator)
    }
}

fn views(data: &Data) -> impl Iterator<Item = &SubsystemView> {
    data.views.iter().map(|view| &**view)
}

/// Its reason, or at least its state.
fn why(view: &SubsystemView) -> &str {
    view.reason().unwrap_or(view.state().as_str())
}

/// Shows a duration in its largest whole unit.
struct Age(Duration);

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match seconds {
            0..60 => write!(f, "{seconds} s"),
            60..3_600 => write!(f, "{} min", seconds / 60),
            3_600..86_400 => write!(f, "{} h", seconds / 3_600),
            _ => write!(f, "{} d", seconds / 86_400),
        }
    }
}

#[cfg(test)]
mod tests;
