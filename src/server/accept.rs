use super::{
    bind::Listener,
    connection_slot::{Activity, ConnectionSlot},
    handle::StopSignal,
    spares::Spares,
    stream::Stream,
};
use crate::{
    accept::{AcceptEvent, ConnectionTasks, poll_accept},
    registry::Meters,
};
use std::{
    collections::VecDeque,
    future::poll_fn,
    io,
    sync::{Arc, Weak},
    task::Poll,
};
use tokio::task::yield_now;

/// Accepts connections until the stop signal, then waits for the last to end.
///
/// At most `max` connections at a time have a slot; a further one evicts another.
/// `serve` answers a connection until it ends, is evicted or gets the stop signal,
/// and returns its stream, whose descriptor may become a spare.
///
/// Opens the spares at once and not in the future, whose first poll may come when the
/// application has no descriptor left.
pub(super) fn accept<S, F>(
    mut listener: Listener,
    max: usize,
    meters: Arc<Meters>,
    serve: S,
    mut stop_signal: StopSignal,
) -> impl Future<Output = ()>
where
    S: Fn(Stream, Arc<ConnectionSlot>) -> F,
    F: Future<Output = Option<Stream>> + Send + 'static,
{
    let mut connections = AdminConnections::new(max, meters, serve);
    async move {
        loop {
            tokio::select! { biased;
                () = stop_signal.requested() => break,
                () = connections.next(&mut listener) => {}
            }
        }
        drop(listener);
        connections.tasks.all_ended().await;
    }
}

/// The open connections of one listener.
struct AdminConnections<S> {
    max: usize,
    meters: Arc<Meters>,
    serve: S,
    /// The slots of connections that have not been evicted.
    slots: Vec<Weak<ConnectionSlot>>,
    /// The slots of evicted connections that still have time, the first evicted one first.
    evicted: VecDeque<Weak<ConnectionSlot>>,
    /// Each task returns its stream.
    tasks: ConnectionTasks<Option<Stream>>,
    /// Connections accepted since the last yield while all slots were taken.
    since_yield: usize,
    spares: Spares,
}

