use super::{
    status::{Known, ProcessStatus},
    stream::StreamUpdate,
    transition::transition,
    view::{View, print},
};
use crate::{
    address::Address,
    state::{Age, State, text::OneLine},
    wire::{JsonAnswer, RowOrder, text, time_of_day},
};
use std::{fmt::Write, io, time::Instant};
use terminal_size::{Height, terminal_size};

/// The lines of a terminal that does not say how many it has.
const DEFAULT_HEIGHT: u16 = 24;

/// The most transitions below the table.
const TRANSITIONS: usize = 5;

/// The longest name that keeps the columns in line.
const NAME: usize = 40;

/// Draws the status as a table, in place of the one before.
pub(super) struct Screen {
    address: String,
    colours: bool,
    is_blank: bool,
}

impl Screen {
    pub(super) fn new(address: &Address, colours: bool) -> Self {
        Self {
            address: OneLine(&address.to_string()).to_string(),
            colours,
            is_blank: true,
        }
    }

    fn draw(&mut self, status: &ProcessStatus) -> io::Result<()> {
        let height = terminal_size().map_or(DEFAULT_HEIGHT, |(_, Height(height))| height);
        let lines = lines(&self.address, status, Instant::now());
        // The cursor stands in the last line.
        let shown = frame(
            lines,
            usize::from(height.saturating_sub(1)).max(1),
            self.colours,
        );
        let clear = if self.is_blank { "\x1b[2J" } else { "" };
        self.is_blank = false;
        // The terminal cuts lines that are too long while it does not wrap. Everything
        // between the first and the last sequence is drawn at once.
        print(&format!("{clear}\x1b[?7l\x1b[H{shown}\x1b[J\x1b[?7h"))
    }
}

impl View for Screen {
    fn announce(&mut self, _: &StreamUpdate) -> io::Result<()> {
        Ok(())
    }

    fn show(&mut self, status: &ProcessStatus) -> io::Result<()> {
        self.draw(status)
    }
}

/// A line, and how it is drawn.
#[derive(Debug, PartialEq)]
struct ScreenLine {
    style: Style,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Style {
    Plain,
    Grey,
    Red,
    Yellow,
    Green,
    Blue,
    Bold,
}

impl Style {
    /// The attributes of ECMA-48, section 8.3.117.
    fn codes(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Grey => "90",
            Self::Red => "31",
            Self::Yellow => "33",
            Self::Green => "32",
            Self::Blue => "34",
            Self::Bold => "1",
        }
    }

    fn of_state(word: &str) -> Self {
        match State::ALL.iter().find(|state| state.as_str() == word) {
            Some(State::Ready) => Self::Green,
            Some(State::Degraded) => Self::Yellow,
            Some(State::Starting) => Self::Blue,
            Some(State::Failing | State::Stale | State::Dead) => Self::Red,
            _ => Self::Plain,
        }
    }

    fn of_verdict(answer: &JsonAnswer<'_>) -> Self {
        let condition = answer.condition.as_deref().unwrap_or_default();
        match answer.verdicts.map(|it| (it.liveness, it.readiness)) {
            Some((false, _)) => Self::Red,
            // Not ready although the condition is: it drains or is paused.
            Some((true, false)) if matches!(condition, "ready" | "degraded") => Self::Blue,
            _ => Self::of_state(condition),
        }
    }
}

/// The texts of all lines, without colours.
#[cfg(any(fuzzing, all(test, unix, feature = "full")))]
pub(super) fn texts(
    address: &str,
    status: &ProcessStatus,
    now: Instant,
) -> impl Iterator<Item = String> {
    lines(address, status, now)
        .into_iter()
        .map(|line| line.text)
}

/// Writes the first `height` lines. If there are more, the last of them says how many.
fn frame(mut lines: Vec<ScreenLine>, height: usize, colours: bool) -> String {
    if lines.len() > height {
        let more = lines.len() - height + 1;
        lines.truncate(height - 1);
        let text = format!("{more} more lines");
        lines.push(ScreenLine {
            style: Style::Grey,
            text,
        });
    }
    let mut frame = String::new();
    for ScreenLine { style, text } in lines {
        // Writing to a string cannot fail.
        let _ = match style.codes() {
            codes if colours && !codes.is_empty() => write!(frame, "\x1b[{codes}m{text}\x1b[m"),
            _ => write!(frame, "{text}"),
        };
        frame.push_str("\x1b[K\n");
    }
    frame
}

