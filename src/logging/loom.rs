//! Loom models of the queue of the log. Run with
//! `RUSTFLAGS="--cfg tower_readiness_loom" cargo test --release --lib loom`.
//!
//! In a model, the wait of a report or a flush never times out.

use super::{Cause, LostEntries, Next, Queue, QueueEntry, Ticket};
use crate::sync::{Mutex, explore};
use loom::thread::{self, JoinHandle};
use std::{sync::Arc, time::Duration};

/// A time that passes in no model.
const LONG: Duration = Duration::from_secs(86_400);

/// A queue for one entry, and the entries that the log thread has written.
#[derive(Clone)]
struct Log {
    queue: Arc<Queue>,
    written: Arc<Mutex<Vec<u32>>>,
}

impl Log {
    fn new() -> Self {
        Self {
            queue: Arc::new(Queue::new(|| true)),
            written: Arc::default(),
        }
    }

    /// The log thread, until each of `entries` is written or reported as lost. Returns how
    /// many were lost.
    fn write(&self, entries: u64) -> JoinHandle<u64> {
        let log = self.clone();
        thread::spawn(move || {
            let (mut written, mut lost) = (0, 0);
            while written + lost < entries {
                match log.queue.next() {
                    Next::Lost(LostEntries { count, .. }) => lost += count,
                    entry => {
                        entry.emit();
                        written += 1;
                    }
                }
                log.queue.count_written();
            }
            lost
        })
    }

    /// Pushes an entry, if there is room.
    fn push(&self, number: u32) -> Option<Ticket> {
        let written = Arc::clone(&self.written);
        let emit = Box::new(move |_: &_| written.lock().push(number));
        let entry = QueueEntry::new(Cause::for_subscriber(None), emit);
        self.queue.push(entry).ok()
    }

    /// Pushes an entry, and waits until it is written. Returns whether there was room.
    fn report(&self, number: u32) -> bool {
        let ticket = self.push(number);
        if let Some(ticket) = ticket {
            self.queue.wait(ticket, LONG);
            assert!(self.written.lock().contains(&number));
        }
        ticket.is_some()
    }
}

#[test]
fn each_line_is_written_before_its_report_returns_or_is_reported_as_lost() {
    explore(3, || {
        let log = Log::new();
        let writer = log.write(2);
        let other = {
            let log = log.clone();
            thread::spawn(move || log.report(1))
        };
        let had_room = [log.report(2), other.join().unwrap()];
        // A lost wake-up makes this hang, which loom reports.
        let lost = writer.join().unwrap();
        let written = log.written.lock().len();
        assert_eq!(had_room.iter().filter(|it| **it).count(), written);
        assert_eq!(written as u64 + lost, 2);
    });
}

#[test]
fn a_flush_waits_for_the_lines_before_it_and_each_other_one_is_reported_as_lost() {
    explore(3, || {
        let log = Log::new();
        let writer = log.write(4);
        let had_room = [1, 2, 3, 4].map(|number| log.push(number).is_some());
        log.queue.flush(LONG);
        let written = log.written.lock().len();
        assert_eq!(had_room.iter().filter(|it| **it).count(), written);
        // A count that is not reported makes this hang, which loom reports.
        writer.join().unwrap();
    });
}
