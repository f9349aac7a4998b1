use super::{
    status::ProcessStatus,
    stream::{StreamEvent, StreamUpdate},
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
    fn announce(&mut self, update: &StreamUpdate) -> io::Result<()> {
        match update {
            StreamUpdate::Event { event, data } => {
                let kind = match event {
                    StreamEvent::State(_) => EventKind::State,
                    StreamEvent::Change(_) => EventKind::Change,
                    StreamEvent::Tick(_) => EventKind::Tick,
                };
                // JSON has the characters that are cleaned in strings alone.
                print(&format!(
                    "{{\"event\":\"{kind}\",\"data\":{}}}\n",
                    clean(data)
                ))
            }
            StreamUpdate::Lost(error) => {
                let lost = serde_json::json!({"event": "lost", "error": causes(error)});
                print(&format!("{lost}\n"))
            }
        }
    }

    fn show(&mut self, _: &ProcessStatus) -> io::Result<()> {
        Ok(())
    }
}
