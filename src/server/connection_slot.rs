use super::limits::Limits;
use crate::race::{First, race};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::{
    sync::Notify,
    time::{Duration, Instant, sleep_until},
};

/// The place that a connection takes, and what it does there.
pub(super) struct ConnectionSlot {
    state: Mutex<SlotState>,
    answered: Notify,
    eviction: Notify,
}

struct SlotState {
    /// When it came, or when a request last came or was answered.
    since: Instant,
    has_asked: bool,
    /// Requests that are not answered yet.
    open: usize,
    /// It has ended but for what its peer still sends.
    lingers: bool,
}

/// How a connection leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CloseMode {
    /// An answer may be on its way.
    Gracefully,
    AtOnce,
    /// Another connection takes its place.
    Evicted,
}

/// How long a new connection may take to send its request before other
/// connections are preferred to it: the time a kubelet gives a probe.
const NEW_FOR: Duration = Duration::from_secs(1);

/// What a connection is doing, in the order in which connections are evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Activity {
    /// Everything is answered, and the rest is read only to be dropped.
    Lingering,
    /// It has no request open.
    Idle,
    /// It has a request open, which waits.
    Waiting,
    /// It came less than a second ago and has not asked yet. Every probe that
    /// opens a connection of its own begins so; were it evicted before
    /// connections that have been served already, those that come back as soon
    /// as they are closed could keep every probe out.
    New,
}

impl ConnectionSlot {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(SlotState {
                since: Instant::now(),
                has_asked: false,
                open: 0,
                lingers: false,
            }),
            answered: Notify::new(),
            eviction: Notify::new(),
        })
    }

    /// A request has come; it is answered when this is dropped.
    pub(super) fn begin_request(self: &Arc<Self>) -> OpenRequest {
        let mut state = self.state();
        state.since = Instant::now();
        state.has_asked = true;
        state.open += 1;
        OpenRequest(Arc::clone(self))
    }

    /// The slot with the smallest rank is the first to be given to another.
    pub(super) fn rank(&self) -> (Activity, Instant) {
        let state = self.state();
        let is_new = !state.has_asked && state.since.elapsed() < NEW_FOR;
        let activity = match *state {
            SlotState { lingers: true, .. } => Activity::Lingering,
            _ if is_new => Activity::New,
            SlotState { open: 0, .. } => Activity::Idle,
            _ => Activity::Waiting,
        };
        (activity, state.since)
    }

    /// The connection has ended but for what its peer still sends.
    pub(super) fn linger(&self) {
        self.state().lingers = true;
    }

    /// Tells the connection that another needs the place.
    pub(super) fn evict(&self) {
        self.eviction.notify_one();
    }

    /// Completes when another needs the place.
    pub(super) async fn evicted(&self) -> CloseMode {
        self.eviction.notified().await;
        CloseMode::Evicted
    }

    /// Completes when nothing was asked for too long.
    pub(super) async fn timed_out(&self, limits: &Limits) -> CloseMode {
        loop {
            let Some((until, leave)) = self.deadline(limits) else {
                self.answered.notified().await;
                continue;
            };
            let answered = self.answered.notified();
            if let First::Left(()) = race(answered, sleep_until(until)).await {
                continue;
            }
            // It may have asked at the last moment.
            if self.deadline(limits) == Some((until, leave)) {
                return leave;
            }
        }
    }

    /// Until when, and how it leaves then. While it has yet to be answered, it
    /// may stay.
    fn deadline(&self, limits: &Limits) -> Option<(Instant, CloseMode)> {
        let state = self.state();
        let (limit, leave) = if state.has_asked {
            (limits.idle_timeout, CloseMode::Gracefully)
        } else {
            (limits.header_timeout, CloseMode::AtOnce)
        };
        (state.open == 0).then_some((state.since + limit, leave))
    }

    fn state(&self) -> MutexGuard<'_, SlotState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is not answered yet.
pub(super) struct OpenRequest(Arc<ConnectionSlot>);

impl Drop for OpenRequest {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.since = Instant::now();
        state.open -= 1;
        drop(state);
        self.0.answered.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;
    use tokio_test::{assert_pending, assert_ready_eq, task};

    const LIMITS: Limits = Limits {
        header_timeout: Duration::from_secs(5),
        idle_timeout: Duration::from_secs(75),
        connections: 1,
        http2: false,
    };
    const A_MOMENT: Duration = Duration::from_millis(10);

    #[tokio::test(start_paused = true)]
    async fn who_does_not_ask_may_stay_for_the_header_timeout() {
        let slot = ConnectionSlot::new();
        let mut timed_out = task::spawn(slot.timed_out(&LIMITS));
        advance(LIMITS.header_timeout - A_MOMENT).await;
        assert_pending!(timed_out.poll());
        advance(2 * A_MOMENT).await;
        assert_ready_eq!(timed_out.poll(), CloseMode::AtOnce);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_asked_may_stay_for_the_idle_timeout_after_each_answer() {
        let slot = ConnectionSlot::new();
        let mut timed_out = task::spawn(slot.timed_out(&LIMITS));
        for _ in 0..3 {
            assert_pending!(timed_out.poll());
            let open = slot.begin_request();
            // However long the answer takes.
            advance(10 * LIMITS.idle_timeout).await;
            assert_pending!(timed_out.poll());
            drop(open);
            advance(LIMITS.idle_timeout - A_MOMENT).await;
            assert_pending!(timed_out.poll());
        }
        advance(2 * A_MOMENT).await;
        assert_ready_eq!(timed_out.poll(), CloseMode::Gracefully);
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_at_the_last_moment_may_stay() {
        let slot = ConnectionSlot::new();
        let mut timed_out = task::spawn(slot.timed_out(&LIMITS));
        assert_pending!(timed_out.poll());
        advance(LIMITS.header_timeout + A_MOMENT).await;
        let open = slot.begin_request();
        assert_pending!(timed_out.poll());
        drop(open);
        assert_pending!(timed_out.poll());
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_to_go_lingers_then_is_quiet_then_waits_and_the_last_is_new() {
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
        advance(NEW_FOR).await;
        let new = ConnectionSlot::new();
        advance(NEW_FOR - A_MOMENT).await;
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
        assert_eq!(newest.rank().0, Activity::Idle, "it has asked");
    }
}
