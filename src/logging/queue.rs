use super::cause::Cause;
use crate::{
    meters::Counter,
    sync::{Condvar, Mutex, MutexGuard},
    threads,
};
use std::{
    collections::VecDeque,
    sync::PoisonError,
    time::{Duration, Instant},
};
use tracing::{Span, dispatcher::WeakDispatch};

/// The entries of all queues that were lost so far.
static LOST: Counter = Counter::new();

/// Returns how many publications or single lines were not logged so far.
#[cfg(feature = "metrics")]
pub(crate) fn lost() -> u64 {
    LOST.get()
}

/// The queue of lines for the log thread.
pub(super) struct Queue {
    state: Mutex<QueueState>,
    /// Notified when an entry is pushed.
    pushed: Condvar,
    /// Notified when an entry is written.
    written: Condvar,
    /// Starts the log thread unless it runs; `false` if it cannot start.
    start: fn() -> bool,
}

struct QueueState {
    entries: VecDeque<QueueEntry>,
    /// How many entries were pushed, and how many of them are written.
    pushed: u64,
    written: u64,
    /// How many threads wait until an entry is written.
    waiting: usize,
    /// The wait of a thread has timed out, and the queue has not been empty
    /// since.
    stuck: bool,
    lost: Option<LostEntries>,
}

/// The next work of the log thread.
enum Next {
    Entry(QueueEntry),
    /// The line that reports how many entries were lost.
    Lost(LostEntries),
}

/// Entries that were dropped because the queue was full or the log thread could
/// not start.
struct LostEntries {
    count: u64,
    /// The subscriber of the first of them.
    subscriber: Option<WeakDispatch>,
}

/// The number of an entry, in the order of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

/// Emits the events of one entry.
pub(crate) type Emit = Box<dyn FnOnce(&Span) + Send>;

/// One line, or the lines of one publication.
pub(crate) struct QueueEntry {
    cause: Cause,
    emit: Emit,
}

impl QueueEntry {
    pub(super) fn new(cause: Cause, emit: Emit) -> Self {
        Self { cause, emit }
    }
}

impl Queue {
    /// The most entries in the queue. Each holds two snapshots at most, so the
    /// queue stays small beside the log that it waits for.
    const ROOM: usize = if cfg!(all(test, tower_readiness_loom)) {
        1
    } else {
        1_024
    };

    pub(super) fn new(start: fn() -> bool) -> Self {
        Self {
            state: Mutex::new(QueueState {
                entries: VecDeque::new(),
                pushed: 0,
                written: 0,
                waiting: 0,
                stuck: false,
                lost: None,
            }),
            pushed: Condvar::new(),
            written: Condvar::new(),
            start,
        }
    }

    /// Queues an entry, or counts it as lost and returns it.
    pub(super) fn push(&self, entry: QueueEntry) -> Result<Ticket, QueueEntry> {
        let has_thread = (self.start)();
        let mut state = self.state.lock();
        if !has_thread || state.entries.len() >= Self::ROOM {
            LOST.increment();
            match &mut state.lost {
                Some(lost) => lost.count += 1,
                none => {
                    *none = Some(LostEntries {
                        count: 1,
                        subscriber: entry.cause.weak(),
                    });
                }
            }
            return Err(entry);
        }
        state.entries.push_back(entry);
        state.pushed += 1;
        let ticket = Ticket(state.pushed);
        drop(state);
        self.pushed.notify_one();
        Ok(ticket)
    }

    /// Waits until the entry is written, at most this long. Returns at once
    /// while the queue is stuck, and on the crate's own threads.
    pub(super) fn wait(&self, ticket: Ticket, at_most: Duration) {
        if threads::is_own() {
            return;
        }
        let state = self.state.lock();
        if !state.stuck {
            let is_written = self.wait_until_written(state, ticket.0, at_most);
            if !is_written {
                let mut state = self.state.lock();
                state.stuck = state.written < ticket.0;
            }
        }
    }

    /// Waits until all entries that are queued now are written, and the line that reports
    /// the lost ones, at most this long, whether the queue is stuck or not. Returns whether
    /// they are written.
    pub(super) fn flush(&self, at_most: Duration) -> bool {
        let has_lost = self.state.lock().lost.is_some();
        let reports_loss = has_lost && (self.start)();
        let state = self.state.lock();
        let last = state.pushed + u64::from(reports_loss && state.lost.is_some());
        self.wait_until_written(state, last, at_most)
    }

