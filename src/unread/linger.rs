use super::{
    bounds::Bounds,
    reader::{BodyReader, ReadLimits, Stop},
};
use crate::timers::timer_at;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{runtime::Handle, sync::oneshot, time::Instant};

/// How long the task keeps a body after a bound was reached. Then it drops the
/// body, and hyper closes the connection. If the connection is reset sooner, nginx
/// reports a failure of the server, and node a failed write.
const HOLD: Duration = Duration::from_millis(500);

/// Counts the bodies of a layer that are read after their answers.
#[derive(Clone, Default)]
pub(super) struct LingerSlots(Arc<AtomicUsize>);

struct LingerSlot(Arc<AtomicUsize>);

impl LingerSlots {
    fn take(&self, max: usize) -> Option<LingerSlot> {
        let take = |taken| (taken < max).then_some(taken + 1);
        let taken = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.ok().map(|_| LingerSlot(Arc::clone(&self.0)))
    }
}

impl Drop for LingerSlot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A response extension that servers drop when they have written the head.
#[derive(Clone)]
pub(super) struct UntilWritten {
    _sender: Arc<oneshot::Sender<()>>,
}

/// An extension, and a future that completes when all its clones are dropped.
pub(super) fn until_written() -> (UntilWritten, oneshot::Receiver<()>) {
    let (sender, receiver) = oneshot::channel();
    let _sender = Arc::new(sender);
    (UntilWritten { _sender }, receiver)
}

/// Spawns a task that reads a body after its answer. With `written`, the task first
/// waits until the answer is written. Without a runtime or a free slot, the body is
/// dropped at once.
pub(super) fn linger(
    mut reader: BodyReader,
    bounds: Bounds,
    slots: &LingerSlots,
    written: Option<oneshot::Receiver<()>>,
) {
    let Ok(runtime) = Handle::try_current() else {
        return;
    };
    let Some(slot) = slots.take(bounds.max_lingering) else {
        return;
    };
    let limits = ReadLimits {
        silence: bounds.linger_silence,
        time: bounds.linger_time,
        bytes: u64::MAX,
    };
    runtime.spawn(async move {
        if let Some(written) = written {
            let Some(end) = timer_at(Instant::now() + limits.time) else {
                return;
            };
            tokio::select! { biased;
                _ = written => {}
                () = end => {}
            }
        }
        if reader.read(limits).await == Stop::Bound {
            if let Some(hold) = timer_at(Instant::now() + HOLD) {
                hold.await;
            }
        }
        drop((reader, slot));
    });
}
