use super::limits::Limits;
use crate::mutex::Mutex;
use std::sync::Arc;
use tokio::{
    sync::Notify,
    time::{Duration, Instant, sleep_until},
};

/// The slot of one connection: its activity, timeouts and eviction.
pub(super) struct ConnectionSlot {
    state: Mutex<SlotState>,
    answered: Notify,
    eviction: Notify,
    end: Notify,
}

struct SlotState {
    /// When the connection was accepted, or a request last arrived or was answered, or
    /// the connection last took a part of an event.
    since: Instant,
    has_sent_request: bool,
    /// The number of requests that are not answered yet.
    open_requests: usize,
    /// The event streams among them.
    #[cfg(feature = "events")]
    streams: Vec<StreamActivity>,
    /// The number of event streams so far, of which each has one as its id.
    #[cfg(feature = "events")]
    begun_streams: u64,
    /// Whether the connection only discards further bytes of its peer.
    lingers: bool,
}

/// The activity of one event stream. That of the connection does not count: over HTTP/2,
/// a peer that reads other answers need not read this one.
#[cfg(feature = "events")]
struct StreamActivity {
    id: u64,
    /// When the stream began, or last had a part that the connection took.
    since: Instant,
}

/// How a connection closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CloseMode {
    /// After sending an answer that is in progress.
    Gracefully,
    /// Without an answer, because no request arrived in time or the peer does not read
    /// its events.
    AtOnce,
}

/// How long a connection counts as new: the time that a kubelet gives a probe.
const NEW_FOR: Duration = Duration::from_secs(1);

/// How long a connection may take no event: five ticks.
#[cfg(feature = "events")]
const STREAM_TIMEOUT: Duration = Duration::from_secs(10);

/// The activity of a connection, in the order of eviction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Activity {
    /// All requests are answered, and further bytes are discarded.
    Lingering,
    /// No request is open.
    Idle,
    /// A request is open: it `?wait`s, is a command, or gets events.
    Waiting,
    /// The connection was accepted less than a second ago, and no request has
    /// arrived. Every probe that opens a connection of its own begins like this. If
    /// it were evicted before connections that have been served already, clients
    /// that reconnect at once could evict every probe.
    New,
}

