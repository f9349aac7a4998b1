use super::{
    bind::Listener,
    connection_slot::{Activity, ConnectionSlot},
    handle::StopSignal,
    spares::Spares,
    stream::Stream,
};
use std::{
    future::{pending, poll_fn},
    io::{self, ErrorKind},
    sync::{Arc, Weak},
    task::{Context, Poll, ready},
};
use tokio::{
    task::{JoinSet, yield_now},
    time::{Duration, sleep},
};

/// How long to wait when the system has no descriptor or memory for a connection.
/// Less than the second that a kubelet waits for an answer.
const BACK_OFF: Duration = Duration::from_millis(100);

/// Accepts connections until the stop signal, then waits for the last to end.
///
/// At most `max` connections at a time have a slot; a further one evicts another.
/// `serve` answers a connection until it ends, is evicted or gets the stop signal,
/// and returns its stream, whose descriptor may become a spare.
pub(super) async fn accept<S, F>(
    listener: Listener,
    max: usize,
    serve: S,
    mut stop_signal: StopSignal,
) where
    S: Fn(Stream, Arc<ConnectionSlot>) -> F,
    F: Future<Output = Option<Stream>> + Send + 'static,
{
    let mut connections = Connections::new(max, serve);
    loop {
        tokio::select! { biased;
            () = stop_signal.requested() => break,
            () = connections.next(&listener) => {}
        }
    }
    drop(listener);
    while connections.tasks.join_next().await.is_some() {}
}

/// The open connections of one listener.
struct Connections<S> {
    max: usize,
    serve: S,
    /// The slots of connections that have not been evicted.
    slots: Vec<Weak<ConnectionSlot>>,
    /// Each task returns its stream.
    tasks: JoinSet<Option<Stream>>,
    /// Connections accepted since the last yield while all slots were taken.
    since_yield: usize,
    spares: Spares,
    /// Whether a failure was logged since the last successful accept.
    is_exhausted: bool,
}

