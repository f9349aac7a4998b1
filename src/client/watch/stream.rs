use crate::{
    address::Address,
    client::{
        connection::ClientConnection,
        deadline::Deadline,
        error::{ExchangeError, StreamError},
        http::{ReadError, Request, open},
    },
    wire::{EventKind, JsonAnswer, JsonTick, paths},
};
use std::{
    io::{BufRead, BufReader, ErrorKind, Read},
    ops::ControlFlow::{self, Break, Continue},
    sync::mpsc::SyncSender,
    thread::sleep,
    time::Duration,
};

const EVENT_STREAM: &str = "text/event-stream";

/// The time for the head of the answer, and for each line of the stream. The process sends
/// a tick every 2 seconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// The pause before a new connection.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The longest line of the stream: twice the length of the answers that an admin listener
/// has in memory.
const MAX_LINE: u64 = 64 << 20;

/// An event of the process.
#[derive(Debug)]
pub(super) enum StreamEvent {
    State(Box<JsonAnswer<'static>>),
    Change(Box<JsonAnswer<'static>>),
    Tick(JsonTick<'static>),
}

/// What the thread that reads the stream sends.
#[derive(Debug)]
pub(super) enum StreamUpdate {
    Event {
        event: StreamEvent,
        /// The JSON of the event.
        data: String,
    },
    /// The stream has ended. A new connection follows, unless the error is final.
    Lost(StreamError),
}

/// The receiver of the updates is gone.
struct Gone;

/// Reads the stream, connecting again whenever it ends, until the receiver is gone or the
/// stream turns out not to exist.
pub(super) fn follow(address: &Address, updates: &SyncSender<StreamUpdate>) {
    let mut last_id = String::new();
    loop {
        let Err(error) = read(address, &mut last_id, updates) else {
            return;
        };
        let is_final = error.is_final();
        if updates.send(StreamUpdate::Lost(error)).is_err() || is_final {
            return;
        }
        sleep(RETRY_AFTER);
    }
}

/// Reads the events of one connection until it ends.
fn read(
    address: &Address,
    last_id: &mut String,
    updates: &SyncSender<StreamUpdate>,
) -> Result<Gone, StreamError> {
    let request = Request {
        method: "GET",
        target: paths::EVENTS,
        accept: EVENT_STREAM,
        body: "",
        last_event_id: Some(&**last_id).filter(|id| !id.is_empty()),
    };
    let deadline = Deadline::after(PATIENCE);
    let (head, mut reader) = open(address, &request, deadline)?;
    let (status, address) = (head.status, address.clone());
    match status {
        200 if head.is_encoded => return Err(ExchangeError::Encoded { address }.into()),
        200 if head.is_of_type(EVENT_STREAM) => {}
        // RFC 9110, section 15.6: a proxy answers 502 or 504 while the process restarts.
        502..=504 => return Err(StreamError::Unavailable { address, status }),
        _ => return Err(StreamError::NoEvents { address, status }),
    }
    let mut unfinished = Unfinished::default();
    loop {
        let line = read_line(&mut reader, &address)?;
        let Some(finished) = unfinished.add(&line) else {
            continue;
        };
        let malformed = || StreamError::Malformed {
            address: address.clone(),
        };
        if let Continue(event) = finished.parse().map_err(|_| malformed())? {
            if !finished.id.is_empty() {
                last_id.clone_from(&finished.id);
            }
            let data = finished.data;
            if updates.send(StreamUpdate::Event { event, data }).is_err() {
                return Ok(Gone);
            }
        }
    }
}

fn read_line(
    reader: &mut BufReader<ClientConnection>,
    address: &Address,
) -> Result<String, ExchangeError> {
    let deadline = Deadline::after(PATIENCE);
    reader.get_mut().set_deadline(deadline);
    let mut line = Vec::new();
    let read = reader.take(MAX_LINE).read_until(b'\n', &mut line);
    let is_whole = line.pop() == Some(b'\n');
    let error = match read {
        Ok(_) if is_whole => return Ok(String::from_utf8_lossy(&line).into_owned()),
        Ok(_) => ErrorKind::UnexpectedEof.into(),
        Err(error) => error,
    };
    Err(ReadError::Io(error).into_exchange(address, deadline))
}

/// The fields of an event, as far as the stream has sent them.
#[derive(Default)]
pub(super) struct Unfinished {
    kind: String,
    pub(super) data: String,
    pub(super) id: String,
}

impl Unfinished {
    /// Adds a line. Returns the event if the line is empty, which ends an event.
    pub(super) fn add(&mut self, line: &str) -> Option<Self> {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() {
            return Some(std::mem::take(self));
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => value.clone_into(&mut self.kind),
            "data" => value.clone_into(&mut self.data),
            // It becomes the value of a header.
            "id" if value.bytes().all(|byte| byte.is_ascii_graphic()) => {
                value.clone_into(&mut self.id);
            }
            _ => {}
        }
        None
    }

    /// Parses the event. `Break` is an event of a later version, which is ignored.
    pub(super) fn parse(&self) -> serde_json::Result<ControlFlow<(), StreamEvent>> {
        let kind = EventKind::ALL
            .iter()
            .find(|kind| kind.as_str() == self.kind);
        let answer = || serde_json::from_str(&self.data).map(Box::new);
        Ok(match kind {
            Some(EventKind::State) => Continue(StreamEvent::State(answer()?)),
            Some(EventKind::Change) => Continue(StreamEvent::Change(answer()?)),
            Some(EventKind::Tick) => Continue(StreamEvent::Tick(serde_json::from_str(&self.data)?)),
            None => Break(()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(text: &str) -> Vec<Unfinished> {
        let mut unfinished = Unfinished::default();
        text.lines()
            .filter_map(|line| unfinished.add(line))
            .collect()
    }

    #[test]
    fn an_empty_line_ends_an_event() {
        let read =
            events("event: tick\nid: a.1\ndata: {}\r\n\n: comment\nevent:state\ndata:1\n\nid: a");
        let fields: Vec<_> = read
            .iter()
            .map(|it| (&*it.kind, &*it.id, &*it.data))
            .collect();
        assert_eq!(fields, [("tick", "a.1", "{}"), ("state", "", "1")]);
    }

    #[test]
    fn an_id_that_would_change_the_request_is_ignored() {
        for id in ["a b", "a\rx: y", "é"] {
            assert_eq!(events(&format!("id: {id}\n\n"))[0].id, "", "{id}");
        }
    }

    #[test]
    fn events_are_parsed_and_those_of_a_later_version_ignored() {
        let parse = |kind: &str, data: &str| {
            let read = events(&format!("event: {kind}\ndata: {data}\n\n"));
            read[0].parse()
        };
        let answer = r#"{"probe":"status","ok":true,"status":"ready"}"#;
        assert!(matches!(parse("state", answer), Ok(Continue(StreamEvent::State(it))) if it.ok));
        assert!(matches!(parse("change", answer), Ok(Continue(StreamEvent::Change(it))) if it.ok));
        let tick = include_str!("../../wire/tick.json").replace('\n', " ");
        assert!(
            matches!(parse("tick", &tick), Ok(Continue(StreamEvent::Tick(it))) if it.version == 14)
        );
        assert!(matches!(parse("later", "?"), Ok(Break(()))));
        assert!(parse("tick", "{").is_err());
    }
}