fn lines(address: &str, status: &ProcessStatus, now: Instant) -> Vec<ScreenLine> {
    let mut lines = Vec::new();
    let mut add = |style, text| lines.push(ScreenLine { style, text });
    let is_old = status.is_old(now);
    if !status.is_known() {
        let why = status.lost.as_deref().unwrap_or("connecting");
        add(Style::Grey, format!("{address}: {why}"));
        return lines;
    }
    let at = status.time_of_news().map(time_of_day).unwrap_or_default();
    let answer = &status.answer;
    let summary = OneLine(status.summary()).to_string();
    if is_old {
        let why = status.lost.as_deref().unwrap_or("the process is silent");
        add(
            Style::Bold,
            format!("NO NEWS since {at} UTC, connecting again: {why}"),
        );
        add(Style::Grey, format!("was {summary}"));
    } else {
        let (verdict, why) = summary.split_once(": ").unwrap_or((&summary, ""));
        add(
            Style::of_verdict(answer),
            format!("{}  {why}", verdict.to_uppercase()),
        );
    }
    add(Style::Plain, facts(address, answer, &at));
    if let Some(left) = status.left(now).filter(|_| !is_old) {
        let phase = OneLine(answer.phase.as_deref().unwrap_or_default());
        let left = left.as_millis().div_ceil(1_000);
        add(Style::Blue, format!("{phase}: {left} s left"));
    }
    add(Style::Plain, String::new());
    table(&mut lines, status, now, is_old);
    if is_old {
        // The first line says so, and stands out.
        lines
            .iter_mut()
            .skip(1)
            .for_each(|line| line.style = Style::Grey);
    }
    lines
}

fn facts(address: &str, answer: &JsonAnswer<'_>, at: &str) -> String {
    let yes_no = |flag| if flag { "yes" } else { "no" };
    let mut facts = format!("{address}  {at} UTC");
    // Writing to a string cannot fail.
    let mut add = |name: &str, value: &str| {
        let _ = write!(facts, "  {name} {}", OneLine(value));
    };
    add("phase", answer.phase.as_deref().unwrap_or("unknown"));
    if let Some(verdicts) = answer.verdicts {
        add("started", yes_no(verdicts.startup));
        add("live", yes_no(verdicts.liveness));
    }
    if let Some(traffic) = &answer.traffic {
        if let Some(in_flight) = traffic.in_flight {
            add("in flight", &in_flight.to_string());
        }
        let refused = traffic.refused.iter();
        let refused: Vec<_> = refused
            .map(|(why, count)| format!("{count} {why}"))
            .collect();
        if !refused.is_empty() {
            add("refused", &refused.join(", "));
        }
    }
    facts
}

/// Adds the subsystems, the scopes and the last transitions.
fn table(lines: &mut Vec<ScreenLine>, status: &ProcessStatus, now: Instant, is_old: bool) {
    let order = RowOrder::new(&status.answer);
    let mut subsystems: Vec<_> = status.subsystems.iter().collect();
    subsystems.sort_by_key(|known| order.rank(&known.it));
    let names = subsystems.iter().map(|known| known.it.name.len());
    let width = names.max().unwrap_or_default().clamp(4, NAME);
    let mut add = |style, text| lines.push(ScreenLine { style, text });
    let header = format!(
        "   {:width$}  {:8}  {:11}  {:>5}  reason",
        "name", "state", "role", "for"
    );
    add(Style::Bold, header);
    for known in subsystems {
        let style = Style::of_state(&known.it.state);
        add(style, row(known, width, now, is_old));
    }
    for it in &status.scopes {
        let mark = if it.ready { text::UP } else { text::DOWN };
        let (name, condition) = (OneLine(&it.name), OneLine(&it.condition));
        let because = it.because_of.join(", ");
        let text = format!(
            "{mark}{:width$}  {:8}  scope               {}",
            name.to_string(),
            condition.to_string(),
            OneLine(&because)
        );
        add(Style::of_state(&it.condition), text);
    }
    if !status.history.is_empty() {
        add(Style::Plain, String::new());
        add(Style::Bold, "last transitions".to_owned());
    }
    for it in status.history.iter().rev().take(TRANSITIONS) {
        add(Style::Plain, transition(it));
    }
}