impl ConnectionSlot {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(SlotState {
                since: Instant::now(),
                has_sent_request: false,
                open_requests: 0,
                #[cfg(feature = "events")]
                streams: Vec::new(),
                #[cfg(feature = "events")]
                begun_streams: 0,
                lingers: false,
            }),
            answered: Notify::new(),
            eviction: Notify::new(),
            end: Notify::new(),
        })
    }

    /// Counts a request as open until the returned guard is dropped.
    pub(super) fn begin_request(self: &Arc<Self>) -> SlotRequest {
        let mut state = self.state.lock();
        state.since = Instant::now();
        state.has_sent_request = true;
        state.open_requests += 1;
        SlotRequest(Arc::clone(self))
    }

    /// Counts an event stream as an open request until the returned guard is dropped.
    #[cfg(feature = "events")]
    pub(super) fn begin_stream(self: &Arc<Self>) -> OpenStream {
        let request = self.begin_request();
        let mut state = self.state.lock();
        let id = state.begun_streams;
        state.begun_streams += 1;
        let since = Instant::now();
        state.streams.push(StreamActivity { id, since });
        drop(state);
        // A stream has a deadline, unlike other open requests.
        self.answered.notify_one();
        OpenStream { request, id }
    }

    /// The order of eviction: the connection with the smallest rank is first.
    pub(super) fn rank(&self) -> (Activity, Instant) {
        let state = self.state.lock();
        let is_new = !state.has_sent_request && state.since.elapsed() < NEW_FOR;
        let activity = match *state {
            SlotState { lingers: true, .. } => Activity::Lingering,
            _ if is_new => Activity::New,
            SlotState {
                open_requests: 0, ..
            } => Activity::Idle,
            _ => Activity::Waiting,
        };
        (activity, state.since)
    }

    /// Marks the connection as [`Activity::Lingering`].
    pub(super) fn linger(&self) {
        self.state.lock().lingers = true;
    }

    /// Takes the slot from its connection, which closes [gracefully](CloseMode::Gracefully).
    pub(super) fn evict(&self) {
        self.eviction.notify_one();
    }

    /// Ends an evicted connection without more time.
    pub(super) fn end(&self) {
        self.end.notify_one();
    }

    /// Completes once, when another connection needs the slot.
    pub(super) async fn evicted(&self) {
        self.eviction.notified().await;
    }

    /// Completes when a connection that closes has no more time: at the eviction, or if that
    /// was why it closes, at its [end](Self::end).
    pub(super) async fn ended(&self) {
        tokio::select! { biased;
            () = self.end.notified() => {}
            () = self.eviction.notified() => {}
        }
    }

    /// Completes when no request was open for longer than the limits allow.
    pub(super) async fn timed_out(&self, limits: &Limits) -> CloseMode {
        loop {
            let Some((until, mode)) = self.deadline(limits) else {
                self.answered.notified().await;
                continue;
            };
            tokio::select! { biased;
                () = self.answered.notified() => continue,
                () = sleep_until(until) => {}
            }
            // A request may have arrived at the last moment.
            if self.deadline(limits) == Some((until, mode)) {
                return mode;
            }
        }
    }

    /// Returns when the connection times out, and how it closes then. `None` while
    /// a request is open that is no event stream.
    fn deadline(&self, limits: &Limits) -> Option<(Instant, CloseMode)> {
        let state = self.state.lock();
        #[cfg(feature = "events")]
        if let Some(since) = state.streams.iter().map(|stream| stream.since).min() {
            return Some((since + STREAM_TIMEOUT, CloseMode::AtOnce));
        }
        let (limit, mode) = if state.has_sent_request {
            (limits.idle_timeout, CloseMode::Gracefully)
        } else {
            (limits.header_timeout, CloseMode::AtOnce)
        };
        (state.open_requests == 0).then_some((state.since + limit, mode))
    }
}

/// Counts an event stream as open until it is dropped.
#[cfg(feature = "events")]
pub(super) struct OpenStream {
    request: SlotRequest,
    id: u64,
}

#[cfg(feature = "events")]
impl OpenStream {
    /// Records that the connection has taken a part of an event, as it does at each tick
    /// while the peer reads.
    pub(super) fn record_part(&self) {
        let (now, mut state) = (Instant::now(), self.request.0.state.lock());
        state.since = now;
        let mut streams = state.streams.iter_mut();
        if let Some(stream) = streams.find(|stream| stream.id == self.id) {
            stream.since = now;
        }
    }
}

#[cfg(feature = "events")]
impl Drop for OpenStream {
    fn drop(&mut self) {
        let streams = &mut self.request.0.state.lock().streams;
        streams.retain(|stream| stream.id != self.id);
    }
}

/// Counts a request as open until it is dropped.
pub(super) struct SlotRequest(Arc<ConnectionSlot>);

impl Drop for SlotRequest {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.since = Instant::now();
        state.open_requests -= 1;
        drop(state);
        self.0.answered.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;
    use tokio_test::{assert_pending, assert_ready_eq, task};

