use crate::state::{
    Aspect, Condition, Data, Explanation, Lasted, Moment, Phase, ScopeId, text, text::OneLine,
};
use std::{
    fmt::{self, Write as _},
    time::{Duration, Instant, SystemTime},
};

/// The most bytes of a message that the kubelet accepts from one container.
const MAX_BYTES: usize = 4_096;

/// Writes the line of each snapshot, and remembers since when its subject lasts.
#[derive(Debug)]
pub(super) struct Message {
    subject: Subject,
    since: Moment,
    ready_since: Option<Instant>,
    /// How long the process was ready, the last time that it was.
    was_ready: Option<Duration>,
}

/// The subject of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    Starting,
    Ready,
    Red(Aspect),
    Paused,
    Phase(Phase),
}

impl Subject {
    fn of(data: &Data) -> Self {
        let verdict = data.process.verdict;
        if data.phase >= Phase::Draining {
            Self::Phase(data.phase)
        } else if !verdict.is_live() {
            Self::Red(Aspect::Liveness)
        } else if verdict.is_ready() {
            Self::Ready
        } else if !verdict.has_started() {
            Self::Starting
        } else if verdict.condition().is_able() {
            Self::Paused
        } else {
            Self::Red(Aspect::Readiness)
        }
    }
}

impl Message {
    pub(super) fn new(now: Moment) -> Self {
        Self {
            subject: Subject::Starting,
            since: now,
            ready_since: None,
            was_ready: None,
        }
    }

    /// Returns the line for this snapshot, with its line break.
    pub(super) fn update(&mut self, data: &Data, in_flight: Option<usize>, now: Moment) -> String {
        let subject = Subject::of(data);
        if self.subject != subject {
            (self.subject, self.since) = (subject, now);
        }
        if subject == Subject::Ready {
            self.ready_since.get_or_insert(now.monotonic);
        } else if let Some(since) = self.ready_since.take() {
            self.was_ready = Some(now.monotonic.saturating_duration_since(since));
        }
        let (mut line, mut end) = (String::new(), String::new());
        // Writing to a string cannot fail.
        let _ = self.write(&mut line, data);
        let in_flight = in_flight.filter(|_| subject != Subject::Ready);
        let _ = write_end(&mut end, in_flight, data.version);
        let room = MAX_BYTES - end.len();
        if line.len() > room {
            let more = "…";
            line.truncate(text::cut(&line, room - more.len()).len());
            line.push_str(more);
        }
        line + &end
    }

    fn write(&self, line: &mut String, data: &Data) -> fmt::Result {
        let verdict = data.process.verdict;
        let since = UtcTime(self.since.wall);
        if self.subject != Subject::Ready {
            match self.was_ready {
                Some(lasted) => write!(line, "ready {}; ", Lasted(lasted))?,
                None => line.write_str("never ready; ")?,
            }
        }
        match self.subject {
            Subject::Starting => write!(line, "starting since {since}")?,
            Subject::Ready => write!(line, "ready since {since}")?,
            Subject::Red(Aspect::Liveness) => write!(line, "liveness red since {since}")?,
            Subject::Red(_) => write!(line, "readiness red since {since}")?,
            Subject::Paused => write!(line, "paused since {since}")?,
            Subject::Phase(phase) => write!(line, "{phase} since {since}")?,
        }
        if matches!(self.subject, Subject::Phase(_)) {
            match verdict.condition() {
                _ if !verdict.is_live() => line.write_str("; liveness red")?,
                Condition::Ready => {}
                condition => write!(line, "; {condition}")?,
            }
        } else if verdict.condition() == Condition::Degraded && verdict.is_live() {
            line.write_str("; degraded")?;
        }
        let aspect = if verdict.is_live() {
            Aspect::Readiness
        } else {
            Aspect::Liveness
        };
        let causes = Explanation::of_scope(data, ScopeId::Process, aspect);
        if !causes.is_empty() {
            write!(line, ": {}", causes.with_states(true))?;
        }
        if let Some(reason) = &data.pause {
            if self.subject != Subject::Paused {
                line.write_str("; paused")?;
            }
            if !reason.is_empty() {
                write!(line, " ({})", OneLine(reason))?;
            }
        }
        Ok(())
    }
}

fn write_end(end: &mut String, in_flight: Option<usize>, version: u64) -> fmt::Result {
    if let Some(in_flight) = in_flight {
        write!(end, "; {in_flight} in flight")?;
    }
    writeln!(end, "; version {version}")
}

/// Shows the time of the day.
struct UtcTime(SystemTime);