    fn wait_until_written(
        &self,
        mut state: MutexGuard<'_, QueueState>,
        last: u64,
        most: Duration,
    ) -> bool {
        if state.written >= last {
            return true;
        }
        let deadline = Instant::now() + most;
        state.waiting += 1;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let is_written = state.written >= last;
            if is_written || left.is_zero() {
                state.waiting -= 1;
                return is_written;
            }
            let waited = self.written.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Writes the entries as they are pushed; never returns.
    pub(super) fn write(&self) {
        loop {
            self.next().emit();
            self.count_written();
        }
    }

    /// Waits for the next entry. When the queue is empty, the entries that were lost
    /// come next, if any.
    fn next(&self) -> Next {
        let mut state = self.state.lock();
        loop {
            if let Some(entry) = state.entries.pop_front() {
                return Next::Entry(entry);
            }
            state.stuck = false;
            if let Some(lost) = state.lost.take() {
                // Counted as pushed, so that a flush waits for it.
                state.pushed += 1;
                return Next::Lost(lost);
            }
            let waited = self.pushed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn count_written(&self) {
        let mut state = self.state.lock();
        state.written += 1;
        if state.waiting > 0 {
            self.written.notify_all();
        }
    }
}

impl Next {
    fn emit(self) {
        match self {
            Self::Entry(QueueEntry { cause, emit }) => cause.emit(emit),
            Self::Lost(LostEntries { count, subscriber }) => {
                Cause::for_subscriber(subscriber).emit(|span| {
                    super::event::event!(
                        warn,
                        "lines_lost",
                        span,
                        lost = count,
                        "lines were not logged: the log was not read in time"
                    );
                });
            }
        }
    }
}

#[cfg(all(test, tower_readiness_loom))]
#[path = "loom.rs"]
mod loom;

#[cfg(all(test, not(tower_readiness_loom)))]
mod tests {
    use super::*;
    use std::{
        sync::{Arc, mpsc},
        thread,
    };
    use tracing::{Dispatch, Event, Metadata, Subscriber, field, span};

    const NOT_AT_ALL: Duration = Duration::ZERO;

    /// Keeps the `lost` of each event that it is given.
    #[derive(Clone, Default)]
    struct Losses(Arc<Mutex<Vec<u64>>>);

    impl Subscriber for Losses {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }

        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

        fn event(&self, event: &Event<'_>) {
            event.record(&mut |field: &field::Field, value: &dyn std::fmt::Debug| {
                if field.name() == "lost" {
                    let lost = format!("{value:?}").parse().unwrap();
                    self.0.lock().push(lost);
                }
            });
        }

        fn enter(&self, _: &span::Id) {}

        fn exit(&self, _: &span::Id) {}
    }

    fn entry(emit: impl FnOnce() + Send + 'static) -> QueueEntry {
        QueueEntry::new(Cause::for_subscriber(None), Box::new(|_| emit()))
    }

    fn lost(queue: &Queue) -> u64 {
        queue
            .state
            .lock()
            .lost
            .as_ref()
            .map_or(0, |lost| lost.count)
    }

    #[test]
    fn lines_beyond_the_room_are_counted_and_one_line_reports_the_count() {
        let queue = Queue::new(|| true);
        let losses = Losses::default();
        let subscriber = Dispatch::new(losses.clone());
        let written = Arc::new(Mutex::new(Vec::new()));
        for number in 0..Queue::ROOM + 7 {
            let written = Arc::clone(&written);
            let emit = Box::new(move |_: &tracing::Span| written.lock().push(number));
            let cause = Cause::for_subscriber(Some(subscriber.downgrade()));
            let pushed = queue.push(QueueEntry::new(cause, emit));
            assert_eq!(pushed.is_ok(), number < Queue::ROOM);
        }
        assert_eq!(lost(&queue), 7);
        for _ in 0..Queue::ROOM {
            queue.next().emit();
            queue.count_written();
        }
        assert!(!queue.flush(NOT_AT_ALL), "one line reports the others");
        queue.next().emit();
        queue.count_written();
        assert!(queue.flush(NOT_AT_ALL));
        assert!(written.lock().iter().copied().eq(0..Queue::ROOM));
        assert_eq!(*losses.0.lock(), [7]);
        assert_eq!(lost(&queue), 0);
    }

    #[test]
    fn lines_are_counted_as_lost_where_there_is_no_thread() {
        let queue = Queue::new(|| false);
        #[cfg(feature = "metrics")]
        let before = super::lost();
        for _ in 0..3 {
            assert!(queue.push(entry(|| ())).is_err());
        }
        assert_eq!(lost(&queue), 3);
        // Other tests of this process may lose entries too.
        #[cfg(feature = "metrics")]
        assert!(super::lost() >= before + 3);
        assert!(queue.state.lock().entries.is_empty());
        assert!(queue.flush(NOT_AT_ALL));
    }

    #[test]
    fn no_thread_waits_again_until_a_stuck_queue_has_been_empty() {
        let queue = Queue::new(|| true);
        let first = queue.push(entry(|| ())).ok().unwrap();
        assert!(!queue.state.lock().stuck);
        queue.wait(first, NOT_AT_ALL);
        assert!(queue.state.lock().stuck);
        let second = queue.push(entry(|| ())).ok().unwrap();
        // It would take longer than any test may.
        queue.wait(second, Duration::from_secs(86_400));

        drop(queue.next());
        queue.count_written();
        assert!(queue.state.lock().stuck, "there is more");
        drop(queue.next());
        queue.count_written();
        queue.wait(first, NOT_AT_ALL);
        let queue = Arc::new(queue);
        let writes = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || drop(queue.next()))
        };
        while queue.state.lock().stuck {
            thread::yield_now();
        }
        queue.push(entry(|| ())).ok().unwrap();
        writes.join().unwrap();
    }

    #[test]
    fn a_report_waits_until_its_line_is_written() {
        let queue = Arc::new(Queue::new(|| true));
        let (allow, allowed) = mpsc::channel::<()>();
        let ticket = queue
            .push(entry(move || allowed.recv().unwrap()))
            .ok()
            .unwrap();
        let writes = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                queue.next().emit();
                queue.count_written();
            })
        };
        allow.send(()).unwrap();
        queue.wait(ticket, Duration::from_secs(86_400));
        assert_eq!(queue.state.lock().written, 1);
        queue.flush(Duration::from_secs(86_400));
        writes.join().unwrap();
    }

    #[test]
    fn no_thread_of_the_crate_waits() {
        let queue = Arc::new(Queue::new(|| true));
        let ticket = queue.push(entry(|| ())).ok().unwrap();
        let waits = {
            let queue = Arc::clone(&queue);
            threads::spawn("readiness-test", move || {
                queue.wait(ticket, Duration::from_secs(86_400));
            })
        };
        waits.unwrap().join().unwrap();
        assert!(!queue.state.lock().stuck);
    }
}