    const A_MOMENT: Duration = Duration::from_millis(10);

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_request_closes_after_the_header_timeout() {
        let (slot, limits) = (ConnectionSlot::new(), Limits::default());
        let mut timed_out = task::spawn(slot.timed_out(&limits));
        advance(limits.header_timeout - A_MOMENT).await;
        assert_pending!(timed_out.poll());
        advance(2 * A_MOMENT).await;
        assert_ready_eq!(timed_out.poll(), CloseMode::AtOnce);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_closes_after_the_idle_timeout_since_its_last_answer() {
        let (slot, limits) = (ConnectionSlot::new(), Limits::default());
        let mut timed_out = task::spawn(slot.timed_out(&limits));
        for _ in 0..3 {
            assert_pending!(timed_out.poll());
            let open = slot.begin_request();
            // No timeout runs while a request is open.
            advance(10 * limits.idle_timeout).await;
            assert_pending!(timed_out.poll());
            drop(open);
            advance(limits.idle_timeout - A_MOMENT).await;
            assert_pending!(timed_out.poll());
        }
        advance(2 * A_MOMENT).await;
        assert_ready_eq!(timed_out.poll(), CloseMode::Gracefully);
    }

    #[cfg(feature = "events")]
    #[tokio::test(start_paused = true)]
    async fn a_stream_times_out_when_no_part_is_taken_and_then_the_connection_is_idle() {
        let (slot, limits) = (ConnectionSlot::new(), Limits::default());
        let mut timed_out = task::spawn(slot.timed_out(&limits));
        let wait = slot.begin_request();
        assert_pending!(timed_out.poll());
        let stream = slot.begin_stream();
        for _ in 0..5 {
            assert_pending!(timed_out.poll());
            advance(STREAM_TIMEOUT - A_MOMENT).await;
            assert_pending!(timed_out.poll());
            stream.record_part();
        }
        drop((stream, wait));
        assert_pending!(timed_out.poll());
        advance(limits.idle_timeout - A_MOMENT).await;
        assert_pending!(timed_out.poll());

        let _stream = slot.begin_stream();
        assert_pending!(timed_out.poll());
        advance(STREAM_TIMEOUT + A_MOMENT).await;
        assert_ready_eq!(timed_out.poll(), CloseMode::AtOnce);
    }

    #[cfg(feature = "events")]
    #[tokio::test(start_paused = true)]
    async fn neither_other_requests_nor_other_streams_prolong_a_stream() {
        let (slot, limits) = (ConnectionSlot::new(), Limits::default());
        let mut timed_out = task::spawn(slot.timed_out(&limits));
        let (ended, other) = (slot.begin_stream(), slot.begin_stream());
        let unread = slot.begin_stream();
        drop(ended);
        for _ in 0..3 {
            advance(STREAM_TIMEOUT / 4).await;
            drop(slot.begin_request());
            other.record_part();
            assert_pending!(timed_out.poll());
        }
        advance(STREAM_TIMEOUT / 4 + A_MOMENT).await;
        assert_ready_eq!(timed_out.poll(), CloseMode::AtOnce);
        drop(unread);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_at_the_last_moment_keeps_the_connection() {
        let (slot, limits) = (ConnectionSlot::new(), Limits::default());
        let mut timed_out = task::spawn(slot.timed_out(&limits));
        assert_pending!(timed_out.poll());
        advance(limits.header_timeout + A_MOMENT).await;
        let open = slot.begin_request();
        assert_pending!(timed_out.poll());
        drop(open);
        assert_pending!(timed_out.poll());
    }

    #[tokio::test(start_paused = true)]
    async fn the_order_of_eviction_is_lingering_idle_waiting_new() {
        let (quiet, quiet_last) = (ConnectionSlot::new(), ConnectionSlot::new());
        let (waits, waits_last) = (ConnectionSlot::new(), ConnectionSlot::new());
        let silent = ConnectionSlot::new();
        let lingers = ConnectionSlot::new();
        let _open = waits.begin_request();
        advance(A_MOMENT).await;
        let _open_last = waits_last.begin_request();
        drop(quiet.begin_request());
        advance(A_MOMENT).await;
        drop(quiet_last.begin_request());
        drop(lingers.begin_request());
        lingers.linger();
        advance(Duration::from_secs(1)).await;
        let new = ConnectionSlot::new();
        advance(Duration::from_secs(1) - A_MOMENT).await;
        let newest = ConnectionSlot::new();

        let order = [
            &lingers,
            &silent,
            &quiet,
            &quiet_last,
            &waits,
            &waits_last,
            &new,
            &newest,
        ];
        let ranks = order.map(|slot| slot.rank());
        assert!(ranks.is_sorted(), "{ranks:?}");
        assert_eq!(new.rank().0, Activity::New);
        advance(2 * A_MOMENT).await;
        assert_eq!(new.rank().0, Activity::Idle, "it is no longer new");
        assert_eq!(newest.rank().0, Activity::New);
        drop(newest.begin_request());
        assert_eq!(newest.rank().0, Activity::Idle, "its request was answered");
    }
}
