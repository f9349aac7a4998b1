use super::{cause::claim_this_thread, queue::Queue};
use crate::threads::{SharedThread, unmute};

pub(super) static QUEUE: Queue = Queue::new(|| THREAD.start());

static THREAD: SharedThread = SharedThread::new("readiness-log", run);

fn run() {
    claim_this_thread();
    unmute();
    QUEUE.write();
}
