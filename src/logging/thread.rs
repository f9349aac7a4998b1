use super::{cause::mark_log_thread, queue::Queue};
use crate::threads::{SharedThread, unmute};

pub(super) static QUEUE: Queue = Queue::new(|| THREAD.start());

static THREAD: SharedThread = SharedThread::new("readiness-log", run);

fn run() {
    mark_log_thread();
    unmute();
    QUEUE.write();
}