impl<S, F> AdminConnections<S>
where
    S: Fn(Stream, Arc<ConnectionSlot>) -> F,
    F: Future<Output = Option<Stream>> + Send + 'static,
{
    fn new(max: usize, meters: Arc<Meters>, serve: S) -> Self {
        let mut spares = Spares::default();
        spares.refill();
        Self {
            max,
            meters,
            serve,
            slots: Vec::new(),
            evicted: VecDeque::new(),
            tasks: ConnectionTasks::new("admin listener"),
            since_yield: 0,
            spares,
        }
    }

    /// Accepts one connection, or handles the end of one.
    async fn next(&mut self, listener: &mut Listener) {
        match self.tasks.next(listener).await {
            AcceptEvent::Accepted(stream) => {
                self.spares.refill();
                self.add(stream).await;
            }
            AcceptEvent::Ended(ended) => self.keep_spare(ended),
            AcceptEvent::Failed(error) => self.accept_with_a_spare(listener, error).await,
        }
    }

    /// Accepts a connection with a spare descriptor, after an accept has failed for
    /// lack of descriptors or memory. The system reports that even when no
    /// connection is in the backlog.
    async fn accept_with_a_spare(&mut self, listener: &mut Listener, error: io::Error) {
        tokio::select! { biased;
            ended = self.tasks.next_ended() => return self.keep_spare(ended),
            () = listener.connection_waiting() => {}
        }
        if !self.spares.release() {
            // A connection that ends frees its descriptor for the waiting one. A new
            // connection is not evicted, because it may be a probe too.
            let mut slots = self.slots.iter().filter_map(Weak::upgrade);
            let is_one_not_new = slots.any(|slot| slot.rank().0 < Activity::New);
            if !self.end_evicted(0) && is_one_not_new {
                self.evict();
                self.end_evicted(0);
            }
            // The connection stays in the backlog.
            return self.back_off(&error).await;
        }
        // Without waiting: another thread may take the released descriptor.
        let accepted = poll_fn(|cx| Poll::Ready(poll_accept(listener, cx))).await;
        self.spares.refill();
        match accepted {
            Poll::Ready(Ok(stream)) => self.add(stream).await,
            // All spares could be opened, so descriptors were not lacking: the
            // system lacks memory, or forbids accepting.
            Poll::Ready(Err(error)) if self.spares.is_full() => self.back_off(&error).await,
            Poll::Ready(Err(_)) | Poll::Pending => {}
        }
    }

    /// Keeps the descriptor of a connection that has ended, if its task has returned it.
    fn keep_spare(&mut self, ended: Option<Option<Stream>>) {
        if let Some(stream) = ended.flatten() {
            self.spares.keep(stream);
        }
    }

    async fn add(&mut self, stream: Stream) {
        self.slots.retain(|slot| slot.strong_count() > 0);
        let is_full = self.slots.len() >= self.max;
        while self.slots.len() >= self.max && self.evict() {}
        self.end_evicted(self.max.div_ceil(4));
        let slot = ConnectionSlot::new();
        self.slots.push(Arc::downgrade(&slot));
        self.tasks.spawn((self.serve)(stream, slot));
        if is_full {
            self.let_connections_run().await;
        }
    }

    /// Yields each time a quarter of the slots has been replaced, so that new
    /// connections are read and evicted ones end. Otherwise connections from the
    /// backlog could evict others whose request has arrived but was not read yet.
    async fn let_connections_run(&mut self) {
        self.since_yield += 1;
        if self.since_yield < self.max.div_ceil(4) {
            return;
        }
        self.since_yield = 0;
        yield_now().await;
        // On several threads, evicted connections may take longer to end, although most
        // do not wait for their peers.
        while self.tasks.len() > self.max.saturating_mul(2) {
            let ended = self.tasks.next_ended().await;
            self.keep_spare(ended);
        }
    }

    /// Evicts the connection with the lowest rank, without waiting for its end.
    /// Returns `false` if there is none.
    fn evict(&mut self) -> bool {
        let slots = self.slots.iter().enumerate();
        let slots = slots.filter_map(|(index, slot)| Some((index, slot.upgrade()?)));
        let Some((index, slot)) = slots.min_by_key(|(_, slot)| slot.rank()) else {
            return false;
        };
        slot.evict();
        self.meters.admin_evictions.increment();
        self.evicted.push_back(self.slots.swap_remove(index));
        true
    }

    /// Leaves at most so many evicted connections the time to send their answers. Returns
    /// whether one has to end.
    fn end_evicted(&mut self, left: usize) -> bool {
        self.evicted.retain(|slot| slot.strong_count() > 0);
        let too_many = self.evicted.len().saturating_sub(left);
        for slot in self.evicted.drain(..too_many) {
            if let Some(slot) = slot.upgrade() {
                slot.end();
            }
        }
        too_many > 0
    }

    async fn back_off(&mut self, error: &io::Error) {
        let ended = self.tasks.back_off(error).await;
        self.keep_spare(ended);
        self.spares.refill();
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use tokio::time::{Duration, Instant};

    #[tokio::test(start_paused = true)]
    async fn a_listener_that_fails_though_there_are_descriptors_is_retried_after_a_delay() {
        let address = "127.0.0.1:0".parse().unwrap();
        let (mut listener, _) = Listener::bind(address, 0o600).await.unwrap();
        listener.fail_every_accept();
        let mut connections =
            AdminConnections::new(1, Arc::default(), async |stream, _| Some(stream));
        let begin = Instant::now();
        for _ in 0..5 {
            connections.next(&mut listener).await;
        }
        assert!(begin.elapsed() >= Duration::from_millis(500));
        assert!(connections.spares.is_full());
    }
}