fn row(known: &Known, width: usize, now: Instant, is_old: bool) -> String {
    let it = &known.it;
    let is_up = matches!(Style::of_state(&it.state), Style::Green | Style::Yellow);
    let mark = if is_up { text::UP } else { text::DOWN };
    let since = known.since.filter(|_| !is_old);
    let age = since.map(|since| Age(now.saturating_duration_since(since)).to_string());
    let reason = it
        .reason
        .as_ref()
        .and_then(Option::as_deref)
        // Reasons of simulated states begin with this word.
        .unwrap_or(if it.simulated { "simulated" } else { "" });
    // Padding applies to strings, not to what they are made from.
    let [name, state, role] = [&it.name, &it.state, &it.role].map(|word| OneLine(word).to_string());
    let age = age.unwrap_or_default();
    let mut row = format!(
        "{mark}{name:width$}  {state:8}  {role:11}  {age:>5}  {}",
        OneLine(reason)
    );
    if let Some(damped) = &it.damped {
        let _ = write!(row, " (reported {})", OneLine(&damped.state));
    }
    row
}

#[cfg(test)]
mod tests {
    use super::{super::stream::StreamEvent, *};
    use crate::state::Moment;
    use std::time::{Duration, SystemTime};

    fn at(monotonic: Instant) -> Moment {
        Moment {
            wall: SystemTime::UNIX_EPOCH,
            monotonic,
        }
    }

    fn event(event: StreamEvent) -> StreamUpdate {
        let data = String::new();
        StreamUpdate::Event { event, data }
    }

    /// The status of the documented example at `now`.
    fn example(now: Instant) -> ProcessStatus {
        let answer = serde_json::from_str(include_str!("../../wire/example.json")).unwrap();
        let mut status = ProcessStatus::default();
        status.apply(event(StreamEvent::State(Box::new(answer))), at(now));
        let tick = serde_json::from_str(include_str!("../../wire/tick.json")).unwrap();
        status.apply(event(StreamEvent::Tick(tick)), at(now));
        status
    }

