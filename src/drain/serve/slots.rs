use crate::connections::{IdleTime, TrackedConnection};
use std::sync::{
    Arc, Weak,
    atomic::{AtomicBool, Ordering},
};
use tokio::{
    sync::Notify,
    time::{Duration, Instant},
};

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
            has_sent: Arc::default(),
            is_evicted: AtomicBool::new(false),
            eviction: Notify::new(),
        });
        self.0.push(Arc::downgrade(&slot));
        slot
    }

    /// Evicts an eighth of the idle connections, 32 at most: those that have sent no request,
    /// then the others, the longest idle first.
    pub(super) fn evict(&mut self) {
        let Some(latest) = Instant::now().checked_sub(IDLE) else {
            return;
        };
        let slots = self.0.iter().filter_map(Weak::upgrade);
        let mut idle: Vec<_> = slots
            .filter(|slot| !slot.is_evicted.load(Ordering::Relaxed))
            .filter_map(|slot| Some((slot.has_sent_request(), slot.idle.since()?, slot)))
            .filter(|(_, since, _)| *since <= latest)
            .collect();
        idle.sort_unstable_by_key(|(is_known, since, _)| (*is_known, *since));
        let evicted = idle.len().div_ceil(SHARE).min(AT_ONCE);
        for (_, _, slot) in &idle[..evicted] {
            slot.is_evicted.store(true, Ordering::Relaxed);
            slot.eviction.notify_one();
        }
    }
}

/// The slot of one connection.
pub(super) struct Slot {
    idle: IdleTime,
    has_sent_request: AtomicBool,
    /// Whether bytes were sent to the peer since the last question.
    has_sent: Arc<AtomicBool>,
    is_evicted: AtomicBool,
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

    /// Since when the connection has no open request, or `None` while it has one.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        self.idle.since()
    }

    /// Whether the connection has had no open request for so long.
    pub(super) fn is_idle_for(&self, time: Duration) -> bool {
        self.idle_since()
            .is_some_and(|since| since.elapsed() >= time)
    }

    /// Completes when another connection needs the file descriptor, and after that.
    pub(super) async fn evicted(&self) {
        if !self.is_evicted.load(Ordering::Relaxed) {
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

    fn is_evicted(slot: &Slot) -> bool {
        slot.is_evicted.load(Ordering::Relaxed)
    }

    #[tokio::test(start_paused = true)]
    async fn silent_and_longest_idle_connections_are_evicted_first_and_busy_ones_never() {
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
        advance(IDLE).await;
        let young = add(false);
        let count = |of: &[(Arc<Slot>, TrackedConnection)]| {
            of.iter().filter(|(slot, _)| is_evicted(slot)).count()
        };
        for (evicted_silent, evicted_known) in [(2, 0), (3, 0), (4, 0)] {
            slots.evict();
            assert_eq!(
                (count(&silent), count(&known)),
                (evicted_silent, evicted_known)
            );
        }
        for _ in 0..10 {
            slots.evict();
        }
        assert_eq!((count(&silent), count(&known)), (7, 3));
        assert_eq!(count(&[busy, young]), 0);
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
        let evicted = idle.iter().filter(|(slot, _)| is_evicted(slot));
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
