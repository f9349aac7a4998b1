use crate::{
    connections::{IdleTime, TrackedConnection},
    sync::{AtomicBool, Notify, OnceLock, Ordering},
};
use std::sync::{Arc, Weak};
use tokio::time::{Duration, Instant};

/// How long a connection has no open request before it may be evicted: the least time
/// that a connection is idle before it retires.
const IDLE: Duration = Duration::from_secs(1);

/// The maximum number of connections that are evicted at a time, and the share of the idle
/// ones: those of nginx (`ngx_drain_connections`).
const AT_ONCE: usize = 32;
const SHARE: usize = 8;

/// The connections of one server that may be evicted.
#[derive(Default)]
pub(super) struct Slots(Vec<Weak<Slot>>);

impl Slots {
    /// Adds a connection, until the returned slot is dropped.
    pub(super) fn add(&mut self, tracked: &TrackedConnection) -> Arc<Slot> {
        // Removes the dropped ones whenever their number may have doubled.
        if self.0.len() == self.0.capacity() {
            self.0.retain(|slot| slot.strong_count() > 0);
            self.0.reserve(self.0.len().max(64));
        }
        let slot = Arc::new(Slot {
            idle: tracked.idle_time(),
            has_sent_request: AtomicBool::new(false),
            has_sent: Arc::new(AtomicBool::new(false)),
            lingers_since: OnceLock::new(),
            evicted_since: OnceLock::new(),
            eviction: Notify::default(),
        });
        self.0.push(Arc::downgrade(&slot));
        slot
    }

    /// Evicts an eighth of the idle connections, 32 at most, in the order of [`Activity`], the
    /// longest idle first.
    pub(super) fn evict(&mut self) {
        let Some(latest) = Instant::now().checked_sub(IDLE) else {
            return;
        };
        let slots = self.0.iter().filter_map(Weak::upgrade);
        let mut idle: Vec<_> = slots
            .filter(|slot| !slot.is_evicted())
            .filter_map(|slot| Some((slot.rank()?, slot)))
            .filter(|((_, since), _)| *since <= latest)
            .collect();
        idle.sort_unstable_by_key(|(rank, _)| *rank);
        let evicted = idle.len().div_ceil(SHARE).min(AT_ONCE);
        for ((_, since), slot) in &idle[..evicted] {
            slot.evict(*since);
        }
    }
}

/// The activity of a connection without an open request, in the order of eviction.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Activity {
    /// Further bytes are discarded.
    Lingering,
    /// It has sent no request.
    Silent,
    Idle,
}

/// The slot of one connection.
pub(super) struct Slot {
    idle: IdleTime,
    has_sent_request: AtomicBool,
    /// Whether bytes were sent to the peer since the last question.
    has_sent: Arc<AtomicBool>,
    lingers_since: OnceLock<Instant>,
    /// Since when the connection was idle when it was evicted.
    evicted_since: OnceLock<Instant>,
    eviction: Notify,
}

impl Slot {
    /// Records that a request has arrived.
    pub(super) fn record_request(&self) {
        self.has_sent_request.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_sent_request(&self) -> bool {
        self.has_sent_request.load(Ordering::Relaxed)
    }

    /// The flag that a stream sets when the peer has taken bytes.
    pub(super) fn has_sent(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.has_sent)
    }

    /// Whether the peer has taken bytes since the last call.
    pub(super) fn take_sent(&self) -> bool {
        self.has_sent.swap(false, Ordering::Relaxed)
    }

    /// Records that further bytes are discarded from now on.
    pub(super) fn linger(&self) {
        let _ = self.lingers_since.set(Instant::now());
    }

    /// The order of eviction, and since when the connection is idle. `None` while it has an
    /// open request.
    fn rank(&self) -> Option<(Activity, Instant)> {
        if let Some(since) = self.lingers_since.get() {
            return Some((Activity::Lingering, *since));
        }
        let activity = if self.has_sent_request() {
            Activity::Idle
        } else {
            Activity::Silent
        };
        Some((activity, self.idle.since()?))
    }

    fn evict(&self, idle_since: Instant) {
        let _ = self.evicted_since.set(idle_since);
        self.eviction.notify_one();
    }

    fn is_evicted(&self) -> bool {
        self.evicted_since.get().is_some()
    }

    /// Whether a request has arrived since the server chose the connection for eviction.
    pub(super) fn had_request_since_eviction(&self) -> bool {
        let evicted_since = self.evicted_since.get().copied();
        evicted_since.is_some() && self.idle.since() != evicted_since
    }

    /// Whether the connection has had no open request for so long.
    pub(super) fn is_idle_for(&self, time: Duration) -> bool {
        self.idle
            .since()
            .is_some_and(|since| since.elapsed() >= time)
    }

    /// Completes when another connection needs the file descriptor, and after that.
    pub(super) async fn evicted(&self) {
        if !self.is_evicted() {
            self.eviction.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        connections::Connections,
        registry::{Readiness, Subsystem},
    };
    use http::{Request, Response};
    use std::future::pending;
    use tokio::time::advance;
    use tower_service::Service as _;

    fn connections() -> Connections {
        let storage = Subsystem::new("storage");
        let readiness = Readiness::builder().subsystem(storage).build().unwrap();
        readiness.connections()
    }

    #[tokio::test(start_paused = true)]
    async fn lingering_silent_and_longest_idle_connections_are_evicted_first_and_busy_ones_never() {
        let connections = connections();
        let mut slots = Slots::default();
        let mut add = |has_sent_request| {
            let tracked = connections.track();
            let slot = slots.add(&tracked);
            if has_sent_request {
                slot.record_request();
            }
            (slot, tracked)
        };
        let busy = add(true);
        let pending = tower::service_fn(|_: Request<()>| pending::<Result<Response<String>, ()>>());
        let _open = busy.1.service(pending).call(Request::new(()));
        let known: Vec<_> = (0..3).map(|_| add(true)).collect();
        advance(IDLE).await;
        let silent: Vec<_> = (0..7).map(|_| add(false)).collect();
        let lingering = add(true);
        lingering.0.linger();
        advance(IDLE).await;
        let young = [add(false), add(true)];
        young[1].0.linger();
        let count = |of: &[(Arc<Slot>, TrackedConnection)]| {
            of.iter().filter(|(slot, _)| slot.is_evicted()).count()
        };
        let lingering = [lingering];
        for evicted in [(1, 1, 0), (1, 3, 0), (1, 4, 0)] {
            slots.evict();
            assert_eq!((count(&lingering), count(&silent), count(&known)), evicted);
        }
        for _ in 0..10 {
            slots.evict();
        }
        assert_eq!((count(&silent), count(&known)), (7, 3));
        assert_eq!(count(&[busy]) + count(&young), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn at_most_32_connections_are_evicted_at_a_time() {
        let connections = connections();
        let mut slots = Slots::default();
        let add = |_| {
            let tracked = connections.track();
            (slots.add(&tracked), tracked)
        };
        let idle: Vec<_> = (0..1_000).map(add).collect();
        advance(IDLE).await;
        slots.evict();
        let evicted = idle.iter().filter(|(slot, _)| slot.is_evicted());
        assert_eq!(evicted.count(), 32);
    }

    #[tokio::test(start_paused = true)]
    async fn slots_of_ended_connections_are_removed() {
        let connections = connections();
        let mut slots = Slots::default();
        for _ in 0..10_000 {
            drop(slots.add(&connections.track()));
        }
        assert!(slots.0.len() <= 128, "{}", slots.0.len());
    }
}
