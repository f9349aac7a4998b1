use super::{
    screen,
    status::ProcessStatus,
    stream::{StreamUpdate, Unfinished},
    transition::transition,
};
use crate::{client::report::clean, registry::now};
use std::ops::ControlFlow;

/// The bytes of an event stream, as `readiness watch` reads and shows them.
pub fn events(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (mut unfinished, mut status) = (Unfinished::default(), ProcessStatus::default());
    let now = now();
    for line in text.split('\n') {
        let Some(finished) = unfinished.add(line) else {
            continue;
        };
        assert!(finished.id.bytes().all(|byte| byte.is_ascii_graphic()));
        let Ok(ControlFlow::Continue(event)) = finished.parse() else {
            continue;
        };
        let data = finished.data;
        status.apply(StreamUpdate::Event { event, data }, now);
        let transitions = status.history.iter().map(transition);
        let shown = screen::texts("127.0.0.1:28080", &status, now.monotonic);
        for line in transitions.chain(shown) {
            assert_eq!(clean(&line), line, "a terminal would execute it");
        }
    }
}
