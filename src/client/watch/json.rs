use super::{
    status::Status,
    stream::{Event, Update},
    view::{View, print},
};
use crate::{
    client::{causes::causes, report::clean},
    wire::EventKind,
};
use std::io;

/// Prints each event as JSON.
pub(super) struct Json;

impl View for Json {
    fn announce(&mut self, update: &Update) -> io::Result<()> {
        match update {
            Update::Event { event, data } => {
                let kind = match event {
                    Event::State(_) => EventKind::State,
                    Event::Change(_) => EventKind::Change,
                    Event::Tick(_) => EventKind::Tick,
                };
                // JSON has the characters that are cleaned in strings alone.
                print(&format!(
                    "{{\"event\":\"{kind}\",\"data\":{}}}\n",
                    clean(data)
                ))
            }
            Update::Lost(error) | Update::Impossible(error) => {
                let lost = serde_json::json!({"event": "lost", "error": causes(error)});
                print(&format!("{lost}\n"))
            }
        }
    }

    fn show(&mut self, _: &Status) -> io::Result<()> {
        Ok(())
    }
}
