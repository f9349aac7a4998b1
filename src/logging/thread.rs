use super::{mute::unmute, queue::Queue};
use crate::threads::SharedThread;
use std::cell::Cell;

pub(super) static QUEUE: Queue = Queue::new(|| THREAD.start());

static THREAD: SharedThread = SharedThread::new("readiness-log", run);

thread_local!(static THIS: Cell<bool> = const { Cell::new(false) });

fn run() {
    THIS.set(true);
    unmute();
    QUEUE.write();
}

/// Whether the present thread is the one that writes.
pub(super) fn is_this() -> bool {
    // The flag of a thread that ends may be gone.
    THIS.try_with(Cell::get).unwrap_or(false)
}
