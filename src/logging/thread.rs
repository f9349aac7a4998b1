use super::{cause::mark_log_thread, queue::Queue};
use crate::threads::{SharedThread, unmute};
use std::sync::LazyLock;

pub(super) static QUEUE: LazyLock<Queue> = LazyLock::new(|| Queue::new(|| THREAD.start()));

static THREAD: SharedThread = SharedThread::new("readiness-log", run);

fn run() {
    mark_log_thread();
    unmute();
    QUEUE.write();
}