    fn text(lines: &[ScreenLine]) -> String {
        let lines = lines.iter().map(|line| line.text.as_str());
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_screen_shows_the_verdict_the_causes_and_ages_that_count() {
        let now = Instant::now();
        let lines = lines("[::1]:1", &example(now), now + Duration::from_secs(5));
        assert_eq!(
            text(&lines),
            "NOT READY  storage failing (connection refused)\n\
             [::1]:1  09:00:22 UTC  phase started  started yes  live yes  in flight 3  refused 9 \
             failing\n\
             \n   name     state     role           for  reason\n\
             [-]storage  failing   required       17s  connection refused\n\
             [-]search   failing   scope               storage\n\
             \n\
             last transitions\n\
             09:00:00 process ready -> failing (after 2h)\n\
             09:00:00 storage ready -> failing: connection refused (after 2h)"
        );
        assert_eq!(lines[0].style, Style::Red);
    }

    #[test]
    fn a_simulated_state_is_marked_without_its_reason() {
        let now = Instant::now();
        let json = r#"{"probe":"status","ok":true,"status":"not ready","subsystems":[{
            "name":"storage","role":"required","vital":false,"pending":false,
            "state":"failing","simulated":true}]}"#;
        let mut status = ProcessStatus::default();
        let answer = serde_json::from_str(json).unwrap();
        status.apply(event(StreamEvent::State(Box::new(answer))), at(now));
        let text = text(&lines("[::1]:1", &status, now));
        assert!(text.contains("  simulated"), "{text}");
    }

    #[test]
    fn old_news_are_grey_and_say_since_when() {
        let now = Instant::now();
        let mut status = example(now);
        let is_grey =
            |lines: &[ScreenLine]| lines.iter().skip(1).all(|line| line.style == Style::Grey);
        let fresh = lines("a", &status, now + Duration::from_millis(5_999));
        assert!(!is_grey(&fresh));
        let old = lines("a", &status, now + Duration::from_secs(6));
        assert!(is_grey(&old));
        assert_eq!(
            (&*old[0].text, &*old[1].text),
            (
                "NO NEWS since 09:00:22 UTC, connecting again: the process is silent",
                "was not ready: storage failing (connection refused)"
            )
        );
        // Of a silent process no age is known.
        assert!(old.iter().any(|line| {
            line.text
                .starts_with("[-]storage  failing   required         ")
        }));

        let address = Address::default();
        let lost = crate::client::error::ExchangeError::ClosedEarly { address };
        status.apply(StreamUpdate::Lost(lost.into()), at(now));
        let lost = lines("a", &status, now);
        assert!(
            lost[0].text.contains("closed the connection"),
            "{}",
            lost[0].text
        );
        assert!(is_grey(&lost));
        let tick = serde_json::from_str(include_str!("../../wire/tick.json")).unwrap();
        status.apply(event(StreamEvent::Tick(tick)), at(now));
        assert_eq!(lines("a", &status, now), lines("a", &example(now), now));
    }

    #[test]
    fn a_drain_counts_down() {
        let now = Instant::now();
        let mut status = example(now);
        let drain = r#"{"probe":"status","ok":true,"status":"not ready","phase":"draining",
            "condition":"ready","verdicts":{"startup":true,"liveness":true,"readiness":false},
            "drain":{"delay_ms":5000,"longest_delay_ms":5000,"cap_ms":9000,"left_ms":4100}}"#;
        let drain = Box::new(serde_json::from_str(drain).unwrap());
        status.apply(event(StreamEvent::Change(drain)), at(now));
        for (seconds, left) in [(0, 5), (2, 3), (5, 0)] {
            let lines = lines("a", &status, now + Duration::from_secs(seconds));
            assert_eq!(lines[0].style, Style::Blue);
            assert_eq!(lines[2].text, format!("draining: {left} s left"));
        }
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let line = |text: &str| ScreenLine {
            style: Style::Red,
            text: text.to_owned(),
        };
        let three = || ["a", "b", "c"].map(line).into();
        assert_eq!(frame(three(), 3, false), "a\x1b[K\nb\x1b[K\nc\x1b[K\n");
        assert_eq!(frame(three(), 2, false), "a\x1b[K\n2 more lines\x1b[K\n");
        assert_eq!(
            frame(three(), 2, true),
            "\x1b[31ma\x1b[m\x1b[K\n\x1b[90m2 more lines\x1b[m\x1b[K\n"
        );
    }

    #[test]
    fn no_text_of_the_process_controls_the_terminal() {
        const ATTACK: &str = r"\u001b[31m\u009b2J\u202e\n\u0007";
        let now = Instant::now();
        let mut status = ProcessStatus::default();
        let answer = format!(
            r#"{{"probe":"status","ok":true,"status":"{ATTACK}","summary":"{ATTACK}","phase":"{ATTACK}",
            "condition":"{ATTACK}","subsystems":[{{"name":"{ATTACK}","role":"{ATTACK}","vital":false,
            "pending":false,"state":"{ATTACK}","reason":"{ATTACK}","for_ms":1,
            "damped":{{"state":"{ATTACK}"}}}}],"scopes":[{{"name":"{ATTACK}","condition":"{ATTACK}",
            "ready":false,"because_of":["{ATTACK}"]}}],"history":[{{"version":1,"kind":"{ATTACK}",
            "from":"{ATTACK}","to":"{ATTACK}","reason":"{ATTACK}","refused":0}}],"traffic":{{
            "in_flight":1,"late_arrivals":0,"refused":{{"{ATTACK}":1}},"dry_run_refused":{{}}}},
            "drain":{{"delay_ms":1,"longest_delay_ms":1,"cap_ms":1,"left_ms":1}}}}"#
        );
        let answer = Box::new(serde_json::from_str(&answer).unwrap());
        status.apply(event(StreamEvent::State(answer)), at(now));
        for later in [0, 6] {
            let lines = lines("a", &status, now + Duration::from_secs(later));
            assert!(lines.len() > 7);
            let text = text(&lines).replace('\n', "");
            assert_eq!(OneLine(&text).to_string(), text);
        }
    }
}