impl<S, F> Connections<S>
where
    S: Fn(Stream, Arc<ConnectionSlot>) -> F,
    F: Future<Output = Option<Stream>> + Send + 'static,
{
    fn new(max: usize, serve: S) -> Self {
        let mut spares = Spares::default();
        spares.refill();
        Self {
            max,
            serve,
            slots: Vec::new(),
            tasks: JoinSet::new(),
            since_yield: 0,
            spares,
            is_exhausted: false,
        }
    }

    /// Accepts one connection, or handles the end of one.
    async fn next(&mut self, listener: &Listener) {
        let accepted = tokio::select! { biased;
            ended = next_ended(&mut self.tasks) => return self.keep_spare(ended),
            accepted = poll_fn(|cx| poll_accept(|cx| listener.poll_accept(cx), cx)) => accepted,
        };
        match accepted {
            Ok(stream) => {
                self.spares.refill();
                self.is_exhausted = false;
                self.add(stream).await;
            }
            Err(error) => self.accept_with_a_spare(listener, error).await,
        }
    }

    /// Accepts a connection with a spare descriptor, after an accept has failed for
    /// lack of descriptors or memory. The system reports that even when no
    /// connection is in the backlog.
    async fn accept_with_a_spare(&mut self, listener: &Listener, error: io::Error) {
        tokio::select! { biased;
            ended = next_ended(&mut self.tasks) => return self.keep_spare(ended),
            () = listener.connection_waiting() => {}
        }
        if !self.spares.release() {
            // An evicted connection frees its descriptor for the waiting one. A new
            // connection is not evicted, because it may be a probe too.
            let mut slots = self.slots.iter().filter_map(Weak::upgrade);
            if slots.any(|slot| slot.rank().0 < Activity::New) {
                self.evict();
            }
            // The connection stays in the backlog.
            return self.back_off(&error).await;
        }
        // Without waiting: another thread may take the released descriptor.
        let accepted =
            poll_fn(|cx| Poll::Ready(poll_accept(|cx| listener.poll_accept(cx), cx))).await;
        self.spares.refill();
        match accepted {
            Poll::Ready(Ok(stream)) => self.add(stream).await,
            // All spares could be opened, so descriptors were not lacking: the
            // system lacks memory, or forbids accepting.
            Poll::Ready(Err(error)) if self.spares.is_full() => self.back_off(&error).await,
            Poll::Ready(Err(_)) | Poll::Pending => {}
        }
    }

    fn keep_spare(&mut self, ended: Option<Stream>) {
        if let Some(stream) = ended {
            self.spares.keep(stream);
        }
    }

    async fn add(&mut self, stream: Stream) {
        self.slots.retain(|slot| slot.strong_count() > 0);
        let is_full = self.slots.len() >= self.max;
        while self.slots.len() >= self.max && self.evict() {}
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
        // On several threads, evicted connections may take longer to end, although
        // they do not wait for their peers.
        while self.tasks.len() > self.max.saturating_mul(2) {
            let ended = next_ended(&mut self.tasks).await;
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
        self.slots.swap_remove(index);
        true
    }

    /// Waits until a connection ends, for [`BACK_OFF`] at most.
    async fn back_off(&mut self, error: &io::Error) {
        if !self.is_exhausted {
            self.is_exhausted = true;
            warn(error);
        }
        tokio::select! { biased;
            ended = next_ended(&mut self.tasks) => self.keep_spare(ended),
            () = sleep(BACK_OFF) => self.spares.refill(),
        }
    }
}

/// Returns the stream of the next connection that ends, if its task has returned
/// it. Pending while there are no connections.
async fn next_ended(tasks: &mut JoinSet<Option<Stream>>) -> Option<Stream> {
    match tasks.join_next().await {
        Some(ended) => ended.ok().flatten(),
        None => pending().await,
    }
}

/// Returns the next connection, and skips connections that fail.
fn poll_accept<S>(
    mut accept: impl FnMut(&mut Context<'_>) -> Poll<io::Result<S>>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<S>> {
    loop {
        match ready!(accept(cx)) {
            // The peer caused it; the next connection is not affected.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::ConnectionAborted
                        | ErrorKind::ConnectionRefused
                        | ErrorKind::ConnectionReset
                        | ErrorKind::Interrupted
                ) => {}
            accepted => return Poll::Ready(accepted),
        }
    }
}

#[cfg(feature = "tracing")]
fn warn(error: &io::Error) {
    crate::logging::line(tracing::Level::WARN, || {
        let error = error.to_string();
        move |span| crate::logging::event!(warn, span, %error, "admin listener cannot accept")
    });
}

#[cfg(not(feature = "tracing"))]
fn warn(_: &io::Error) {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Error;
    use tokio_test::{assert_pending, assert_ready, task};

    #[test]
    fn a_peer_that_disconnects_does_not_delay_others() {
        let mut answers = vec![
            Err(Error::other("too many open files")),
            Ok(1),
            Err(ErrorKind::ConnectionReset.into()),
            Err(ErrorKind::ConnectionAborted.into()),
        ];
        let mut accepted = task::spawn(poll_fn(|cx| {
            let accept = |_: &mut Context<'_>| answers.pop().map_or(Poll::Pending, Poll::Ready);
            poll_accept(accept, cx)
        }));
        assert_eq!(assert_ready!(accepted.poll()).unwrap(), 1);
        assert!(assert_ready!(accepted.poll()).is_err());
        assert_pending!(accepted.poll());
    }

    #[cfg(target_os = "linux")]
    #[tokio::test(start_paused = true)]
    async fn a_listener_that_fails_though_there_are_descriptors_is_retried_after_a_delay() {
        use tokio::time::Instant;

        let address = "127.0.0.1:0".parse().unwrap();
        let (listener, _) = Listener::bind(address, 0o600).await.unwrap();
        listener.fail_every_accept();
        let mut connections = Connections::new(1, async |stream, _| Some(stream));
        let begin = Instant::now();
        for _ in 0..5 {
            connections.next(&listener).await;
        }
        assert!(begin.elapsed() >= 5 * BACK_OFF);
        assert!(connections.spares.is_full());
    }
}