impl fmt::Display for UtcTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A clock before 1970 is not set.
        let since_1970 = self.0.duration_since(SystemTime::UNIX_EPOCH);
        let seconds = since_1970.unwrap_or_default().as_secs() % 86_400;
        let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
        write!(f, "{hours:02}:{minutes:02}:{:02} UTC", seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{Readiness, Subsystem};

    fn process() -> Readiness {
        Readiness::builder()
            .subsystem(Subsystem::new("storage"))
            .subsystem(Subsystem::new("worker").vital())
            .subsystem(Subsystem::new("cache").optional())
            .build()
            .unwrap()
    }

    struct Reader {
        readiness: Readiness,
        message: Message,
        now: Moment,
    }

    impl Reader {
        /// Begins at noon.
        fn new(readiness: &Readiness) -> Self {
            let now = Moment {
                wall: SystemTime::UNIX_EPOCH + Duration::from_secs(20_000 * 86_400 + 12 * 3_600),
                monotonic: Instant::now(),
            };
            Self {
                readiness: readiness.clone(),
                message: Message::new(now),
                now,
            }
        }

        /// The line after so many seconds, without its version.
        fn after(&mut self, seconds: u64, in_flight: Option<usize>) -> String {
            self.now.wall += Duration::from_secs(seconds);
            self.now.monotonic += Duration::from_secs(seconds);
            let snapshot = self.readiness.snapshot();
            let line = self.message.update(&snapshot.0, in_flight, self.now);
            let version = format!("; version {}\n", snapshot.version());
            line.strip_suffix(&version).unwrap().to_owned()
        }
    }

    #[test]
    fn the_line_says_what_is_red_since_when_and_why() {
        let readiness = process();
        let mut reader = Reader::new(&readiness);
        assert_eq!(
            reader.after(0, None),
            "never ready; starting since 12:00:00 UTC: storage starting, worker starting"
        );
        let storage = readiness.reporter("storage").unwrap();
        let worker = readiness.reporter("worker").unwrap();
        let cache = readiness.reporter("cache").unwrap();
        storage.ready();
        worker.ready();
        cache.ready();
        assert_eq!(reader.after(5, Some(0)), "ready since 12:00:05 UTC");
        cache.failing("timeout");
        assert_eq!(
            reader.after(60, Some(3)),
            "ready since 12:00:05 UTC; degraded: cache failing (timeout)",
            "the process is still ready"
        );
        cache.ready();
        storage.failing("disk\nfull");
        assert_eq!(
            reader.after(60, Some(3)),
            "ready 2 min; readiness red since 12:02:05 UTC: storage failing (disk full); 3 in flight"
        );
        storage.ready();
        assert_eq!(reader.after(5, Some(0)), "ready since 12:02:10 UTC");
        worker.dead("poisoned lock");
        let red = "ready 3 h 12 min; liveness red since 15:14:10 UTC: worker dead (poisoned lock)";
        let line = reader.after(3 * 3_600 + 12 * 60, Some(812));
        assert_eq!(line, format!("{red}; 812 in flight"));
        assert_eq!(reader.after(9, None), red, "the time is that of the change");
        readiness.drain();
        assert_eq!(
            reader.after(1, Some(1)),
            "ready 3 h 12 min; draining since 15:14:20 UTC; liveness red: \
             worker dead (poisoned lock); 1 in flight"
        );
        worker.ready();
        storage.failing("gone");
        assert_eq!(
            reader.after(1, None),
            "ready 3 h 12 min; draining since 15:14:20 UTC; failing: storage failing (gone)"
        );
        storage.ready();
        readiness.advance(Phase::Closed);
        assert_eq!(
            reader.after(1, None),
            "ready 3 h 12 min; closed since 15:14:22 UTC"
        );
    }

    #[test]
    fn a_pause_is_named_with_its_reason() {
        let readiness = process();
        let mut reader = Reader::new(&readiness);
        let storage = readiness.reporter("storage").unwrap();
        storage.ready();
        readiness.reporter("worker").unwrap().leave_ready();
        readiness.reporter("cache").unwrap().leave_ready();
        reader.after(0, None);
        let _pause = readiness.pause("stand\nby");
        assert_eq!(
            reader.after(2, None),
            "ready 2 s; paused since 12:00:02 UTC (stand by)"
        );
        storage.failing("");
        assert_eq!(
            reader.after(1, None),
            "ready 2 s; readiness red since 12:00:03 UTC: storage failing; paused (stand by)"
        );
    }

    #[test]
    fn a_long_line_is_cut_before_its_end() {
        let names: Vec<_> = (0..8).map(|index| format!("part-{index}")).collect();
        let builder = names.iter().map(Subsystem::new);
        let readiness = builder
            .fold(Readiness::builder(), crate::Builder::subsystem)
            .build()
            .unwrap();
        let reporters: Vec<_> = names
            .iter()
            .map(|name| readiness.reporter(name).unwrap())
            .collect();
        // Cuts each position of a character of three bytes.
        for shift in ["", "x", "xx"] {
            reporters
                .iter()
                .for_each(|it| it.failing(format!("{shift}{}", "ệ".repeat(400))));
            let line = Reader::new(&readiness).after(0, Some(7));
            let whole = line + &format!("; version {}\n", readiness.snapshot().version());
            assert!(
                (MAX_BYTES - 2..=MAX_BYTES).contains(&whole.len()),
                "{}",
                whole.len()
            );
            assert!(whole.contains("…; 7 in flight; version "), "{whole}");
        }
    }
}
